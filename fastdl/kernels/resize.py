"""Resize images: nearest, bilinear or bicubic, up or down.

Maths     out[n, c, o, p] = sum_i sum_j A[o, i] B[p, j] x[n, c, i, j]; A (OH, H) and B (OW, W) hold a row of weights an
          output: nearest 1 tap, bilinear 2, bicubic 4 (kernels/_axis.py).
Shapes    x (N, C, H, W) float32 or float64; size (OH, OW); result (N, C, OH, OW), channels-last in memory.
Backward  dx = A^T dy B, the same sum with both matrices transposed; linear, so its own backward is the forward.
Cost      2 (OH W KH + OH OW KW) N C FLOPs for KH, KW taps; 4 (x + out) bytes.
Errors    ValueError for an unknown mode, a size below 1 or an x that has not 4 axes; TypeError for other dtypes.
Notes     Weights are computed in float64 and rounded once, so they differ from PyTorch's by up to 1e-7 of the image's
          size.
          `factor` (two numbers) replaces the ratio of the sizes as PyTorch's interpolate does with scale_factor.
"""

from fastdl.kernels import _axis
from fastdl.kernels._memory import empty_channels_last, plain
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import need_ndim, pair, same_float_dtype

MODES = ("nearest", "bilinear", "bicubic")


def resize_forward(x, size, mode="nearest", align_corners=False, factor=(None, None)):
    """x at the size (OH, OW); see the top of this file."""
    dtype = _check(x, "x")
    rows, cols = _axes(x.shape[2:], size, mode, align_corners, factor)
    out = empty_channels_last(*x.shape[:2], rows.outputs, cols.outputs, dtype)
    implementation("resize", dtype).forward(plain(x), rows, cols, out)
    return out


def resize_backward_x(dy, size, mode="nearest", align_corners=False, factor=(None, None)):
    """dx for an x of size (H, W) from dy (N, C, OH, OW)."""
    dtype = _check(dy, "dy")
    rows, cols = _axes(size, dy.shape[2:], mode, align_corners, factor)
    out = empty_channels_last(*dy.shape[:2], rows.inputs, cols.inputs, dtype)
    implementation("resize", dtype).forward(plain(dy), rows.transposed, cols.transposed, out)
    return out


def _check(x, name):
    need_ndim("resize", name, x, 4, "(N, C, H, W)")
    if 0 in x.shape[2:]:
        raise ValueError(f"resize: {name} of shape {x.shape} has no pixels")
    return same_float_dtype("resize", **{name: x})


def _axes(size, outputs, mode, align_corners, factor):
    sizes = zip(pair(size, "size", "resize", 1), pair(outputs, "size", "resize", 1), factor, strict=True)
    if mode == "nearest":
        return [_axis.nearest(i, o, f) for i, o, f in sizes]
    if mode == "bilinear":
        return [_axis.linear(i, o, bool(align_corners), f) for i, o, f in sizes]
    if mode == "bicubic":
        return [_axis.cubic(i, o, bool(align_corners), f) for i, o, f in sizes]
    raise ValueError(f"resize: unknown mode {mode!r}; choose one of {', '.join(MODES)}")


def resize_cost(x=None, size=None, mode="nearest", align_corners=False, factor=(None, None), dy=None):
    """(FLOPs, bytes) of one forward call (x is given) or backward call (dy is)."""
    given = dy if x is None else x
    N, C, H, W = given.shape
    OH, OW = pair(size, "size", "resize", 1)
    if x is None:
        (H, W), (OH, OW) = (OH, OW), (H, W)
    taps = {"nearest": 1, "bilinear": 2, "bicubic": 4}[mode]
    return 2 * N * C * taps * OH * (W + OW), given.itemsize * N * C * (H * W + OH * OW)
