"""Large float32 arrays go through kernels/activation.py: the same values and derivatives of both orders as in float64."""

import numpy as np
import pytest

import fastdl as fd
from fastdl import kernels
from fastdl.autograd import grad
from fastdl.kernels.activation import activation_backward, activation_forward
from fastdl.nn import functional as F
from fastdl.ops import unary

FUNCTIONS = {
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "relu6": F.relu6,
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.7),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "elu": lambda x: F.elu(x, 0.7),
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "softplus": lambda x: F.softplus(x, 2.0, 3.0),
    "mish": F.mish,
    "sigmoid": unary.sigmoid,
    "tanh": unary.tanh,
    "exp": unary.exp,
    "erf": unary.erf,
}
rng = np.random.default_rng(0)
NUMBERS = (2 * rng.standard_normal((6, 5, 13, 11))).astype(np.float32)  # large enough for the kernel
WEIGHTS = rng.standard_normal((2, *NUMBERS.shape)).astype(np.float32)


def derivatives(function, dtype, layout=lambda a: a):
    """Value, first derivative without and with a graph, and second derivative."""
    x = fd.tensor(layout(NUMBERS.astype(dtype)), requires_grad=True)
    v, w = (fd.tensor(layout(a.astype(dtype))) for a in WEIGHTS)
    y = function(x)
    (plain,) = grad(y, x, v, retain_graph=True)
    v.requires_grad = True
    (first,) = grad(y, x, v, create_graph=True)
    seconds = grad(first, (x, v), w, allow_unused=True)
    second = [np.zeros_like(NUMBERS) if s is None else s.array for s in seconds]
    return [y.array, plain.array, first.array, *second]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives(name):
    for got, want in zip(
        derivatives(FUNCTIONS[name], np.float32), derivatives(FUNCTIONS[name], np.float64), strict=True
    ):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6 * max(1, np.abs(want).max()))


@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "hardswish"])
def test_channels_last_stays_channels_last(name):
    def layout(a):
        return a.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)

    results = derivatives(FUNCTIONS[name], np.float32, layout)
    for got, want in zip(results, derivatives(FUNCTIONS[name], np.float32), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)
    for array in results[:2]:
        assert array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_relu_passes_nan():
    x = np.zeros(5000, np.float32)
    x[3] = np.nan
    t = fd.tensor(x, requires_grad=True)
    y = F.relu(t)
    y.sum().backward()
    assert np.isnan(y.array[3]) and np.isnan(y.array).sum() == 1
    assert t.grad.array[3] == 1 and t.grad.array.sum() == 1


def test_by_hand():
    for rung in kernels.RUNGS:
        with kernels.use(rung):
            x = np.array([-1, 0, 2], np.float32)
            np.testing.assert_allclose(activation_forward(x, "leaky_relu", 0.5), [-0.5, 0, 2])
            np.testing.assert_allclose(activation_forward(x, "hardswish"), [-1 / 3, 0, 5 / 3], rtol=1e-6)
            np.testing.assert_allclose(activation_forward(np.log(x + 2), "sigmoid"), [1 / 2, 2 / 3, 4 / 5], rtol=1e-6)
            np.testing.assert_allclose(activation_forward(x[1:], "elu", 3.0, 2.0), [0, 4])
            slopes = activation_backward(np.full(3, 2, np.float32), x, "relu")
            np.testing.assert_array_equal(slopes, [0, 0, 2])
            np.testing.assert_allclose(activation_backward(x[1:] + 1, x[1:], "silu")[0], 0.5, rtol=1e-6)


def test_errors():
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="unknown kind 'swish'"):
        activation_forward(x, "swish")
    with pytest.raises(ValueError, match="dy has shape"):
        activation_backward(x, x[:2], "relu")
    with pytest.raises(TypeError, match="int64"):
        activation_forward(x.astype(int), "relu")
