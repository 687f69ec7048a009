"""deconv2d: numbers worked by hand, and the errors of the contract. Rungs against each other: test_kernels.py."""

import numpy as np
import pytest

from fastdl import kernels
from fastdl.kernels.conv2d import conv2d_forward
from fastdl.kernels.deconv2d import deconv2d_backward_w, deconv2d_backward_x, deconv2d_forward, deconv2d_forward_cost

X = np.array([[[[1.0, 10.0]]]])
W = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])


@pytest.fixture(params=["naive", "numpy"])
def rung(request):
    with kernels.use(request.param):
        yield request.param


def test_by_hand(rung):
    assert deconv2d_forward(X, W).tolist() == [[[[1, 12, 20], [3, 34, 40]]]]
    assert deconv2d_forward(X, W, stride=2).tolist() == [[[[1, 2, 10, 20], [3, 4, 30, 40]]]]
    assert deconv2d_forward(X, W, np.array([-4.0]), act="relu").tolist() == [[[[0, 8, 16], [0, 30, 36]]]]
    # a gap of one column between the stamps, one more at the end; the first row is taken away
    got = deconv2d_forward(X, W, stride=3, padding=(1, 0, 0, 0), output_padding=(0, 1))
    assert got.tolist() == [[[[3, 4, 0, 30, 40, 0]]]]


def test_gradients_by_hand(rung):
    dy = np.array([[[[1.0, 0.0, 0.0], [0.0, 0.0, 100.0]]]])
    assert deconv2d_backward_x(dy, W, X.shape).tolist() == [[[[1, 400]]]]
    dw, db = deconv2d_backward_w(dy, X, W.shape, want_bias=True)
    assert dw.tolist() == [[[[1, 0], [0, 1000]]]]
    assert db.tolist() == [101]


def test_is_the_adjoint_of_conv2d():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((4, 3, 3, 3))
    x, y = rng.standard_normal((2, 3, 9, 8)), rng.standard_normal((2, 4, 5, 4))
    left = np.vdot(conv2d_forward(x, w, stride=2, padding=1), y)
    right = np.vdot(x, deconv2d_forward(y, w, stride=2, padding=1, output_padding=(0, 1)))
    np.testing.assert_allclose(left, right, rtol=1e-12)


def test_cost():
    assert (
        deconv2d_forward_cost(np.ones((16, 512, 4, 4)), np.ones((512, 256, 4, 4)), stride=2, padding=1)[0]
        == 2 * 16 * 512 * 16 * 256 * 16
    )


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("x must have 4 axes", {"x": np.ones((3, 3))}),
        ("x has 1 channels, but w", {"w": np.ones((2, 1, 2, 2))}),
        ("output_padding", {"output_padding": 1}),
        ("would have", {"padding": 2}),
        ("bias must have shape", {"b": np.ones(3)}),
        ("act must be", {"act": "tanh"}),
        ("cannot be split", {"groups": 2}),
    ],
)
def test_errors(message, arguments):
    with pytest.raises(ValueError, match=message):
        deconv2d_forward(**{"x": X, "w": W, **arguments})


def test_errors_of_gradients():
    with pytest.raises(ValueError, match="dy must have the shape"):
        deconv2d_backward_x(np.ones((1, 1, 3, 3)), W, X.shape)
    with pytest.raises(ValueError, match="dy must have the shape"):
        deconv2d_backward_w(np.ones((1, 1, 3, 3)), X, W.shape)
