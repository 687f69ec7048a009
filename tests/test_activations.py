"""Every activation layer beside torch's: values, first and second derivatives, small and large arrays, large numbers."""

import numpy as np
import pytest

import fastdl as fd
from fastdl import nn

ACTIVATIONS = {
    "CELU": (0.5,),
    "ELU": (0.7,),
    "GELU": (),
    "GELU tanh": ("tanh",),
    "GLU": (1,),
    "Hardshrink": (0.6,),
    "Hardsigmoid": (),
    "Hardswish": (),
    "Hardtanh": (-0.7, 1.2),
    "LeakyReLU": (0.2,),
    "LogSigmoid": (),
    "LogSoftmax": (1,),
    "Mish": (),
    "PReLU": (4, 0.3),
    "ReLU": (),
    "ReLU6": (),
    "SELU": (),
    "SiLU": (),
    "Sigmoid": (),
    "Softmax": (1,),
    "Softmax2d": (),
    "Softmin": (1,),
    "Softplus": (2.0, 5.0),
    "Softshrink": (0.4,),
    "Softsign": (),
    "Tanh": (),
    "Tanhshrink": (),
    "Threshold": (0.2, -1.0),
}  # RReLU is random in training: see below


def build(library, name):
    return getattr(library, name.split()[0])(*ACTIVATIONS[name])


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="the comparison with torch needs torch")


def test_the_table_holds_every_activation_of_torch(torch):
    theirs = set(torch.nn.modules.activation.__all__) - {"MultiheadAttention", "RReLU"}
    assert theirs == {name.split()[0] for name in ACTIVATIONS}
    assert all(hasattr(nn, name) for name in torch.nn.modules.activation.__all__)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(2, 4, 3, 2), (4, 4, 16, 16)], ids=["small", "large"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_two_derivatives_equal_torch(name, shape, dtype, torch):
    """Small arrays go through NumPy, large ones through the kernel; torch computes in float64."""
    rng = np.random.default_rng(5)
    data = (rng.standard_normal(shape) * 2).astype(dtype)
    x, t = fd.tensor(data, requires_grad=True), torch.tensor(data, dtype=torch.float64, requires_grad=True)
    mine, theirs = build(nn, name).to(dtype), build(torch.nn, name).to(torch.float64)
    tolerance = {"rtol": 1e-7, "atol": 1e-9} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-5}

    def same(a, b):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **tolerance)

    y, u = mine(x), theirs(t)
    same(y, u)
    assert str(y.dtype) == dtype
    weights = rng.standard_normal(y.shape).astype(dtype)
    plain = fd.autograd.grad((y * fd.tensor(weights)).sum(), x)[0]  # by the kernel where the array is large
    y = mine(x)  # and recorded
    dx = fd.autograd.grad((y * fd.tensor(weights)).sum(), x, create_graph=True)[0]
    once_only = name == "Hardsigmoid"  # in torch; its second derivative is 0
    du = torch.autograd.grad((u * torch.tensor(weights)).sum(), t, create_graph=not once_only)[0]
    same(plain, du)
    same(dx, du)
    got = fd.autograd.grad((dx * dx).sum(), x, allow_unused=True)[0] if dx.requires_grad else None
    want = torch.autograd.grad((du * du).sum(), t, allow_unused=True)[0] if du.requires_grad else None
    zeros = np.zeros(shape)
    np.testing.assert_allclose(
        zeros if got is None else got.numpy(), zeros if want is None else want.numpy(), **tolerance
    )


@pytest.mark.parametrize("size", [6, 4096])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_numbers_of_any_size_are_safe(name, size, torch):
    """+-1e4, +-100, +-0 and inf: what torch gives, without a warning and without NaN in the gradient of finite numbers."""
    base = np.array([1e4, -1e4, 100, -100, 0.0, -0.0], "f")
    data = np.tile(base, -(-size // 6) * 4)[: 4 * size].reshape(1, 4, size, 1)
    x, t = fd.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    y, u = build(nn, name)(x), build(torch.nn, name)(t)
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-5, atol=1e-6)
    y.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
    u.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_the_slope_of_relu_at_zero_is_zero():
    for size in (1, 4096):
        x = fd.zeros(size, requires_grad=True)
        nn.ReLU()(x).sum().backward()
        assert not x.grad.numpy().any()


def test_rrelu_draws_slopes_in_training_and_takes_their_mean_in_evaluation():
    layer = nn.RReLU(0.1, 0.5)
    x = fd.tensor(np.concatenate([np.full(4000, -2.0), np.full(10, 3.0)]).astype("f"), requires_grad=True)
    fd.manual_seed(0)
    y = layer(x)
    y.sum().backward()
    slope = x.grad.numpy()
    np.testing.assert_allclose(y.detach().numpy(), x.detach().numpy() * slope, rtol=1e-6)
    assert slope[:4000].min() >= 0.1 and slope[:4000].max() <= 0.5 and (slope[4000:] == 1).all()
    assert abs(slope[:4000].mean() - 0.3) < 4 * 0.4 / np.sqrt(12 * 4000)
    fd.manual_seed(0)
    np.testing.assert_array_equal(layer(x).detach().numpy(), y.detach().numpy())
    layer.eval()
    np.testing.assert_allclose(layer(x).detach().numpy()[:4000], -0.6, rtol=1e-6)
    with pytest.raises(ValueError, match="lower must not exceed upper"):
        nn.RReLU(0.5, 0.1)(x)


def test_maxout_is_the_maximum_of_neighbours():
    data = np.random.default_rng(0).permutation(24).reshape(2, 6, 2).astype(np.float64)
    x = fd.tensor(data, requires_grad=True)
    y = nn.Maxout(3)(x)
    want = data.reshape(2, 2, 3, 2).max(2)
    np.testing.assert_array_equal(y.detach().numpy(), want)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.isin(data, want))
    assert nn.Maxout(2, dim=-1)(x).shape == (2, 6, 1)
    assert fd.autograd.gradcheck(nn.Maxout(3), [x]) and fd.autograd.gradgradcheck(nn.Maxout(3), [x])
    with pytest.raises(ValueError, match="does not divide into groups of 4"):
        nn.Maxout(4)(x)
