"""What RoI pooling and RoI align share: boxes as the contracts take them, and their bins on the grid of the feature
map.

Where a last bit decides (where a bin of a pool ends, how many samples a bin of align has), arithmetic is in the boxes'
dtype, as torchvision does it; positions of samples, which only shift a weight, are float64.
"""

import numpy as np

from fastdl.kernels._memory import plain
from fastdl.kernels._shapes import need_ndim, pair, same_float_dtype

FURTHEST = 2.0**22  # cells; beyond it float32 has no halves, and a bin would hold more samples than anyone waits for


def check(layer, x, boxes, output_size, spatial_scale, shape=None):
    """(boxes in x's dtype, PH, PW) or an error that says what does not fit. shape: of the map, where x is not it."""
    need_ndim(layer, "x", x, 4, "(N, C, H, W)" if shape is None else "(K, C, PH, PW)")
    dtype = same_float_dtype(layer, x=x)
    shape = x.shape if shape is None else shape
    if 0 in shape[2:]:
        raise ValueError(f"{layer}: a feature map of shape {tuple(shape)} has no cells")
    if boxes.ndim != 2 or boxes.shape[1] != 5:
        raise ValueError(f"{layer}: boxes must have shape (K, 5): image number, x1, y1, x2, y2; got {boxes.shape}")
    if boxes.dtype.kind not in "iuf":
        raise TypeError(f"{layer}: boxes must be numbers, not {boxes.dtype}")
    boxes = plain(boxes).astype(dtype, copy=False)
    image = boxes[:, 0]
    if image.size and not np.all((image >= 0) & (image < shape[0]) & (image == np.floor(image))):
        raise ValueError(f"{layer}: boxes[:, 0] must be image numbers 0 to {shape[0] - 1}")
    reach = np.abs(boxes[:, 1:]).max(initial=0) * abs(spatial_scale)
    if not reach <= FURTHEST:
        raise ValueError(f"{layer}: a box reaches {reach:.3g} cells from the origin; clip boxes to the image first")
    return boxes, *pair(output_size, "output_size", layer, 1)


def rounded(a):
    """To the nearest integer, halves away from zero (as C's round)."""
    low = np.floor(np.abs(a))
    return np.copysign(low + (np.abs(a) - low >= 0.5), a).astype(np.int64)


def pool_bins(boxes, spatial_scale, PH, PW, H, W):
    """(image, rows, cols) of RoI pooling: bin (p, q) of box k is the cells rows[k, p] x cols[k, q], start and end each.

    image (K,) int64, rows (K, PH, 2) and cols (K, PW, 2) int32, clipped to the map; a bin may be empty.
    """
    corner = rounded(boxes[:, 1:] * boxes.dtype.type(spatial_scale))  # (K, 4): x1 y1 x2 y2

    def edges(low, high, bins, size):
        length = np.maximum(high - low + 1, 1).astype(boxes.dtype)
        step = (length / boxes.dtype.type(bins))[:, None]
        p = np.arange(bins + 1).astype(boxes.dtype)
        start = np.floor(p[:-1] * step).astype(np.int64) + low[:, None]
        end = np.ceil(p[1:] * step).astype(np.int64) + low[:, None]
        return np.clip(np.stack([start, end], -1), 0, size).astype(np.int32)

    rows = edges(corner[:, 1], corner[:, 3], PH, H)
    cols = edges(corner[:, 0], corner[:, 2], PW, W)
    return boxes[:, 0].astype(np.int64), rows, cols


def align_grid(boxes, spatial_scale, PH, PW, sampling_ratio, aligned):
    """(image, start, step, samples) of RoI align: sample i of bin p is at start + p * step + (i + 0.5) * step /
    samples.

    image (K,) int64; start and step (K, 2) float64, samples (K, 2) int32: y first.
    """

    def spans(corners):
        at = corners - (0.5 if aligned else 0.0)
        length = at[:, 2:] - at[:, :2]
        return at[:, 1::-1], (length if aligned else np.maximum(length, 1))[:, ::-1]

    start, length = spans(boxes[:, 1:].astype(np.float64) * spatial_scale)
    if sampling_ratio > 0:
        samples = np.full(start.shape, sampling_ratio, np.int32)
    else:  # how many is decided in the boxes' dtype: a last bit may be one sample more
        T = boxes.dtype.type
        steps = spans(boxes[:, 1:] * T(spatial_scale))[1] / np.array([PH, PW], boxes.dtype)
        samples = np.maximum(np.ceil(steps), 0).astype(np.int32)
    return boxes[:, 0].astype(np.int64), *map(np.ascontiguousarray, (start, length / (PH, PW), samples))
