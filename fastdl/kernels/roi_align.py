"""RoI align: any box of a feature map becomes a grid of PH x PW averages of bilinear samples.

Maths     Box k spans x1 s - o .. x2 s - o (o = 1/2 if aligned, else 0 and at least 1 wide), rows alike, split into
          PH x PW bins. A bin holds gy x gx samples, evenly spread; out = their mean. A sample at (y, x) is bilinear
          between the four cells around it; outside -1 .. H it is 0, between -1 and 0 it is clamped to 0, and alike
          beyond H - 1 and for x. g = sampling_ratio, or ceil(length / bins) where that is not positive.
          The weights are separable: out = sum_i sum_j A[p, i] B[q, j] x[i, j], a few rows and columns each.
Shapes    x (N, C, H, W) float32 or float64; boxes (K, 5): image number, x1, y1, x2, y2 in input coordinates;
          s = spatial_scale. out (K, C, PH, PW), channels-last in memory.
Backward  dx[i, j] += A[p, i] B[q, j] dy[p, q], in the order of the boxes; its transpose is the forward. Boxes get no
          gradient.
Cost      2 (gh + 1) (gw + 1) FLOPs an output for bins of gh x gw cells; 4 (x + out) bytes.
Errors    ValueError for boxes of another shape, images that do not exist, boxes beyond 2^22 cells or NaN.
Notes     Equal to torchvision.ops.roi_align.
Ref       He, Gkioxari, Dollar and Girshick, "Mask R-CNN", 2017, section 3.
"""

import numpy as np

from fastdl.kernels import _roi
from fastdl.kernels._memory import empty_channels_last, plain
from fastdl.kernels._registry import implementation


def roi_align_forward(x, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    """out (K, C, PH, PW); see the top of this file."""
    boxes, PH, PW = _roi.check("roi_align", x, boxes, output_size, spatial_scale)
    out = empty_channels_last(len(boxes), x.shape[1], PH, PW, x.dtype)
    rung = implementation("roi_align", x.dtype)
    rung.forward(plain(x), boxes, spatial_scale, sampling_ratio, bool(aligned), out)
    return out


def roi_align_backward_x(dy, boxes, shape, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    """dx of this shape (N, C, H, W)."""
    boxes, *_ = _roi.check("roi_align", dy, boxes, dy.shape[2:], spatial_scale, shape)
    if dy.shape[:2] != (len(boxes), shape[1]):
        raise ValueError(f"roi_align: dy {dy.shape} does not fit {len(boxes)} boxes on x {tuple(shape)}")
    out = empty_channels_last(*shape, dy.dtype)
    rung = implementation("roi_align", dy.dtype)
    rung.backward_x(plain(dy), boxes, spatial_scale, sampling_ratio, bool(aligned), out)
    return out


def roi_align_forward_cost(x, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    """(FLOPs, bytes) of one call: four cells a sample or the cells of a bin, whichever is less."""
    boxes, PH, PW = _roi.check("roi_align", x, boxes, output_size, spatial_scale)
    return _cost(x.shape, x.itemsize, boxes, PH, PW, spatial_scale, sampling_ratio, aligned)


def roi_align_backward_x_cost(dy, boxes, shape, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    """(FLOPs, bytes) of one call."""
    boxes, PH, PW = _roi.check("roi_align", dy, boxes, dy.shape[2:], spatial_scale, shape)
    return _cost(shape, dy.itemsize, boxes, PH, PW, spatial_scale, sampling_ratio, aligned)


def _cost(shape, itemsize, boxes, PH, PW, *grid):
    _, _, step, samples = _roi.align_grid(boxes, grid[0], PH, PW, *grid[1:])
    taps = np.minimum(2 * samples, np.abs(step) + 2).prod(1).sum()
    out = len(boxes) * shape[1] * PH * PW
    return int(2 * taps * PH * PW * shape[1]), itemsize * (int(np.prod(shape)) + out)
