"""RoI pooling and RoI align: hand-worked numbers for the naive rungs, NaN, errors of the contracts."""

import numpy as np
import pytest
from _torchvision import load as load_torchvision

from fastdl import kernels
from fastdl.kernels.roi_align import roi_align_backward_x, roi_align_forward, roi_align_forward_cost
from fastdl.kernels.roi_pool import roi_pool_backward_dy, roi_pool_backward_x, roi_pool_forward, roi_pool_forward_cost

GRID = np.arange(24.0).reshape(1, 1, 4, 6)  # rows 0..5 / 6..11 / 12..17 / 18..23


def box(*corners, image=0):
    return np.array([[image, *corners]], float)


@pytest.fixture
def naive():
    with kernels.use("naive"):
        yield


# --- RoI max pooling ---
def test_pool_by_hand(naive):
    # 4 columns (1..4) and 3 rows (0..2) in 2 x 2 bins: rows 0..1 and 1..2 (1.5 rounds outwards), columns 1..2 and 3..4
    out, argmax = roi_pool_forward(GRID, box(1, 0, 4, 2), 2)
    np.testing.assert_array_equal(out[0, 0], [[8, 10], [14, 16]])
    np.testing.assert_array_equal(argmax[0, 0], [[8, 10], [14, 16]])
    dx = roi_pool_backward_x(np.array([[[[1.0, 2], [3, 4]]]]), argmax, box(1, 0, 4, 2), GRID.shape)
    assert dx[0, 0].ravel()[[8, 10, 14, 16]].tolist() == [1, 2, 3, 4] and dx.sum() == 10
    np.testing.assert_array_equal(roi_pool_backward_dy(GRID * 2, argmax, box(1, 0, 4, 2)), out * 2)


def test_pool_scales_and_rounds_halves_away_from_zero(naive):
    # 1/4 of 2, 6, 14, 6 is 0.5, 1.5, 3.5, 1.5: columns 1..4, row 2
    out, _ = roi_pool_forward(GRID, box(2, 6, 14, 6), 1, 0.25)
    assert out.item() == 16
    out, _ = roi_pool_forward(GRID, box(-2, -2, 2, 2), 1, 0.25)  # -0.5 rounds to -1: columns and rows -1..1, clipped
    assert out.item() == 7


def test_pool_gives_zero_where_a_bin_is_outside(naive):
    out, argmax = roi_pool_forward(GRID - 100, box(-2, 0, 1, 1), (1, 2))  # columns -2..-1 and 0..1
    assert out[0, 0].tolist() == [[0, -93]]
    assert argmax[0, 0].tolist() == [[24, 7]]  # 24 cells: none
    dx = roi_pool_backward_x(np.ones((1, 1, 1, 2)), argmax, box(-2, 0, 1, 1), GRID.shape)
    assert dx[0, 0, 1, 1] == 1 and dx.sum() == 1


def test_pool_makes_malformed_boxes_one_cell(naive):
    out, _ = roi_pool_forward(GRID, box(3, 2, 1, 0), 2)  # from column 3, row 2, and one cell large
    np.testing.assert_array_equal(out[0, 0], np.full((2, 2), 15))


def test_pool_of_two_boxes_adds_gradients(naive):
    boxes = np.concatenate([box(0, 0, 5, 3), box(4, 2, 5, 3)])
    _, argmax = roi_pool_forward(GRID, boxes, 1)
    dx = roi_pool_backward_x(np.array([1.0, 10]).reshape(2, 1, 1, 1), argmax, boxes, GRID.shape)
    assert dx[0, 0, 3, 5] == 11 and dx.sum() == 11


