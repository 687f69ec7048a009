"""Packed and padded sequences against torch: every option of RNN, LSTM and GRU, forward and backward."""

import numpy as np
import pytest

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.nn.utils import rnn as packing

RNG = np.random.default_rng(0)
LENGTHS = [3, 5, 1, 5, 2]


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def flat(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize(
    "name, options",
    [("LSTM", {}), ("LSTM", {"proj_size": 2}), ("GRU", {}), ("RNN", {"nonlinearity": "relu"}), ("RNN", {})],
)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias, given", [(True, True), (False, False)])
def test_packed_layers_equal_torch(name, options, layers, bidirectional, bias, given):
    torch = pytest.importorskip("torch")
    options = {**options, "num_layers": layers, "bidirectional": bidirectional, "bias": bias, "batch_first": True}
    theirs, ours = getattr(torch.nn, name)(3, 4, **options), getattr(nn, name)(3, 4, **options)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = draw(5, 6, 3)
    a, b = torch.tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    widths = (options.get("proj_size", 4), 4) if name == "LSTM" else (4,)
    states = [draw(layers * (1 + bidirectional), 5, w) for w in widths] if given else None
    pack = torch.nn.utils.rnn.pack_padded_sequence(a, torch.tensor(LENGTHS), True, enforce_sorted=False)
    mine = packing.pack_padded_sequence(b, LENGTHS, True, enforce_sorted=False)
    np.testing.assert_array_equal(mine.data.array, pack.data.detach().numpy())
    np.testing.assert_array_equal(mine.batch_sizes.array, pack.batch_sizes.numpy())
    np.testing.assert_array_equal(mine.sorted_indices.array, pack.sorted_indices.numpy())

    def given_states(make):
        if states is None:
            return None
        return tuple(make(s) for s in states) if name == "LSTM" else make(states[0])

    y, last = theirs(pack, given_states(torch.tensor))
    z, mine_last = ours(mine, given_states(Tensor))
    y, lengths = torch.nn.utils.rnn.pad_packed_sequence(y, True, padding_value=-1.0, total_length=7)
    z, mine_lengths = packing.pad_packed_sequence(z, True, padding_value=-1.0, total_length=7)
    assert mine_lengths.array.tolist() == lengths.tolist() == LENGTHS
    np.testing.assert_allclose(z.array, y.detach().numpy(), rtol=1e-4, atol=1e-5)
    for s, t in zip(flat(mine_last), flat(last), strict=True):
        np.testing.assert_allclose(s.array, t.detach().numpy(), rtol=1e-4, atol=1e-5)
    dy, ds = draw(*y.shape), [draw(*t.shape) for t in flat(last)]
    torch.autograd.backward([y, *flat(last)], [torch.tensor(dy), *map(torch.tensor, ds)])
    ((z * Tensor(dy)).sum() + sum((s * Tensor(d)).sum() for s, d in zip(flat(mine_last), ds, strict=True))).backward()
    np.testing.assert_allclose(b.grad.array, a.grad.numpy(), rtol=1e-4, atol=1e-5)
    assert (b.grad.array[2, 1:] == 0).all()  # padding
    for key, p in theirs.named_parameters():
        np.testing.assert_allclose(getattr(ours, key).grad.array, p.grad.numpy(), rtol=1e-4, atol=1e-4, err_msg=key)


def test_a_sequence_is_the_same_alone_padded_and_packed():
    layer = nn.GRU(3, 4, batch_first=True, bidirectional=True)
    sequences = [Tensor(draw(n, 3)) for n in LENGTHS]
    alone = [layer(s)[0].array for s in sequences]
    together, _ = layer(packing.pack_sequence(sequences, enforce_sorted=False))
    for one, other in zip(alone, packing.unpack_sequence(together), strict=True):
        np.testing.assert_allclose(one, other.array, rtol=1e-5, atol=1e-6)


def test_padding_helpers_equal_torch():
    torch = pytest.importorskip("torch")
    arrays = [draw(n, 2) for n in (2, 4, 0)]
    for side in ("right", "left"):
        for batch_first in (False, True):
            want = torch.nn.utils.rnn.pad_sequence([torch.tensor(a) for a in arrays], batch_first, 7.0, side)
            got = packing.pad_sequence([Tensor(a) for a in arrays], batch_first, 7.0, side)
            np.testing.assert_array_equal(got.array, want.numpy())
    parts = packing.unpad_sequence(got, [2, 4, 0], True)
    assert [p.shape for p in parts] == [(2, 2), (4, 2), (0, 2)]


def test_masks():
    x = Tensor(draw(3, 4, 2), requires_grad=True)
    n = [4, 2, 0]
    assert packing.length_mask(n).array.tolist() == [[True] * 4, [True, True, False, False], [False] * 4]
    mean = packing.masked_mean(x, n)
    np.testing.assert_allclose(mean.array[1], x.array[1, :2].mean(0), rtol=1e-5)
    assert (mean.array[2] == 0).all()
    mean.sum().backward()
    assert (x.grad.array[1, 2:] == 0).all() and np.isfinite(x.grad.array).all()
    np.testing.assert_array_equal(packing.last_valid(x, [4, 2, 1]).array, x.array[[0, 1, 2], [3, 1, 0]])


def test_errors():
    x = Tensor(draw(3, 4, 2))
    with pytest.raises(ValueError, match="sequence 1 has 0"):
        packing.pack_padded_sequence(x, [3, 0, 1], True, False)
    with pytest.raises(ValueError, match="length 5, but the input has 4"):
        packing.pack_padded_sequence(x, [5, 1, 1], True)
    with pytest.raises(RuntimeError, match="enforce_sorted"):
        packing.pack_padded_sequence(x, [1, 2, 3], True)
    with pytest.raises(ValueError, match="2 lengths for 3"):
        packing.pack_padded_sequence(x, [2, 1], True)
    with pytest.raises(ValueError, match="total_length"):
        packing.pad_packed_sequence(packing.pack_padded_sequence(x, [4, 3, 1], True), total_length=3)
    with pytest.raises(ValueError, match=r"LSTM: packed data .* 5"):
        nn.LSTM(5, 2)(packing.pack_padded_sequence(x, [4, 3, 1], True))
    with pytest.raises(ValueError, match="GRU: an initial state"):
        nn.GRU(2, 3)(packing.pack_padded_sequence(x, [4, 3, 1], True), Tensor(draw(1, 2, 3)))
    with pytest.raises(ValueError, match="at least one sequence"):
        packing.pad_sequence([])


@pytest.mark.parametrize("bias", [False, True])
def test_projected_lstm_equals_torch(bias):
    torch = pytest.importorskip("torch")
    options = {"num_layers": 2, "bidirectional": True, "proj_size": 3, "bias": bias}
    theirs, ours = torch.nn.LSTM(4, 6, **options), nn.LSTM(4, 6, **options)
    assert [tuple(p.shape) for p in ours.parameters()] == [tuple(p.shape) for p in theirs.parameters()]
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = draw(5, 2, 4)
    y, (h, c) = theirs(torch.tensor(x))
    z, (g, d) = ours(Tensor(x))
    for mine, other in ((z, y), (g, h), (d, c)):
        np.testing.assert_allclose(mine.array, other.detach().numpy(), rtol=1e-4, atol=1e-5)
    y.sum().backward()
    z.sum().backward()
    for key, p in theirs.named_parameters():
        np.testing.assert_allclose(getattr(ours, key).grad.array, p.grad.numpy(), rtol=1e-4, atol=1e-4, err_msg=key)
