"""conv2d: numbers worked by hand, and the errors of the contract. Rungs against each other: test_kernels.py."""

import numpy as np
import pytest

from fastdl import kernels
from fastdl.kernels.conv2d import conv2d_backward_w, conv2d_backward_x, conv2d_forward, conv2d_forward_cost

X = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)  # 1 2 3 / 4 5 6 / 7 8 9
W = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])


@pytest.fixture(params=["naive", "numpy"])
def rung(request):
    with kernels.use(request.param):
        yield request.param


def test_by_hand(rung):
    # 1 + 2*2 + 3*4 + 4*5 = 37, then 47, 67, 77
    assert conv2d_forward(X, W).tolist() == [[[[37, 47], [67, 77]]]]
    assert conv2d_forward(X, W, np.array([-50.0]), act="relu").tolist() == [[[[0, 0], [17, 27]]]]
    # stride 2, one zero row above and one zero column left: taps (v: 4), (3 4), (2 4), (1 2 3 4)
    assert conv2d_forward(X, W, stride=2, padding=(1, 0, 1, 0)).tolist() == [[[[4, 18], [36, 77]]]]
    assert conv2d_forward(X, W, dilation=2).tolist() == [[[[1 + 6 + 21 + 36]]]]


def test_gradients_by_hand(rung):
    dy = np.array([[[[1.0, 0.0], [0.0, 10.0]]]])
    assert conv2d_backward_x(dy, W, X.shape).tolist() == [[[[1, 2, 0], [3, 4 + 10, 20], [0, 30, 40]]]]
    dw, db = conv2d_backward_w(dy, X, W.shape, want_bias=True)
    assert dw.tolist() == [[[[51, 62], [84, 95]]]]
    assert db.tolist() == [11]


def test_groups_by_hand(rung):
    x = np.array([1.0, 10.0, 100.0, 1000.0]).reshape(1, 4, 1, 1)
    w = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1)
    assert conv2d_forward(x, w, groups=2).ravel().tolist() == [21, 4300]


def test_result_is_channels_last():
    y = conv2d_forward(np.ones((2, 3, 5, 6), np.float32), np.ones((4, 3, 3, 3), np.float32))
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


def test_cost():
    assert (
        conv2d_forward_cost(np.ones((8, 64, 56, 56)), np.ones((64, 64, 3, 3)), padding=1)[0]
        == 2 * 8 * 64 * 64 * 9 * 56 * 56
    )


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("x must have 4 axes", {"x": np.ones((3, 3))}),
        ("w must have 4 axes", {"w": np.ones((3, 3))}),
        ("x has 1 channels, but w .* expects 2", {"w": np.ones((1, 2, 2, 2))}),
        ("filter covers 4 x 4", {"w": np.ones((1, 1, 4, 4))}),
        ("must not be empty", {"w": np.ones((1, 1, 0, 2))}),
        ("bias must have shape", {"b": np.ones(2)}),
        ("stride must be", {"stride": 0}),
        ("stride must be", {"stride": (1, 2, 3)}),
        ("padding must be", {"padding": -1}),
        ("padding must be", {"padding": 1.5}),
        ("dilation must be", {"dilation": 0}),
        ("cannot be split", {"groups": 2}),
        ("groups must be", {"groups": 0}),
        ("act must be", {"act": "gelu"}),
    ],
)
def test_errors(message, arguments):
    with pytest.raises(ValueError, match=message):
        conv2d_forward(**{"x": X, "w": W, **arguments})


def test_errors_of_gradients():
    with pytest.raises(ValueError, match="dy must have the shape"):
        conv2d_backward_x(np.ones((1, 1, 3, 3)), W, X.shape)
    with pytest.raises(ValueError, match="dy must have the shape"):
        conv2d_backward_w(np.ones((1, 1, 3, 3)), X, W.shape)


def test_errors_of_dtypes():
    with pytest.raises(TypeError, match="x is float64 but w is float32"):
        conv2d_forward(X, W.astype(np.float32))
    with pytest.raises(TypeError, match="int64"):
        conv2d_forward(X.astype(np.int64), W)


def test_lists_are_accepted():
    assert conv2d_forward(X, W, stride=[2, 2], padding=[1, 0, 1, 0]).shape == (1, 1, 2, 2)