# --- RoI align ---
def test_align_by_hand(naive):
    # the plane 6 y + x is reproduced exactly inside the map: the mean of a bin is its value at the bin's centre
    out = roi_align_forward(GRID, box(1, 1, 3, 2), 1)
    np.testing.assert_allclose(out.item(), 6 * 1.5 + 2)
    out = roi_align_forward(GRID, box(1, 1, 3, 3), (1, 2), sampling_ratio=2)  # centres (2, 1.5) and (2, 2.5)
    np.testing.assert_allclose(out[0, 0], [[13.5, 14.5]])
    out = roi_align_forward(GRID, box(2, 2, 6, 4), 1, 0.5, aligned=True)  # 0.5..2.5, 0.5..1.5
    np.testing.assert_allclose(out.item(), 6 * 1 + 1.5)


def test_align_at_the_border(naive):
    # samples at y = 0.5 and x = -1.5 (outside: 0), -0.5 (clamped to 0), 0.5: (0 + 3 + 3.5) / 3
    out = roi_align_forward(GRID, box(-2, 0, 1, 1), 1)
    np.testing.assert_allclose(out.item(), 6.5 / 3)
    # x = 5.5 is clamped to 5, x = 6 is the last inside, x = 6.5 is outside
    row = GRID[:, :, :1]
    np.testing.assert_allclose(roi_align_forward(row, box(5, -0.5, 6, 0.5), 1, sampling_ratio=1).item(), 5)
    np.testing.assert_allclose(roi_align_forward(row, box(5.5, -0.5, 6.5, 0.5), 1, sampling_ratio=1).item(), 5)
    assert roi_align_forward(row, box(6, -0.5, 7, 0.5), 1, sampling_ratio=1).item() == 0


def test_align_of_small_boxes(naive):
    # not aligned: at least one cell, so the sample lies half a cell on; aligned: the box as it is
    np.testing.assert_allclose(roi_align_forward(GRID, box(1, 1, 1.5, 1.5), 1).item(), 6 * 1.5 + 1.5)
    np.testing.assert_allclose(roi_align_forward(GRID, box(1, 1, 1.5, 1.5), 1, aligned=True).item(), 6 * 0.75 + 0.75)
    assert roi_align_forward(GRID, box(3, 3, 1, 1), 1, aligned=True).item() == 0  # no samples at all


def test_align_spreads_its_gradient(naive):
    dx = roi_align_backward_x(np.full((1, 1, 1, 1), 8.0), box(1, 1, 2, 2), GRID.shape)  # one sample, at (1.5, 1.5)
    np.testing.assert_allclose(dx[0, 0, 1:3, 1:3], 2)
    assert dx.sum() == 8


@pytest.mark.parametrize("rung", ["naive", "numba", "cython"])
def test_a_nan_stays_in_the_bins_that_touch_it(rung):
    x = np.zeros((1, 1, 8, 8), np.float32)
    x[0, 0, 1, 1] = np.nan
    with kernels.use(rung):
        out = roi_align_forward(x, box(0.25, 0.25, 7.25, 7.25), 2)
    np.testing.assert_array_equal(np.isnan(out[0, 0]), [[True, False], [False, False]])


# --- both ---
@pytest.mark.parametrize("forward", [roi_pool_forward, roi_align_forward])
@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (np.zeros((3, 4)), r"must have shape \(K, 5\)"),
        (box(0, 0, 1, 1, image=1), "must be image numbers 0 to 0"),
        (box(0, 0, 1, 1, image=0.5), "must be image numbers 0 to 0"),
        (box(0, 0, np.nan, 1), "reaches nan cells from the origin"),
        (box(0, 0, 1, 1e9), "reaches 1e.09 cells from the origin; clip boxes"),
    ],
)
def test_wrong_boxes(forward, boxes, message):
    with pytest.raises(ValueError, match=message):
        forward(GRID, boxes, 2)


@pytest.mark.parametrize("forward", [roi_pool_forward, roi_align_forward])
def test_other_errors(forward):
    with pytest.raises(ValueError, match="output_size must be one integer or two, each at least 1"):
        forward(GRID, box(0, 0, 1, 1), 0)
    with pytest.raises(ValueError, match="has no cells"):
        forward(GRID[:, :, :0], box(0, 0, 1, 1), 2)
    with pytest.raises(ValueError, match="must have 4 axes"):
        forward(GRID[0], box(0, 0, 1, 1), 2)
    with pytest.raises(TypeError, match="int64"):
        forward(GRID.astype(int), box(0, 0, 1, 1), 2)
    with pytest.raises(TypeError, match="boxes must be numbers"):
        forward(GRID, box(0, 0, 1, 1) > 0, 2)


