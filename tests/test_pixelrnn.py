"""PixelRNN: nothing looks ahead, every state space sums to 1, the pixel-by-pixel sampler computes what the network does."""

import numpy as np
import pytest

import fastdl as fd
from fastdl import nn
from fastdl.autograd import Tensor, gradcheck, gradgradcheck
from fastdl.data import digits
from fastdl.models.pixelrnn import KINDS, PixelRNN, Walk, pixelrnn_cifar10, pixelrnn_mnist
from fastdl.nn.masked import DiagonalBiLSTM, DiagonalLSTM, MaskedConv2d, RowLSTM, skew, unskew
from fastdl.ops.conv_lstm import conv_lstm

rng = np.random.default_rng(0)


def shaken(model, seed=0):
    noise = np.random.default_rng(seed)
    for p in model.parameters():
        p.array[...] = 0.5 * noise.standard_normal(p.shape)
    return model


def support(layer, shape, r, c, channel=0):
    """(C, H, W) which inputs the outputs `channel` at (r, c) depend on, by the gradient."""
    x = Tensor(rng.standard_normal((1, *shape)).astype(np.float32), requires_grad=True)
    (g,) = fd.autograd.grad(layer(x)[0, channel, r, c].sum(), x)
    return g.array[0] != 0


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def cell(v, c):
    i, f, g, o = np.split(v, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def test_op_gradients():
    x, w = (fd.tensor(rng.standard_normal(s), requires_grad=True) for s in ((3, 2, 4, 8), (8, 2, 3)))
    for left in (0, 1, 2):
        assert gradcheck(lambda x, w, left=left: conv_lstm(x, w, left), [x, w])
    x, w = (fd.tensor(0.5 * rng.standard_normal(s), requires_grad=True) for s in ((2, 1, 2, 4), (4, 1, 2)))
    assert gradgradcheck(lambda x, w: conv_lstm(x, w, 1), [x, w])


def test_row_lstm_is_the_loop_over_pixels():
    fd.manual_seed(0)
    layer = shaken(RowLSTM(2, 3))
    x = rng.standard_normal((1, 2, 4, 5)).astype(np.float32)
    w, b = layer.input_to_state.masked_weight().array[:, :, 0], layer.input_to_state.bias.array
    u = layer.state_to_state.array
    padded = np.pad(x[0].astype(np.float64), ((0, 0), (0, 0), (1, 1)))
    h, c = np.zeros((3, 5, 7)), np.zeros((3, 5, 7))
    for r in range(4):
        for q in range(5):
            v = np.einsum("ck,ock->o", padded[:, r, q : q + 3], w) + b + np.einsum("hk,ghk->g", h[:, r, q : q + 3], u)
            h[:, r + 1, q + 1], c[:, r + 1, q + 1] = cell(v, c[:, r, q + 1])
    np.testing.assert_allclose(layer(Tensor(x)).array[0], h[:, 1:, 1:-1], atol=1e-6)


def test_diagonal_lstm_is_the_loop_over_pixels():
    layer = shaken(DiagonalLSTM(2, 3))
    x = rng.standard_normal((1, 2, 4, 5)).astype(np.float32)
    w, b = layer.input_to_state.weight.array[:, :, 0, 0], layer.input_to_state.bias.array
    above, own = layer.state_to_state.array[:, :, 0], layer.state_to_state.array[:, :, 1]
    h, c = np.zeros((3, 5, 6)), np.zeros((3, 5, 6))
    for r in range(4):
        for q in range(5):
            v = w @ x[0, :, r, q] + b + above @ h[:, r, q + 1] + own @ h[:, r + 1, q]
            h[:, r + 1, q + 1], c[:, r + 1, q + 1] = cell(v, c[:, r + 1, q])
    np.testing.assert_allclose(layer(Tensor(x)).array[0], h[:, 1:, 1:], atol=1e-6)


def test_skew_and_back():
    x = Tensor(rng.standard_normal((2, 3, 4, 5)))
    s = skew(x)
    assert s.shape == (2, 3, 4, 8) and (unskew(s, 5).array == x.array).all()
    assert (s.array[:, :, 2, :2] == 0).all() and (s.array[:, :, 2, 2:7] == x.array[:, :, 2]).all()


def test_contexts():
    """Row LSTM sees a triangle and what is left of it; the diagonal pair everything before; without its shift it cheats."""
    H = W = 7
    r, c = 4, 3
    row = support(shaken(RowLSTM(1, 2)), (1, H, W), r, c)[0]
    want = np.zeros((H, W), bool)
    for i in range(r + 1):
        spread = r - i
        want[i, max(0, c - spread - 1) : c + spread + 1] = True  # one more to the left: the input's own three taps
    np.testing.assert_array_equal(row, want)
    both = support(shaken(DiagonalBiLSTM(1, 2)), (1, H, W), r, c)[0].reshape(-1)
    place = r * W + c
    assert both[: place + 1].all() and not both[place + 1 :].any()
    cheat = support(shaken(DiagonalBiLSTM(1, 2, shift=False)), (1, H, W), r, c)[0].reshape(-1)
    assert cheat[place + 1 :].any()


def test_masks():
    conv = shaken(MaskedConv2d(3, 6, 3, "A", colours=3))
    for channel in range(6):
        seen = support(conv, (3, 5, 5), 2, 2, channel)
        assert seen[:, 1, 1:4].all() and seen[:, 2, 1].all() and not seen[:, 2, 3].any() and not seen[:, 3].any()
        assert seen[:, 2, 2].tolist() == [k < channel // 2 for k in range(3)]
    b = shaken(MaskedConv2d(3, 3, 1, "B", colours=3))
    assert [support(b, (3, 1, 1), 0, 0, k).ravel().sum() for k in range(3)] == [1, 2, 3]
    with pytest.raises(ValueError, match="'A' or 'B'"):
        MaskedConv2d(1, 1, 3, "C")
    with pytest.raises(ValueError, match="odd sides"):
        MaskedConv2d(1, 1, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_dependencies_of_the_whole_network(kind, channels):
    model = shaken(PixelRNN(kind, layers=2, h=3, channels=channels, levels=4, maps=6, first=3))
    H = W = 4
    x = Tensor(rng.uniform(-1, 1, (1, channels, H, W)).astype(np.float32), requires_grad=True)
    y = model.logits(x)
    order = lambda k, r, c: (r * W + c) * channels + k  # noqa: E731
    touched = np.zeros(H * W * channels, bool)
    for r in range(H):
        for c in range(W):
            for k in range(channels):
                (g,) = fd.autograd.grad(y[0, k, :, r, c].sum(), x, retain_graph=True)
                seen = g.array[0].transpose(1, 2, 0).reshape(-1) != 0
                assert not seen[order(k, r, c) :].any()
                touched |= seen
                if kind == "diagonal" and (r, c) == (3, 2):
                    assert seen[: order(0, r, c)].all()
    assert touched[: order(0, 3, 2)].all()


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_all_images_sum_to_one(kind):
    states = (np.arange(512)[:, None] >> np.arange(9) & 1).astype(np.float32).reshape(-1, 1, 3, 3)
    model = shaken(PixelRNN(kind, layers=2, h=3, maps=4, first=3))
    with fd.no_grad():
        logs = model.log_prob(states).array.astype(np.float64)
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-6) and len(np.unique(logs.round(5))) > 100
    colour = shaken(PixelRNN(kind, layers=1, h=3, channels=3, levels=3, maps=6, first=3))
    states = np.stack(np.unravel_index(np.arange(3**6), (3,) * 6), 1).reshape(-1, 1, 2, 3).transpose(0, 3, 1, 2)
    with fd.no_grad():
        logs = colour.log_prob(states.astype(np.float32)).array.astype(np.float64)
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels, levels", [(1, 2), (3, 4)])
def test_walking_over_pixels_is_the_network(kind, channels, levels):
    model = shaken(PixelRNN(kind, layers=2, h=4, channels=channels, levels=levels, maps=6, first=5))
    x = rng.integers(0, levels, (2, channels, 5, 6)).astype(np.float32)
    with fd.no_grad():
        want = model.logits(Tensor(model._scaled(x))).array
        walk = Walk(model, 2, 5, 6)
        for r in range(5):
            for c in range(6):
                for k in range(channels):
                    np.testing.assert_allclose(walk.logits(r, c)[:, k], want[:, k, :, r, c], rtol=1e-4, atol=1e-4)
                    walk.image[:, k, r, c] = x[:, k, r, c]
                walk.logits(r, c)


def test_samples_and_completion():
    model = shaken(PixelRNN("diagonal", layers=1, h=3, maps=4, first=3))
    states = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(np.float32).reshape(-1, 1, 2, 2)
    with fd.no_grad():
        p = np.exp(model.log_prob(states).array.astype(np.float64))
    x = model.sample(20_000, seed=1, size=2).array
    counts = np.bincount((x.reshape(-1, 4).astype(int) << np.arange(4)).sum(1), minlength=16)
    assert (np.abs(counts - 20_000 * p) < 5 * np.sqrt(20_000 * p) + 3).all()
    assert (model.sample(50, seed=3, size=2).array == model.sample(50, seed=3, size=2).array).all()
    top = np.ones((3, 1, 1, 2), np.float32)
    assert (model.sample(3, seed=0, size=2, start=top).array[:, :, :1] == 1).all()


def test_published_sizes():
    count = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    h, maps = 16, 32
    layer = 2 * (2 * h * 4 * h + 4 * h + 4 * h * h * 2) + h * 2 * h + 2 * h
    head = 2 * h * maps + maps + maps * maps + maps + maps + 1
    assert count(pixelrnn_mnist()) == 49 * 2 * h + 2 * h + 7 * layer + head
    with nn.init_empty():
        big = pixelrnn_cifar10()
    assert (
        len(big.layers) == 12
        and big.last.weight.shape == (768, 1024, 1, 1)
        and big.first.weight.shape == (256, 3, 7, 7)
    )


@pytest.mark.parametrize("kind", ["row", "diagonal"])
def test_learns_digits(kind):
    train = (digits().train.tensors[0].array >= 0.5).astype(np.float32)
    fd.manual_seed(0)
    model = PixelRNN(kind, layers=1, h=8, maps=16, first=5)
    model.fit(train[:800], epochs=6, lr=1e-2)
    assert model.mean_nll(train[800:1000]) < 23.5  # independent pixels: 25.1


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: PixelRNN("column"), "row, diagonal, pixelcnn"),
        (lambda: PixelRNN(levels=1), "at least 2"),
        (lambda: PixelRNN("row", 1, 2).log_prob(np.zeros((1, 3, 4, 4))), r"\(N, 1, H, W\)"),
        (lambda: PixelRNN("row", 1, 2).log_prob(np.full((1, 1, 4, 4), 0.5)), "whole numbers 0 to 1"),
        (lambda: PixelRNN("row", 1, 2).sample(2, size=4, start=np.zeros((1, 1, 1, 4))), "start must be"),
        (lambda: RowLSTM(1, 2, k=4), "k must be odd"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
