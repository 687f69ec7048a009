"""Resizing: hand-worked numbers for the naive rung, errors of the contract, PyTorch side by side."""

import numpy as np
import pytest

from fastdl import kernels
from fastdl.kernels.resize import resize_backward_x, resize_forward

RAMP = np.array([[[[0.0, 4.0]]]])


@pytest.mark.parametrize(
    ("mode", "corners", "want"),
    [
        ("nearest", False, [0, 0, 4, 4]),
        ("bilinear", False, [0, 1, 3, 4]),  # centres at -1/4 (clamped to 0), 1/4, 3/4, 5/4 (clamped to 1)
        ("bilinear", True, [0, 4 / 3, 8 / 3, 4]),
    ],
)
def test_by_hand(mode, corners, want):
    with kernels.use("naive"):
        out = resize_forward(RAMP, (1, 4), mode, corners)
        np.testing.assert_allclose(out[0, 0, 0], want)
        dx = resize_backward_x(np.ones((1, 1, 1, 4)), (1, 2), mode, corners)
    np.testing.assert_allclose(dx[0, 0, 0], [2, 2])


def test_cubic_weights_at_the_middle():
    with kernels.use("naive"):  # a = -3/4, half-way: -3/32, 19/32, 19/32, -3/32
        out = resize_forward(np.array([[[[0.0, 32, 0, 0, 0, 0, 0, 0, 0]]]]), (1, 3), "bicubic", False)
        middle = resize_forward(np.array([[[[1.0, 10, 100, 1000]]]]), (1, 1), "bicubic", False)
    np.testing.assert_allclose(out[0, 0, 0], [32, 0, 0])
    np.testing.assert_allclose(middle[0, 0, 0], [(-3 * 1 + 19 * 10 + 19 * 100 - 3 * 1000) / 32])


@pytest.mark.parametrize(
    ("mode", "corners"),
    [("nearest", False), ("bilinear", False), ("bilinear", True), ("bicubic", False), ("bicubic", True)],
)
@pytest.mark.parametrize(
    ("size", "out_size"), [((5, 7), (10, 14)), ((9, 8), (4, 3)), ((6, 5), (7, 13)), ((3, 4), (1, 1))]
)
def test_as_torch(mode, corners, size, out_size):
    torch = pytest.importorskip("torch")
    options = {} if mode == "nearest" else {"align_corners": corners}
    x = np.random.default_rng(0).standard_normal((2, 19, *size)).astype(np.float32)
    leaf = torch.tensor(x, requires_grad=True)
    want = torch.nn.functional.interpolate(leaf, out_size, mode=mode, **options)
    np.testing.assert_allclose(resize_forward(x, out_size, mode, corners), want.detach().numpy(), rtol=1e-4, atol=1e-5)
    dy = np.random.default_rng(1).standard_normal(want.shape).astype(np.float32)
    want.backward(torch.tensor(dy))
    np.testing.assert_allclose(resize_backward_x(dy, size, mode, corners), leaf.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_nearest_picks_the_pixels_that_torch_picks():
    torch = pytest.importorskip("torch")
    for size in (3, 7, 10, 48, 1000):
        x = np.arange(size, dtype=np.float32).reshape(1, 1, 1, size)
        for out in (1, 2, 5, 9, 14, 20, 49, 96, 333, 999):
            want = torch.nn.functional.interpolate(torch.tensor(x), (1, out)).numpy()
            np.testing.assert_array_equal(resize_forward(x, (1, out)), want, err_msg=f"{size} -> {out}")


def test_errors():
    with pytest.raises(ValueError, match="unknown mode 'area'"):
        resize_forward(RAMP, (2, 2), "area")
    with pytest.raises(ValueError, match="at least 1"):
        resize_forward(RAMP, (0, 2))
    with pytest.raises(ValueError, match="no pixels"):
        resize_forward(RAMP[:, :, :, :0], (2, 2))
    with pytest.raises(ValueError, match="must have 4 axes"):
        resize_forward(RAMP[0], (2, 2))
    with pytest.raises(TypeError, match="int64"):
        resize_forward(RAMP.astype(int), (2, 2))
