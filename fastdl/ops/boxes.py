"""Boxes (x1, y1, x2, y2): areas, overlaps, non-maximum suppression; as in torchvision.ops."""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.kernels.nms import nms_forward
from fastdl.ops.elementwise import clamp, maximum, minimum


def box_area(boxes):
    """(N,) areas of boxes (N, 4)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_iou(boxes1, boxes2):
    """(N, M) intersections over unions of boxes1 (N, 4) and boxes2 (M, 4)."""
    low = maximum(boxes1[:, None, :2], boxes2[:, :2])  # (N, M, 2)
    high = minimum(boxes1[:, None, 2:], boxes2[:, 2:])
    size = clamp(high - low, min=0)
    both = size[:, :, 0] * size[:, :, 1]
    return both / (box_area(boxes1)[:, None] + box_area(boxes2) - both)


def nms(boxes, scores, iou_threshold):
    """Numbers (int64) of the boxes (N, 4) to keep, in order of falling score (N,).

    A box goes where its intersection over union with a kept one of a higher score is above the threshold.
    """
    return Tensor(nms_forward(boxes.array, scores.array, iou_threshold))


def batched_nms(boxes, scores, idxs, iou_threshold):
    """nms() within each group of boxes: idxs (N,) numbers the groups (classes, levels, images)."""
    if not boxes.array.size:
        return Tensor(np.zeros(0, np.int64))
    x = boxes.array
    apart = (x.max() - min(x.min(), 0) + 1).astype(x.dtype)  # groups moved so far apart that they cannot overlap
    moved = x + idxs.array.astype(x.dtype)[:, None] * apart
    return Tensor(nms_forward(moved, scores.array, iou_threshold))