def test_gradients_must_fit():
    out, argmax = roi_pool_forward(GRID, box(0, 0, 3, 3), 2)
    with pytest.raises(ValueError, match="argmax must be uint16"):
        roi_pool_backward_x(out, argmax.astype(np.int64), box(0, 0, 3, 3), GRID.shape)
    with pytest.raises(ValueError, match="does not fit 1 boxes"):
        roi_align_backward_x(np.zeros((2, 1, 2, 2)), box(0, 0, 3, 3), GRID.shape)


def test_costs_count_cells():
    assert roi_pool_forward_cost(GRID, box(0, 0, 3, 3), 2) == (16, 8 * (24 + 4) + 2 * 4)
    assert roi_align_forward_cost(GRID, box(0, 0, 2, 2), 2) == (2 * 4 * 4, 8 * (24 + 4))
    assert roi_align_forward_cost(GRID, box(0, 0, 8, 8), 2, sampling_ratio=1) == (2 * 4 * 4, 8 * (24 + 4))


@pytest.mark.parametrize("rung", ["naive", "numpy", "cython"])
def test_integer_boxes_and_lower_dtypes_are_converted(rung):
    x = GRID.astype(np.float32)
    with kernels.use(rung):
        want = roi_pool_forward(x, box(1, 0, 4, 2).astype(np.float32), 2)[0]
        np.testing.assert_array_equal(roi_pool_forward(x, box(1, 0, 4, 2).astype(np.int16), 2)[0], want)
        np.testing.assert_array_equal(roi_pool_forward(x, box(1, 0, 4, 2), 2)[0], want)


# --- torchvision's own operators ---
@pytest.fixture
def regions():
    """A map of 5 channels and 40 boxes of it at 1/4, some beyond its edges."""
    rng = np.random.default_rng(0)
    corner, sides = rng.uniform(-20, 120, (40, 2)), rng.uniform(1, 80, (40, 2))
    boxes = np.concatenate([rng.integers(0, 2, (40, 1)), corner, corner + sides], 1).astype(np.float32)
    return rng.normal(size=(2, 5, 31, 38)).astype(np.float32), boxes


@pytest.mark.parametrize(
    "kind, options", [("pool", {}), ("align", {}), ("align", {"aligned": True, "sampling_ratio": 3})]
)
def test_regions_are_torchvisions(regions, kind, options):
    load_torchvision(operators=True)
    import torch
    import torchvision

    import fastdl as fd
    from fastdl.ops import roi

    x, boxes = regions
    ours, theirs = fd.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    got = getattr(roi, f"roi_{kind}")(ours, fd.tensor(boxes), (5, 6), 0.25, **options)
    want = getattr(torchvision.ops, f"roi_{kind}")(theirs, torch.tensor(boxes), (5, 6), 0.25, **options)
    # coordinates up to 40 are exact to 2e-6, so are the weights of bilinear interpolation
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-5)
    dy = np.random.default_rng(1).normal(size=want.shape).astype(np.float32)
    got.backward(fd.tensor(dy))
    want.backward(torch.tensor(dy))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_suppression_is_torchvisions(regions):
    load_torchvision(operators=True)
    import torch
    import torchvision

    from fastdl import detection

    boxes, scores = regions[1][:, 1:], np.random.default_rng(2).permutation(40).astype(np.float32)
    for iou in (0.1, 0.3, 0.5):
        want = torchvision.ops.nms(torch.tensor(boxes), torch.tensor(scores), iou).numpy()
        np.testing.assert_array_equal(detection.nms(boxes, scores, iou), want)
