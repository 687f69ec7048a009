"""nn.Transformer*, masks, caches and positions: against torch with the same weights, and by what must hold."""

import numpy as np
import pytest

from fastdl import nn, no_grad
from fastdl.autograd import Tensor

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def copied(torch, theirs, ours):
    """Random weights (norms too), the same in both."""
    for p in theirs.parameters():
        p.data = torch.tensor(draw(*p.shape) * 0.2)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return theirs.eval(), ours.eval()


PADDING = np.array([[False, False, False, True, True], [False] * 5, [False, True, False, False, False]])


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder_equals_torch_forward_and_gradients(norm_first, batch_first, activation):
    torch = pytest.importorskip("torch")
    options = {"activation": activation, "norm_first": norm_first, "batch_first": batch_first, "dropout": 0.0}
    theirs = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(16, 4, 32, **options), 2, torch.nn.LayerNorm(16), enable_nested_tensor=False
    )
    ours = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, **options), 2, nn.LayerNorm(16))
    theirs, ours = copied(torch, theirs, ours)
    x = draw(3, 5, 16) if batch_first else draw(5, 3, 16)
    a, b = torch.tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    y = theirs(a, src_key_padding_mask=torch.tensor(PADDING))
    z = ours(b, src_key_padding_mask=Tensor(PADDING))
    np.testing.assert_allclose(z.array, y.detach().numpy(), rtol=1e-4, atol=1e-4)
    dy = draw(*y.shape)
    y.backward(torch.tensor(dy))
    z.backward(Tensor(dy))
    np.testing.assert_allclose(b.grad.array, a.grad.numpy(), rtol=1e-4, atol=2e-4)
    found = dict(ours.named_parameters())
    for name, p in theirs.named_parameters():
        np.testing.assert_allclose(found[name].grad.array, p.grad.numpy(), rtol=2e-4, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_whole_transformer_equals_torch(norm_first, bias):
    torch = pytest.importorskip("torch")
    options = {"batch_first": True, "dropout": 0.0, "norm_first": norm_first, "bias": bias}
    theirs, ours = copied(
        torch, torch.nn.Transformer(16, 4, 2, 2, 32, **options), nn.Transformer(16, 4, 2, 2, 32, **options)
    )
    src, tgt = draw(3, 5, 16), draw(3, 4, 16)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(4)
    y = theirs(
        torch.tensor(src), torch.tensor(tgt), tgt_mask=mask, src_key_padding_mask=torch.tensor(PADDING),
        memory_key_padding_mask=torch.tensor(PADDING),
    )  # fmt: skip
    z = ours(
        Tensor(src), Tensor(tgt), tgt_mask=nn.Transformer.generate_square_subsequent_mask(4),
        src_key_padding_mask=Tensor(PADDING), memory_key_padding_mask=Tensor(PADDING),
    )  # fmt: skip
    np.testing.assert_allclose(z.array, y.detach().numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("need_weights", [False, True])
def test_is_causal_and_padding_hold_together(need_weights):
    torch = pytest.importorskip("torch")
    theirs, ours = copied(
        torch, torch.nn.MultiheadAttention(8, 2, batch_first=True), nn.MultiheadAttention(8, 2, batch_first=True)
    )
    x, future = draw(3, 5, 8), torch.ones(5, 5).triu(1).bool()
    padding = np.zeros((3, 5), bool)
    padding[:, 3:] = True
    t = torch.tensor(x)
    y, w = theirs(t, t, t, torch.tensor(padding), need_weights, future)
    u = Tensor(x)
    z, v = ours(u, u, u, Tensor(padding), need_weights, is_causal=True)
    np.testing.assert_allclose(z.array, y.detach().numpy(), rtol=1e-4, atol=1e-5)
    if need_weights:
        np.testing.assert_allclose(v.array, w.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("need_weights", [False, True])
def test_rows_of_padding_alone_give_numbers(need_weights):
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = Tensor(draw(2, 3, 8), requires_grad=True)
    padding = Tensor(np.array([[True] * 3, [False] * 3]))
    y, weights = layer(x, x, x, padding, need_weights)
    np.testing.assert_allclose(y.array[0], np.broadcast_to(layer.out_proj.bias.array, (3, 8)), atol=1e-6)
    y.sum().backward()
    assert np.isfinite(x.grad.array).all()
    if need_weights:
        assert (weights.array[0] == 0).all()
        np.testing.assert_allclose(weights.array[1].sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("T", [0, 1])
def test_shortest_sequences(T):
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1).eval()
    y = encoder(Tensor(draw(2, T, 8)))
    assert y.shape == (2, T, 8)
    assert np.isfinite(y.array).all()


def test_future_tokens_change_no_bit_and_get_no_gradient():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2).eval()
    x = draw(1, 6, 16)
    other = x.copy()
    other[:, 4:] += 1
    u = Tensor(x, requires_grad=True)
    y = encoder(u, is_causal=True)
    z = encoder(Tensor(other), is_causal=True)
    assert (y.array[:, :4] == z.array[:, :4]).all()
    (y[:, 3] ** 3).sum().backward()
    assert (u.grad.array[:, 4:] == 0).all()
    assert (u.grad.array[:, :4] != 0).any()


def test_decoding_with_a_cache_equals_the_whole_and_reads_memory_once():
    layer = nn.TransformerDecoderLayer(16, 4, 32, batch_first=True)
    decoder = nn.TransformerDecoder(layer, 2, nn.LayerNorm(16)).eval()
    tgt, memory = Tensor(draw(3, 7, 16)), Tensor(draw(3, 5, 16))
    padding = Tensor(PADDING)
    with no_grad():
        whole = decoder(tgt, memory, tgt_is_causal=True, memory_key_padding_mask=padding)
        cache = decoder.make_cache()
        parts = [
            decoder(tgt[:, a:b], memory, tgt_is_causal=True, memory_key_padding_mask=padding, cache=cache)
            for a, b in ((0, 1), (1, 4), (4, 5), (5, 7))
        ]
    np.testing.assert_allclose(np.concatenate([p.array for p in parts], 1), whole.array, rtol=1e-4, atol=1e-5)
    assert [other.written for _, other in cache] == [1, 1]
    cache[0][0].reorder(np.array([2, 2]))
    assert cache[0][0].get()[0].shape == (2, 4, 7, 4)
    with pytest.raises(RuntimeError, match="no_grad"):
        decoder(tgt, memory, tgt_is_causal=True, cache=decoder.make_cache())


def test_maps_on_request():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3).eval()
    maps = []
    x = Tensor(draw(2, 4, 8))
    y = encoder(x, maps=maps)
    assert [m.shape for m in maps] == [(2, 2, 4, 4)] * 3
    np.testing.assert_allclose(encoder(x).array, y.array, rtol=1e-4, atol=1e-5)


def test_errors_name_the_layer():
    with pytest.raises(ValueError, match=r"num_heads=3.*embed_dim=8"):
        nn.TransformerEncoderLayer(8, 3)
    with pytest.raises(ValueError, match="activation"):
        nn.TransformerEncoderLayer(8, 2, activation="swoosh")
    with pytest.raises(ValueError, match="same batch size"):
        nn.Transformer(8, 2, 1, 1, 16)(Tensor(draw(4, 2, 8)), Tensor(draw(4, 3, 8)))


@pytest.mark.parametrize("layout", ["interleaved", "halves"])
def test_a_shift_turns_every_pair_by_a_fixed_angle(layout):
    d, k = 32, 7
    table = nn.SinusoidalPositionalEncoding(d, layout=layout).rows(0, 300).astype(np.float64)
    pairs = table.reshape(300, d // 2, 2) if layout == "interleaved" else np.stack(np.split(table, 2, 1), -1)
    w = 10000 ** (-np.arange(0, d, 2) / d)
    turn = np.exp(-1j * k * w)  # sin + i cos at p, times e^(-ikw), is the same at p + k
    z = pairs[..., 0] + 1j * pairs[..., 1]
    np.testing.assert_allclose(z[:-k] * turn, z[k:], atol=1e-4)


def test_positions_grow_and_end():
    layer = nn.SinusoidalPositionalEncoding(8, max_len=1000)
    x = Tensor(np.zeros((1, 3, 8), np.float32))
    np.testing.assert_allclose(layer(x, 600).array[0, 0, 0], np.sin(600), atol=1e-4)
    for each in (layer, nn.LearnedPositionalEncoding(8, 1000)):
        with pytest.raises(ValueError, match="max_len=1000"):
            each(x, 998)


def test_rotated_scores_depend_on_distance_only():
    rotary = nn.RotaryEmbedding(8)
    q, k = draw(1, 8), draw(1, 8)
    score = [(rotary(Tensor(q), 3 + s) @ rotary(Tensor(k), s).transpose(0, 1)).item() for s in (0, 5, 40)]
    np.testing.assert_allclose(score, score[0], rtol=1e-4)
    assert abs((rotary(Tensor(q), 4) @ rotary(Tensor(k), 0).transpose(0, 1)).item() - score[0]) > 1e-3


def test_relative_bias_fits_cached_queries():
    bias = nn.RelativePositionBias(2, 3)
    bias.weight.array[:] = np.arange(14).reshape(7, 2)
    whole, last = bias(5).array, bias(1, 5).array
    assert whole.shape == (2, 5, 5)
    np.testing.assert_array_equal(whole[:, -1:], last)
    np.testing.assert_array_equal(whole[0], 2 * (np.clip(np.arange(5)[None] - np.arange(5)[:, None], -3, 3) + 3))


def test_feed_forward_works_on_each_position_alone():
    layer = nn.FeedForward(8, 32)
    x = draw(1, 4, 8)
    other = x.copy()
    other[0, 2] += 1
    same = (layer(Tensor(x)).array == layer(Tensor(other)).array).all(-1)[0]
    assert same.tolist() == [True, True, False, True]
