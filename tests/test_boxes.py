"""Boxes: hand-worked overlaps and suppression, errors."""

import numpy as np
import pytest

import fastdl as fd
from fastdl import kernels
from fastdl.autograd import gradcheck
from fastdl.kernels.nms import nms_forward
from fastdl.ops.boxes import batched_nms, box_area, box_iou, nms

# the second shares half of the first, the third touches it, the fourth lies inside it
BOXES = np.array([[0, 0, 4, 4], [2, 0, 6, 4], [4, 4, 5, 5], [1, 1, 3, 3.0]])


def test_iou_by_hand():
    a = fd.tensor(BOXES)
    np.testing.assert_allclose(box_area(a).numpy(), [16, 16, 1, 4])
    want = [[1, 8 / 24, 0, 4 / 16], [8 / 24, 1, 1 / 16, 2 / 18], [0, 1 / 16, 1, 0], [4 / 16, 2 / 18, 0, 1]]
    want[1][2] = want[2][1] = 0  # the third box begins where the second ends
    np.testing.assert_allclose(box_iou(a, a).numpy(), want)
    assert box_iou(a, a[:2]).shape == (4, 2)
    assert gradcheck(box_iou, [fd.tensor(BOXES[:2] + 0.3, requires_grad=True), a])


@pytest.mark.parametrize("rung", ["naive", "numpy", "cython"])
@pytest.mark.parametrize(
    ("scores", "threshold", "want"),
    [
        ([4, 3, 2, 1], 0.5, [0, 1, 2, 3]),
        ([4, 3, 2, 1], 0.3, [0, 2, 3]),  # 1/3 with the first
        ([4, 3, 2, 1], 0.2, [0, 2]),  # 1/4 with the first
        ([1, 4, 2, 3], 0.2, [1, 3, 2]),  # the first goes; the fourth has only 1/9 with the second
        ([1, 1, 1, 1], 0.3, [0, 2, 3]),  # ties: the earlier
        ([4, 3, 2, 1], 0.25, [0, 2, 3]),  # exactly at the threshold is kept
    ],
)
def test_nms_by_hand(rung, scores, threshold, want):
    with kernels.use(rung):
        got = nms(fd.tensor(BOXES.astype(np.float32)), fd.tensor(np.array(scores, np.float32)), threshold)
    assert got.tolist() == want and got.dtype == np.int64


def test_groups_do_not_suppress_each_other():
    boxes, scores = fd.tensor(BOXES[[0, 0, 0, 0]]), fd.tensor(np.array([1.0, 4, 3, 2]))
    assert batched_nms(boxes, scores, fd.tensor(np.array([0, 1, 0, 1])), 0.5).tolist() == [1, 2]
    assert batched_nms(boxes - 50, scores, fd.tensor(np.array([0, 1, 0, 2])), 0.5).tolist() == [1, 2, 3]
    empty = fd.tensor(np.zeros((0, 4)))
    assert batched_nms(empty, fd.tensor(np.zeros(0)), fd.tensor(np.zeros(0, np.int64)), 0.5).shape == (0,)


def test_errors():
    with pytest.raises(ValueError, match=r"boxes must have shape \(N, 4\) and scores \(N,\)"):
        nms_forward(BOXES, np.zeros(3), 0.5)
    with pytest.raises(TypeError, match="boxes is float64 but scores is float32"):
        nms_forward(BOXES, np.zeros(4, np.float32), 0.5)
