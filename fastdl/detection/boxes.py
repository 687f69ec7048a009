"""Boxes: formats, areas, overlaps, clipping, coding, suppression; under torchvision.ops' names.

A box is (x1, y1, x2, y2), x to the right, y down, x2 > x1; its width is x2 - x1. All functions take arrays or Tensors and
return what they were given; nothing here has a gradient (fastdl.ops.boxes has the differentiable box_iou).

Ref  Girshick et al. 2014, appendix C (coding); Girshick 2015, section 2.3; Bodla et al. 2017, arXiv 1704.04503 (soft-NMS).
"""

import functools
import math

import numpy as np

from fastdl.autograd import Tensor
from fastdl.kernels.nms import nms_forward

DW_CLAMP = math.log(1000 / 16)  # largest log of a growth in size that decode() believes


def array(x):
    """The ndarray of a Tensor, an array or a list."""
    return x.array if isinstance(x, Tensor) else np.asarray(x)


def _same_kind(function):
    """Let a function of arrays take Tensors too; it then returns Tensors."""

    @functools.wraps(function)
    def either(*args, **kwargs):
        tensors = any(isinstance(a, Tensor) for a in args)
        out = function(*(a.array if isinstance(a, Tensor) else a for a in args), **kwargs)
        return Tensor(np.asarray(out)) if tensors else out

    return either


def check_boxes(boxes, name="boxes"):
    """boxes as a floating array (N, 4); an empty list is (0, 4). ValueError for other shapes."""
    boxes = array(boxes)
    if boxes.size == 0 and boxes.ndim < 2:
        boxes = np.zeros((0, 4), np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name} must have shape (N, 4): x1, y1, x2, y2; got {boxes.shape}")
    return boxes if boxes.dtype.kind == "f" else boxes.astype(np.float32)


@_same_kind
def box_area(boxes):
    """(N,) areas of boxes (N, 4)."""
    boxes = check_boxes(boxes)
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _overlaps(boxes1, boxes2):
    boxes1, boxes2 = check_boxes(boxes1, "boxes1"), check_boxes(boxes2, "boxes2")
    low = np.maximum(boxes1[:, None, :2], boxes2[:, :2])  # (N, M, 2)
    high = np.minimum(boxes1[:, None, 2:], boxes2[:, 2:])
    size = np.maximum(high - low, 0)
    both = size[..., 0] * size[..., 1]
    return both, box_area(boxes1)[:, None], box_area(boxes2)


@_same_kind
def box_iou(boxes1, boxes2):
    """(N, M) intersections over unions; 0 where both boxes are empty."""
    both, a, b = _overlaps(boxes1, boxes2)
    union = a + b - both
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


@_same_kind
def box_ioa(boxes1, boxes2):
    """(N, M) intersections over the areas of boxes1: how much of each lies inside the others."""
    both, a, _ = _overlaps(boxes1, boxes2)
    return np.divide(both, a, out=np.zeros_like(both), where=a > 0)


@_same_kind
def box_convert(boxes, in_fmt, out_fmt):
    """Boxes (N, 4) from one format to another: 'xyxy', 'xywh' (corner and size) or 'cxcywh' (centre and size)."""
    boxes = check_boxes(boxes)
    for fmt in (in_fmt, out_fmt):
        if fmt not in ("xyxy", "xywh", "cxcywh"):
            raise ValueError(f"box_convert: formats are xyxy, xywh and cxcywh; got {fmt!r}")
    a, b = boxes[:, :2], boxes[:, 2:]
    if in_fmt == "xywh":
        b = a + b
    elif in_fmt == "cxcywh":
        a, b = a - b / 2, a + b / 2
    if out_fmt == "xyxy":
        return np.concatenate([a, b], 1)
    return np.concatenate([a if out_fmt == "xywh" else (a + b) / 2, b - a], 1)


@_same_kind
def clip_boxes_to_image(boxes, size):
    """Boxes (N, 4) cut to an image of size (height, width)."""
    boxes = check_boxes(boxes)
    height, width = size
    return np.clip(boxes, 0, np.array([width, height, width, height], boxes.dtype))


@_same_kind
def remove_small_boxes(boxes, min_size):
    """Numbers (int64) of the boxes whose width and height are at least min_size."""
    boxes = check_boxes(boxes)
    return np.flatnonzero((boxes[:, 2:] - boxes[:, :2] >= min_size).all(1))


