"""conv2d, conv_transpose2d, conv1d, conv_transpose1d as ops: derivatives of both orders, against PyTorch, settings, errors."""

import numpy as np
import pytest

import fastdl as fd
from fastdl.autograd import gradcheck, gradgradcheck
from fastdl.nn import functional as F

# op, shape of input, of weight, of bias, settings
CASES = [
    ("conv2d", (2, 3, 5, 6), (4, 3, 3, 3), (4,), {}),
    ("conv2d", (1, 2, 5, 6), (3, 2, 3, 2), None, {"stride": 2, "padding": 1}),
    ("conv2d", (2, 2, 7, 6), (2, 2, 2, 3), (2,), {"stride": (2, 3), "padding": (1, 0), "dilation": (2, 1)}),
    ("conv2d", (1, 4, 4, 5), (6, 2, 3, 3), (6,), {"groups": 2, "padding": 1}),
    ("conv2d", (1, 3, 5, 4), (6, 1, 3, 3), (6,), {"groups": 3, "stride": 2}),
    ("conv2d", (2, 5, 5), (3, 2, 3, 3), (3,), {"padding": "same"}),
    ("conv2d", (1, 2, 6, 5), (2, 2, 4, 2), (2,), {"padding": "same", "dilation": (1, 2)}),
    ("conv2d", (1, 2, 4, 4), (2, 2, 3, 3), (2,), {"padding": "valid"}),
    ("conv2d", (1, 2, 3, 7), (2, 2, 1, 1), (2,), {"stride": 3}),
    ("conv_transpose2d", (2, 3, 3, 4), (3, 2, 3, 3), (2,), {}),
    ("conv_transpose2d", (1, 3, 3, 2), (3, 2, 3, 2), None, {"stride": 2, "padding": 1, "output_padding": 1}),
    ("conv_transpose2d", (1, 4, 3, 3), (4, 1, 3, 3), (2,), {"groups": 2, "stride": (2, 3), "padding": (0, 1)}),
    ("conv_transpose2d", (1, 2, 3, 3), (2, 2, 2, 2), (2,), {"dilation": 3, "output_padding": 2, "stride": 1}),
    ("conv_transpose2d", (2, 3, 3), (2, 1, 2, 2), (1,), {"stride": 3}),
    ("conv1d", (2, 3, 9), (4, 3, 3), (4,), {"stride": 2, "padding": 1}),
    ("conv1d", (3, 8), (2, 3, 3), None, {"dilation": (2,), "padding": (2,)}),
    ("conv1d", (1, 2, 8), (4, 1, 4), (4,), {"padding": "same", "groups": 2}),
    ("conv_transpose1d", (2, 3, 5), (3, 2, 4), (2,), {"stride": 3, "padding": 1, "output_padding": 2}),
    ("conv_transpose1d", (2, 5), (2, 3, 3), (3,), {"dilation": 2}),
]


def name(case):
    return f"{case[0]} {case[1]} {case[4]}"


def tensors(case, dtype=np.float64):
    rng = np.random.default_rng(0)
    shapes = [s for s in case[1:4] if s is not None]
    return [fd.Tensor(rng.standard_normal(s).astype(dtype), requires_grad=True) for s in shapes]


def call(module, case, *inputs):
    return getattr(module, case[0])(*inputs, **({} if len(inputs) == 3 else {"bias": None}), **case[4])


@pytest.mark.parametrize("case", CASES, ids=name)
def test_first_derivative(case):
    assert gradcheck(lambda *inputs: call(F, case, *inputs), tensors(case))


@pytest.mark.parametrize("case", CASES, ids=name)
def test_second_derivative(case):
    assert gradgradcheck(lambda *inputs: call(F, case, *inputs), tensors(case))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=name)
def test_equals_torch(case, dtype):
    torch = pytest.importorskip("torch")
    ours = tensors(case, dtype)
    theirs = [torch.tensor(t.numpy(force=True), requires_grad=True) for t in ours]
    y, want = call(F, case, *ours), call(torch.nn.functional, case, *theirs)
    rtol, atol = (1e-4, 1e-5) if dtype == np.float32 else (1e-10, 1e-12)
    np.testing.assert_allclose(y.array, want.detach().numpy(), rtol, atol)
    (y * y).sum().backward()
    (want * want).sum().backward()
    for t, u in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(t.grad.array, u.grad.numpy(), rtol, atol * 10)


@pytest.mark.parametrize("case", [CASES[1], CASES[10]], ids=name)
def test_higher_derivatives(case):
    """Linear in the input, so dx does not depend on it; quadratic forms of dx have derivatives in the weight."""
    x, w = tensors(case)
    y = call(F, case, x, w)
    (dx,) = fd.autograd.grad(y.sum(), x, create_graph=True)
    (dxw,) = fd.autograd.grad((dx * dx).sum(), w, create_graph=True)
    (dxww,) = fd.autograd.grad(dxw.sum(), w)
    assert np.isfinite(dxww.array).all() and np.abs(dxww.array).max() > 0
    (dxx,) = fd.autograd.grad(dx.sum(), x, allow_unused=True)
    assert dxx is None or not dxx.array.any()


