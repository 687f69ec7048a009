"""batch_norm and layer_norm: numbers worked by hand, errors, statistics; the ops against PyTorch, their derivatives."""

import numpy as np
import pytest

from fastdl import kernels
from fastdl.kernels.batch_norm import batch_norm_backward, batch_norm_forward
from fastdl.kernels.layer_norm import layer_norm_backward, layer_norm_forward

ROOT_HALF = 0.5**0.5


@pytest.fixture(params=kernels.RUNGS)
def rung(request):
    with kernels.use(request.param):
        yield request.param


def array(values):
    return np.array(values, np.float32)


# --- by hand -----------------------------------------------------------------------------------------------------
def test_batch_norm_by_hand(rung):
    """Column (1, 3): mean 2, variance 1; column (-4, 4): mean 0, variance 16. eps 0, weight (2, 1), bias (1, 0)."""
    x = array([[1, -4], [3, 4]])
    y, stats = batch_norm_forward(x, array([2, 1]), array([1, 0]), eps=0.0)
    np.testing.assert_allclose(y, [[-1, -1], [3, 1]], rtol=1e-6)
    np.testing.assert_allclose(stats[:, 0], [[2, 0], [1, 16], [0, 0]], atol=1e-6)
    y, _ = batch_norm_forward(x, array([2, 1]), array([1, 0]), eps=0.0, act="relu", residual=array([[0, 5], [-9, 0]]))
    np.testing.assert_allclose(y, [[0, 4], [0, 1]], rtol=1e-6)


def test_batch_norm_backward_by_hand(rung):
    """x column (-1, 0, 1), variance 2/3, rstd r = sqrt(3/2), z = (-r, 0, r). With dy = (1, 0, 0): mean(dy) = 1/3,
    mean(dy z) = -r/3, dx = r (2/3 - r^2/3, -1/3, -1/3 + r^2/3) = r (1/6, -1/3, 1/6).
    """
    x = array([[-1], [0], [1]])
    _, stats = batch_norm_forward(x, eps=0.0)
    dx, dw, db = batch_norm_backward(array([[1], [0], [0]]), x, None, None, stats, eps=0.0)
    r = 1.5**0.5
    np.testing.assert_allclose(dx[:, 0], [r / 6, -r / 3, r / 6], atol=1e-6)
    np.testing.assert_allclose([dw[0], db[0]], [-r, 1], rtol=1e-6)


def test_group_norm_by_hand(rung):
    """Two samples, two groups of two channels, no space: each group is a pair (a, b) that becomes (-1, 1)."""
    x = array([[1, 5, 10, 20], [7, 3, -1, 1]])
    y, stats = batch_norm_forward(x, eps=0.0, groups=2)
    np.testing.assert_allclose(y, [[-1, 1, -1, 1], [1, -1, -1, 1]], rtol=1e-6)
    np.testing.assert_allclose(stats[:2], [[[3, 15], [5, 0]], [[4, 25], [4, 1]]], atol=1e-6)


def test_layer_norm_by_hand(rung):
    x = array([[1, 3, 1, 3], [0, 0, 0, 8]])
    y, stats = layer_norm_forward(x, array([1, 1, 1, 2]), array([0, 0, 0, 1]), eps=0.0)
    r = 3**0.5
    np.testing.assert_allclose(y, [[-1, 1, -1, 3], [-1 / r, -1 / r, -1 / r, 2 * r + 1]], rtol=1e-6)
    np.testing.assert_allclose(stats, [[2, 2], [1, 12], [0, 0]], atol=1e-6)


def test_layer_norm_backward_by_hand(rung):
    """Row (-1, 1): z = x, rstd 1; dy = (1, 0): dx = (1 - 1/2 - 1/2, -1/2 + 1/2) = 0, dw = dy z = (-1, 0), db = dy."""
    x = array([[-1, 1]])
    _, stats = layer_norm_forward(x, eps=0.0)
    dx, dw, db = layer_norm_backward(array([[1, 0]]), x, None, stats, eps=0.0)
    np.testing.assert_allclose(dx, [[0, 0]], atol=1e-6)
    np.testing.assert_allclose(dw, [-1, 0], atol=1e-6)
    np.testing.assert_allclose(db, [1, 0], atol=1e-6)


def test_rms_norm_by_hand(rung):
    """Row (3, 4): mean square 12.5, rms 5 sqrt(1/2)."""
    y, _ = layer_norm_forward(array([[3, 4]]), eps=0.0, rms=True)
    np.testing.assert_allclose(y, [[0.6 / ROOT_HALF, 0.8 / ROOT_HALF]], rtol=1e-6)


def test_statistics_survive_a_large_mean(rung):
    """Mean 4096, deviation 0.5, all exact in float32: E[x^2] - E[x]^2 would lose all of it, the kernels nothing."""
    x = np.tile(array([4095.5, 4096.5]), 500)[:, None]
    _, stats = batch_norm_forward(x)
    np.testing.assert_array_equal(stats[:, 0, 0], array([4096, 0.25, 0]))
    _, stats = layer_norm_forward(x.T)
    np.testing.assert_allclose(stats[:, 0], array([4096, 0.25, 0]), atol=1e-7)


def test_relu_mask_is_that_of_the_forward_pass(rung):
    """Where y is 0, dresidual and so dx's source must be 0, bit for bit, however close to 0 the argument was."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((64, 5, 9, 7)).astype(np.float32)
    w, b = rng.standard_normal((2, 5)).astype(np.float32)
    y, stats = batch_norm_forward(x, w, b, act="relu")
    ones = np.ones_like(x)
    _, _, db = batch_norm_backward(ones, x, w, b, stats, act="relu")
    np.testing.assert_array_equal(db, (y > 0).sum((0, 2, 3)))


# --- errors --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: batch_norm_forward(x[0, 0]), ValueError, "at least 2 axes"),
        (lambda x: batch_norm_forward(x, x[0, 0]), ValueError, "weight must have shape (4,)"),
        (lambda x: batch_norm_forward(x, bias=np.ones(4, np.float64)), TypeError, "bias is float64"),
        (lambda x: batch_norm_forward(x, residual=x[:1]), ValueError, "residual must have the shape"),
        (lambda x: batch_norm_forward(x, groups=3), ValueError, "4 channels cannot be divided into 3"),
        (lambda x: batch_norm_forward(x, act="gelu"), ValueError, "act must be"),
        (lambda x: batch_norm_forward(x.astype(int)), TypeError, "x has dtype int64"),
        (lambda x: layer_norm_forward(x, x[0, 0, :3]), ValueError, "weight must have shape (5,)"),
        (lambda x: layer_norm_forward(x, axes=4), ValueError, "the last 4 axes"),
        (lambda x: layer_norm_forward(x, residual=x[:1]), ValueError, "residual must have the shape"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error) as info:
        call(np.ones((2, 4, 5), np.float32))
    assert words in str(info.value)
