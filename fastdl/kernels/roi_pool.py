"""RoI max pooling: any box of a feature map becomes a grid of PH x PW maxima.

Maths     Box k spans the cells round(x1 s) .. round(x2 s) (inclusive, at least one), rows alike; bin (p, q) is
          rows floor(p h / PH) .. ceil((p + 1) h / PH) - 1 of its h rows, columns alike, clipped to the map.
          out[k, c, p, q] = max over the bin of x[image_k, c, :, :]; 0 for an empty bin.
Shapes    x (N, C, H, W) float32 or float64; boxes (K, 5): image number, x1, y1, x2, y2 in input coordinates;
          s = spatial_scale. out (K, C, PH, PW), channels-last in memory; argmax alike: the cell h W + w of each
          maximum, uint16 if H W < 65536, else int32; H W where there is none.
Backward  dx[image_k, c, argmax] += dy, in the order of the boxes; linear in dy, and its transpose (backward_dy) picks
          dy[k, c, p, q] = ddx[image_k, c, argmax]. Boxes get no gradient.
Cost      one comparison for each cell of each bin and channel; bytes: 4 (x + out) + 2 out for argmax.
Errors    ValueError for boxes of another shape, images that do not exist, boxes beyond 2^22 cells or NaN.
Notes     Equal to torchvision.ops.roi_pool, bins rounded in the input's dtype as there; NaN is never a maximum.
Ref       Girshick, "Fast R-CNN", 2015, section 2.1.
"""

import numpy as np

from fastdl.kernels import _roi
from fastdl.kernels._memory import empty_channels_last, plain
from fastdl.kernels._registry import implementation

LOWEST = -float(np.finfo(np.float32).max)  # what a bin's maximum starts from, in float64 too


def roi_pool_forward(x, boxes, output_size, spatial_scale=1.0):
    """(out, argmax); see the top of this file."""
    boxes, PH, PW = _roi.check("roi_pool", x, boxes, output_size, spatial_scale)
    shape = (len(boxes), x.shape[1], PH, PW)
    out = empty_channels_last(*shape, x.dtype)
    argmax = empty_channels_last(*shape, argmax_dtype(x.shape))
    implementation("roi_pool", x.dtype).forward(plain(x), boxes, spatial_scale, out, argmax)
    return out, argmax


def roi_pool_backward_x(dy, argmax, boxes, shape, spatial_scale=1.0):
    """dx of this shape (N, C, H, W); argmax, boxes and spatial_scale as in the forward pass."""
    boxes = _check_argmax(dy, dy.shape, argmax, boxes, shape)
    out = empty_channels_last(*shape, dy.dtype)
    implementation("roi_pool", dy.dtype).backward_x(plain(dy), plain(argmax), boxes, spatial_scale, out)
    return out


def roi_pool_backward_dy(ddx, argmax, boxes):
    """The transpose of backward_x: the elements of ddx (N, C, H, W) that argmax names."""
    boxes = _check_argmax(ddx, argmax.shape, argmax, boxes, ddx.shape)
    out = empty_channels_last(*argmax.shape, ddx.dtype)
    implementation("roi_pool", ddx.dtype).backward_dy(plain(ddx), plain(argmax), boxes, out)
    return out


def argmax_dtype(shape):
    return np.dtype(np.uint16 if shape[2] * shape[3] < 65536 else np.int32)


def _check_argmax(x, out_shape, argmax, boxes, shape):
    boxes, *_ = _roi.check("roi_pool", x, boxes, out_shape[2:], 0, shape)
    dtype = argmax_dtype(shape)
    if argmax.shape != out_shape or out_shape[:2] != (len(boxes), shape[1]) or argmax.dtype != dtype:
        raise ValueError(
            f"roi_pool: argmax must be {dtype} as the forward pass returned it; got {argmax.dtype} {argmax.shape} "
            f"for {len(boxes)} boxes, dy {out_shape} and x {tuple(shape)}"
        )
    return boxes


def roi_pool_forward_cost(x, boxes, output_size, spatial_scale=1.0):
    """(FLOPs, bytes) of one call; a comparison counts as one."""
    boxes, PH, PW = _roi.check("roi_pool", x, boxes, output_size, spatial_scale)
    _, rows, cols = _roi.pool_bins(boxes, spatial_scale, PH, PW, *x.shape[2:])
    cells = np.maximum(np.diff(rows)[:, :, 0], 0).sum(1) * np.maximum(np.diff(cols)[:, :, 0], 0).sum(1)
    out = len(boxes) * x.shape[1] * PH * PW
    return int(cells.sum()) * x.shape[1], x.itemsize * (x.size + out) + 2 * out


def roi_pool_cost(argmax, dy=None, ddx=None, shape=None):
    """(FLOPs, bytes) of one backward pass, either direction."""
    dx = int(np.prod(ddx.shape if shape is None else shape))
    return argmax.size, 4 * (argmax.size + dx) + argmax.nbytes
