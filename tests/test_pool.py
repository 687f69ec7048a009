"""Pooling: hand-worked numbers for the naive rung, errors of the contract, PyTorch side by side."""

import numpy as np
import pytest

from fastdl import kernels
from fastdl.kernels import pool2d

GRID = np.arange(12.0).reshape(1, 1, 3, 4)  # rows 0 1 2 3 / 4 5 6 7 / 8 9 10 11


@pytest.fixture
def naive():
    with kernels.use("naive"):
        yield


def test_max_by_hand(naive):
    rows, cols = pool2d.sliding("t", GRID.shape, 2, stride=1)
    out, index = pool2d.max_pool2d_forward(GRID, rows, cols)
    np.testing.assert_array_equal(out[0, 0], [[5, 6, 7], [9, 10, 11]])
    np.testing.assert_array_equal(index, np.full((1, 1, 2, 3), 3))
    np.testing.assert_array_equal(pool2d.flat_index(index, rows, cols)[0, 0], [[5, 6, 7], [9, 10, 11]])
    dx = pool2d.max_pool2d_backward_x(np.array([[[[1.0, 2, 3], [4, 5, 6]]]]), index, rows, cols)
    np.testing.assert_array_equal(dx[0, 0], [[0, 0, 0, 0], [0, 1, 2, 3], [0, 4, 5, 6]])
    picked = pool2d.max_pool2d_backward_dy(GRID * 10, index, rows, cols)
    np.testing.assert_array_equal(picked[0, 0], [[50, 60, 70], [90, 100, 110]])


def test_gradients_of_overlapping_windows_add_up(naive):
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 1, 1] = 1
    rows, cols = pool2d.sliding("t", x.shape, 2, stride=1)
    out, index = pool2d.max_pool2d_forward(x, rows, cols)
    np.testing.assert_array_equal(index[0, 0], [[3, 2], [1, 0]])
    dx = pool2d.max_pool2d_backward_x(out, index, rows, cols)
    assert dx[0, 0, 1, 1] == 4 and dx.sum() == 4


def test_ties_take_the_first_tap_and_nan_the_last(naive):
    x = np.ones((1, 1, 2, 4))
    x[0, 0, 0, 2], x[0, 0, 1, 2] = np.nan, np.nan
    out, index = pool2d.max_pool2d_forward(x, *pool2d.sliding("t", x.shape, 2))
    assert out[0, 0, 0, 0] == 1 and index[0, 0, 0, 0] == 0
    assert np.isnan(out[0, 0, 0, 1]) and index[0, 0, 0, 1] == 2


def test_average_by_hand(naive):
    def average(**windows):
        return pool2d.avg_pool2d_forward(GRID, *pool2d.sliding("t", GRID.shape, **windows))[0, 0]

    np.testing.assert_allclose(average(kernel_size=2), [[2.5, 4.5]])
    # padding of one: the corner window holds 0 0 / 0 0 of padding and the pixel 0, the next one the pixels 1 and 2
    padded = {"kernel_size": 2, "padding": 1}
    np.testing.assert_allclose(average(**padded), [[0, 0.75, 0.75], [3, 7.5, 4.5]])
    np.testing.assert_allclose(average(**padded, count_include_pad=False), [[0, 1.5, 3], [6, 7.5, 9]])
    np.testing.assert_allclose(average(**padded, divisor_override=1), [[0, 3, 3], [12, 30, 18]])
    # ceil: the last row of windows holds one row; what lies beyond the padding is not counted
    np.testing.assert_allclose(average(kernel_size=2, ceil_mode=True), [[2.5, 4.5], [8.5, 10.5]])


def test_adaptive_windows_by_hand(naive):
    rows, cols = pool2d.adaptive("t", GRID.shape, (2, 3))
    out = pool2d.avg_pool2d_forward(GRID, rows, cols)  # rows {0, 1} {1, 2}; columns {0, 1} {1, 2} {2, 3}
    np.testing.assert_allclose(out[0, 0], [[2.5, 3.5, 4.5], [6.5, 7.5, 8.5]])
    assert pool2d.max_pool2d_forward(GRID, rows, cols)[0][0, 0].tolist() == [[5, 6, 7], [9, 10, 11]]
    assert pool2d.adaptive("t", GRID.shape, (None, 1))[0].outputs == 3