@_same_kind
def nms(boxes, scores, iou_threshold):
    """Numbers (int64) of the boxes (N, 4) to keep, in order of falling score (N,); by the kernel nms."""
    boxes, scores = check_boxes(boxes), np.asarray(scores)
    return nms_forward(boxes, scores.astype(boxes.dtype, copy=False), iou_threshold)


@_same_kind
def batched_nms(boxes, scores, idxs, iou_threshold):
    """nms() within each group of boxes: idxs (N,) numbers the groups (classes, levels, images)."""
    boxes, idxs = check_boxes(boxes), np.asarray(idxs)
    if not len(boxes):
        return np.zeros(0, np.int64)
    apart = (boxes.max() - min(boxes.min(), 0) + 1).astype(boxes.dtype)  # groups so far apart that they cannot overlap
    moved = boxes + idxs.astype(boxes.dtype)[:, None] * apart
    return nms_forward(moved, np.asarray(scores).astype(boxes.dtype, copy=False), iou_threshold)


def soft_nms(boxes, scores, sigma=0.5, score_threshold=0.001):
    """(numbers, new scores) in order of falling new score: overlaps lower a score by exp(-IoU^2 / sigma), none is removed
    before it falls below score_threshold."""
    boxes, scores = check_boxes(boxes), array(scores).astype(np.float64).copy()
    iou = box_iou(boxes, boxes)
    left, kept, values = np.ones(len(boxes), bool), [], []
    while left.any():
        best = int(np.where(left, scores, -np.inf).argmax())
        if scores[best] < score_threshold:
            break
        kept.append(best)
        values.append(scores[best])
        left[best] = False
        scores[left] *= np.exp(-(iou[best, left] ** 2) / sigma)
    return np.array(kept, np.int64), np.array(values)


class BoxCoder:
    """Boxes as offsets from reference boxes: t = w (dx / pw, dy / ph, ln(gw / pw), ln(gh / ph)), centres and sizes.

    weights  (wx, wy, ww, wh); torchvision: (1, 1, 1, 1) for the RPN, (10, 10, 5, 5) for the heads, which is Fast R-CNN's
             division of the targets by their standard deviations .1 .1 .2 .2
    clamp    largest ln(gw / pw) that decode takes at its word: no overflow however wrong a prediction is

    Example
    >>> coder = BoxCoder((10, 10, 5, 5))
    >>> reference, box = np.array([[0, 0, 10, 10.0]]), np.array([[5, 0, 15, 10.0]])
    >>> coder.encode(box, reference).round(3).tolist()
    [[5.0, 0.0, 0.0, 0.0]]
    """

    def __init__(self, weights=(1.0, 1.0, 1.0, 1.0), clamp=DW_CLAMP):
        if len(weights) != 4 or min(weights) <= 0:
            raise ValueError(f"BoxCoder: weights must be four positive numbers; got {weights}")
        self.weights, self.clamp = tuple(float(w) for w in weights), clamp

    def encode(self, boxes, references):
        """(N, 4) offsets of boxes (N, 4) from references (N, 4)."""
        boxes, references = check_boxes(boxes), check_boxes(references, "references")
        if len(boxes) != len(references):
            raise ValueError(f"BoxCoder.encode: {len(boxes)} boxes and {len(references)} references")
        size, own = references[:, 2:] - references[:, :2], boxes[:, 2:] - boxes[:, :2]
        if len(boxes) and min(size.min(), own.min()) <= 0:
            raise ValueError("BoxCoder.encode: every box needs a positive width and height; hint: remove_small_boxes")
        shift = (boxes[:, :2] + 0.5 * own) - (references[:, :2] + 0.5 * size)
        t = np.concatenate([shift / size, np.log(own / size)], 1)
        return t * np.array(self.weights, t.dtype)

    def decode(self, offsets, references):
        """Boxes (N, 4) from offsets (N, 4), or (N, K, 4) from (N, 4 K): one for each of K classes."""
        offsets, references = array(offsets), check_boxes(references, "references")
        N, columns = offsets.shape
        if len(references) != N or columns % 4:
            raise ValueError(f"BoxCoder.decode: offsets {offsets.shape} do not fit references {references.shape}")
        t = offsets.reshape(N, columns // 4, 4) / np.array(self.weights, offsets.dtype)
        size = (references[:, 2:] - references[:, :2]).astype(offsets.dtype)[:, None]  # (N, 1, 2)
        centre = references[:, None, :2].astype(offsets.dtype) + 0.5 * size + t[..., :2] * size
        half = 0.5 * np.exp(np.minimum(t[..., 2:], self.clamp)) * size
        boxes = np.concatenate([centre - half, centre + half], -1)
        return boxes[:, 0] if columns == 4 else boxes
