"""Greedy non-maximum suppression: of boxes that overlap, keep the one with the highest score.

Maths     Boxes in order of falling score (ties: the earlier first); each is kept unless a kept one before it overlaps it
          with an intersection over union above the threshold. IoU = I / (A + B - I), of areas; 0 / 0 suppresses nothing.
Shapes    boxes (N, 4): x1, y1, x2, y2, scores (N,), float32 or float64; result (K,) int64, in order of falling score.
Cost      at most N (N - 1) / 2 pairs of 12 FLOPs.
Errors    ValueError for other shapes, TypeError for other dtypes.
Notes     Equal to torchvision.ops.nms; a NaN score comes last here.
"""

import numpy as np

from fastdl.kernels._memory import empty, plain
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import need_ndim, same_float_dtype


def nms_forward(boxes, scores, iou_threshold):
    """Numbers of the boxes that are kept; see the top of this file."""
    need_ndim("nms", "boxes", boxes, 2, "(N, 4)")
    dtype = same_float_dtype("nms", boxes=boxes, scores=scores)
    N = len(boxes)
    if boxes.shape[1] != 4 or scores.shape != (N,):
        raise ValueError(f"nms: boxes must have shape (N, 4) and scores (N,); got {boxes.shape} and {scores.shape}")
    order = np.argsort(-plain(scores), kind="stable")
    kept = empty((N,), np.uint8)
    implementation("nms", dtype).forward(np.ascontiguousarray(boxes[order]), float(iou_threshold), kept)
    return order[kept.astype(bool)]


def nms_cost(boxes, scores, iou_threshold):
    """(FLOPs, bytes) where nothing overlaps: every pair is compared."""
    N = len(boxes)
    return 6 * N * (N - 1), 5 * boxes.itemsize * N