def test_only_wanted_gradients():
    x, w, b = tensors(CASES[0])
    x.requires_grad_(False)
    w.requires_grad_(False)
    F.conv2d(x, w, b).sum().backward()
    assert x.grad is None and w.grad is None
    np.testing.assert_allclose(b.grad.array, np.full(4, 2 * 3 * 4))


def test_results_are_channels_last():
    x, w = fd.zeros(2, 3, 6, 5), fd.zeros(4, 3, 3, 3)
    assert F.conv2d(x, w).array.transpose(0, 2, 3, 1).flags.c_contiguous
    assert F.conv_transpose2d(F.conv2d(x, w), w).array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_asymmetric_padding_is_padding_then_convolving():
    x, w = tensors(("", (1, 2, 4, 5), (3, 2, 3, 3), None))
    want = F.conv2d(F.pad(x, (3, 0, 1, 2)), w)
    np.testing.assert_allclose(F.conv2d(x, w, padding=(1, 2, 3, 0)).array, want.array)
    assert gradcheck(lambda x, w: F.conv2d(x, w, padding=(1, 2, 3, 0), stride=2), (x, w))


def test_winograd_is_close_to_exact():
    rng = np.random.default_rng(0)
    x = fd.Tensor(rng.standard_normal((2, 32, 20, 20)).astype(np.float32), requires_grad=True)
    w = fd.Tensor(rng.standard_normal((24, 32, 3, 3)).astype(np.float32), requires_grad=True)

    def results():
        x.grad = w.grad = None
        y = F.conv2d(x, w, padding=1)
        (y * y).sum().backward()
        return y.array, x.grad.array, w.grad.array

    auto = results()
    with fd.set_conv_algorithm("exact"):
        assert fd.conv_algorithm() == "exact"
        exact = results()
    assert fd.conv_algorithm() == "auto"
    for a, e in zip(auto, exact, strict=True):
        assert np.linalg.norm(a - e) < 1e-5 * np.linalg.norm(e)


def test_errors():
    x, w = fd.zeros(1, 2, 4, 4), fd.zeros(3, 2, 3, 3)
    with pytest.raises(ValueError, match="conv2d: input must have 4 axes"):
        F.conv2d(fd.zeros(4, 4), w)
    with pytest.raises(ValueError, match="expects 2"):
        F.conv2d(fd.zeros(1, 3, 4, 4), w)
    with pytest.raises(ValueError, match="'same' needs stride 1"):
        F.conv2d(x, w, padding="same", stride=2)
    with pytest.raises(ValueError, match="'same' or 'valid'"):
        F.conv2d(x, w, padding="reflect")
    with pytest.raises(ValueError, match="weight must have 3 axes"):
        F.conv1d(fd.zeros(1, 2, 4), w)
    with pytest.raises(ValueError, match="stride must be one integer"):
        F.conv1d(fd.zeros(1, 2, 4), fd.zeros(3, 2, 3), stride=(1, 2))
    with pytest.raises(ValueError, match="output_padding"):
        F.conv_transpose2d(fd.zeros(1, 3, 4, 4), w, output_padding=1)
    with pytest.raises(TypeError, match="float64"):
        F.conv2d(x.double(), w)
    with pytest.raises(ValueError, match="auto"):
        fd.set_conv_algorithm("fast")


def test_relu_in_the_same_pass():
    x, w, b = tensors(CASES[0])
    assert gradcheck(lambda *t: F.conv2d(*t, act="relu"), (x, w, b))
    assert gradgradcheck(lambda *t: F.conv2d(*t, act="relu"), (x, w, b))
    x, w, b = tensors(CASES[0], np.float32)
    fused, plain = F.conv2d(x, w, b, act="relu"), F.relu(F.conv2d(x, w, b))
    np.testing.assert_array_equal(fused.detach().numpy(), plain.detach().numpy())
    with pytest.raises(ValueError, match="act"):
        F.conv2d(x, w, b, act="tanh")


def test_sequential_gives_a_convolution_its_relu(monkeypatch):
    calls = []
    original = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda *args: calls.append(args[7]) or original(*args))
    nn, x = fd.nn, fd.rand(2, 3, 8, 8)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity(), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    y = net(x)
    assert calls == ["relu", None]  # before a pool the maxima get it: no more is kept for the backward pass than they
    for layer in net:
        x = layer(x)
    np.testing.assert_array_equal(y.detach().numpy(), x.detach().numpy())