@pytest.mark.parametrize("rung", kernels.RUNGS)
def test_max_without_index(rung):
    x = np.random.default_rng(0).standard_normal((2, 20, 7, 9)).astype(np.float32)
    windows = pool2d.sliding("t", x.shape, 3, stride=2, padding=1)
    with kernels.use(rung):
        out, index = pool2d.max_pool2d_forward(x, *windows, want_index=False)
        assert index is None
        np.testing.assert_array_equal(out, pool2d.max_pool2d_forward(x, *windows)[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pool2d.sliding("pool", (1, 1, 3, 4), 5), "a window of 5 does not fit into an axis of 3"),
        (lambda: pool2d.sliding("pool", (1, 1, 9, 9), 3, padding=2), "at most half of kernel_size"),
        (
            lambda: pool2d.sliding("pool", (1, 1, 9, 9), 3, stride=0),
            "stride must be one integer or two, each at least 1",
        ),
        (lambda: pool2d.sliding("pool", (1, 1, 9, 9), 3, divisor_override=0), "must not be zero"),
        (lambda: pool2d.adaptive("pool", (1, 1, 0, 9), 1), "no pixels"),
        (lambda: pool2d.adaptive("pool", (1, 1, 3, 9), -1), "at least 0"),
        (lambda: pool2d.max_pool2d_forward(GRID, *pool2d.sliding("pool", (1, 1, 9, 9), 3)), "made for 9 x 9"),
        (lambda: pool2d.max_pool2d_forward(GRID[0], *pool2d.sliding("pool", GRID.shape, 2)), "must have 4 axes"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_dtypes():
    windows = pool2d.sliding("pool", GRID.shape, 2)
    with pytest.raises(TypeError, match="int64"):
        pool2d.max_pool2d_forward(GRID.astype(np.int64), *windows)
    with pytest.raises(ValueError, match="index must be uint8"):
        pool2d.max_pool2d_backward_x(GRID[:, :, :1, :2], np.zeros((1, 1, 1, 2), np.int64), *windows)


# --- side by side with PyTorch ---
TORCH_WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (3, 2), "stride": (1, 3), "padding": (1, 0)},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
]


@pytest.mark.parametrize("shape", [(2, 3, 9, 11), (1, 18, 8, 7)])
@pytest.mark.parametrize("windows", [*TORCH_WINDOWS, {"kernel_size": 3, "padding": 1, "dilation": 2}], ids=str)
def test_max_as_torch(windows, shape):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).integers(-3, 4, shape).astype(np.float32)
    x[0, 0, 2, 2:4], x[0, 1, :3] = np.nan, -np.inf
    rows, cols = pool2d.sliding("t", shape, **windows)
    out, index = pool2d.max_pool2d_forward(x, rows, cols)
    leaf = torch.tensor(x, requires_grad=True)
    want, where = torch.nn.functional.max_pool2d(leaf, **windows, return_indices=True)
    np.testing.assert_array_equal(out, want.detach().numpy())
    np.testing.assert_array_equal(pool2d.flat_index(index, rows, cols), where.numpy())
    dy = np.random.default_rng(1).integers(-8, 9, out.shape).astype(np.float32)
    want.backward(torch.tensor(dy))
    np.testing.assert_array_equal(pool2d.max_pool2d_backward_x(dy, index, rows, cols), leaf.grad.numpy())


@pytest.mark.parametrize("extra", [{}, {"count_include_pad": False}, {"divisor_override": 7}], ids=str)
@pytest.mark.parametrize("windows", TORCH_WINDOWS, ids=str)
def test_average_as_torch(windows, extra):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 18, 9, 11)).astype(np.float32)
    rows, cols = pool2d.sliding("t", x.shape, **windows, **extra)
    out = pool2d.avg_pool2d_forward(x, rows, cols)
    leaf = torch.tensor(x, requires_grad=True)
    want = torch.nn.functional.avg_pool2d(leaf, **windows, **extra)
    np.testing.assert_allclose(out, want.detach().numpy(), rtol=1e-5, atol=1e-6)
    dy = np.random.default_rng(1).standard_normal(out.shape).astype(np.float32)
    want.backward(torch.tensor(dy))
    np.testing.assert_allclose(pool2d.avg_pool2d_backward_x(dy, rows, cols), leaf.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, (3, 4), (5, None), 12])
def test_adaptive_as_torch(size):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 5, 9, 11)).astype(np.float32)
    rows, cols = pool2d.adaptive("t", x.shape, size)
    want = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(x), size)
    np.testing.assert_allclose(pool2d.avg_pool2d_forward(x, rows, cols), want.numpy(), rtol=1e-5, atol=1e-6)
    size = tuple(s if s else n for s, n in zip(size, x.shape[2:], strict=True)) if isinstance(size, tuple) else size
    want, where = torch.nn.functional.adaptive_max_pool2d(torch.tensor(x), size, return_indices=True)
    out, index = pool2d.max_pool2d_forward(x, rows, cols)
    np.testing.assert_array_equal(out, want.numpy())
    np.testing.assert_array_equal(pool2d.flat_index(index, rows, cols), where.numpy())
