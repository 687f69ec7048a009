"""Max and average pooling over windows of an image; strided, padded, dilated (max), or adaptive.

Maths     max: out[n, c, o, p] = max over taps (i, j) of x[n, c, o SH - PH + i DH, p SW - PW + j DW]
          avg: the sum of the taps inside the image / (taps inside image and padding | inside the image | divisor)
          Adaptive windows: rows floor(o H / OH) .. ceil((o + 1) H / OH) - 1, columns alike.
Shapes    x (N, C, H, W) float32 or float64. Results (N, C, OH, OW), channels-last in memory, with
          OH = floor or ceil((H + 2 PH - DH (KH - 1) - 1) / SH) + 1; under ceil a last window that would begin in the
          right padding is dropped. index (N, C, OH, OW): which tap of its window was the largest, i KW + j, as uint8 if
          there are at most 255 taps, else int32; KH KW where a window has no tap inside the image.
Backward  max: dx gathers dy from the windows whose index names the pixel; linear in dy, and its transpose (backward_dy)
          picks from every window the element that index names. avg: the transposed sum.
Cost      N C OH OW KH KW comparisons, or 2 (OH W KH + OH OW KW) N C FLOPs; 4 (x + out) bytes and 1 of index an output.
Errors    ValueError for windows that do not fit or padding above half the window; TypeError for other dtypes.
Notes     Ties: the first tap. NaN: the last NaN tap, and the result is NaN (as PyTorch). flat_index() gives PyTorch's
          int64.
"""

import numpy as np

from fastdl.kernels import _axis
from fastdl.kernels._memory import empty_channels_last, plain
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import need_ndim, pair, same_float_dtype


def sliding(layer, shape, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, **average):
    """(rows, cols): the windows of a pool over images of this shape. `average`: count_include_pad, divisor_override."""
    K = pair(kernel_size, "kernel_size", layer, 1)
    S = K if stride is None else pair(stride, "stride", layer, 1)
    P = pair(padding, "padding", layer)
    D = pair(dilation, "dilation", layer, 1)
    if 2 * P[0] > K[0] or 2 * P[1] > K[1]:
        raise ValueError(f"{layer}: padding {P} must be at most half of kernel_size {K}")
    include, divisor = average.get("count_include_pad", True), average.get("divisor_override")
    if divisor == 0:
        raise ValueError(f"{layer}: divisor_override must not be zero")
    divisors = (None, None) if divisor is None else (divisor, 1)
    return tuple(
        _axis.windows(layer, size, k, s, p, d, bool(ceil_mode), bool(include), by)
        for size, k, s, p, d, by in zip(shape[2:], K, S, P, D, divisors, strict=True)
    )


def adaptive(layer, shape, output_size):
    """(rows, cols) of an adaptive pool; None in output_size keeps the size of that axis."""
    OH, OW = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    sizes = pair((shape[2] if OH is None else OH, shape[3] if OW is None else OW), "output_size", layer, 0)
    if 0 in shape[2:]:
        raise ValueError(f"{layer}: x of shape {shape} has no pixels")
    return tuple(_axis.adaptive(size, o) for size, o in zip(shape[2:], sizes, strict=True))


def max_pool2d_forward(x, rows, cols, want_index=True):
    """(out, index), index None if not wanted; rows and cols from sliding() or adaptive()."""
    dtype = _check("max_pool2d", x, rows.inputs, cols.inputs)
    shape = (*x.shape[:2], rows.outputs, cols.outputs)
    out = empty_channels_last(*shape, dtype)
    index = empty_channels_last(*shape, index_dtype(rows, cols)) if want_index else None
    implementation("pool2d", dtype).max_forward(plain(x), rows, cols, out, index)
    return out, index


def max_pool2d_backward_x(dy, index, rows, cols):
    """dx (N, C, H, W)."""
    dtype = _check("max_pool2d", dy, rows.outputs, cols.outputs, index, dy.shape, rows, cols)
    out = empty_channels_last(*dy.shape[:2], rows.inputs, cols.inputs, dtype)
    implementation("pool2d", dtype).max_backward_x(plain(dy), plain(index), rows, cols, out)
    return out


def max_pool2d_backward_dy(ddx, index, rows, cols):
    """The transpose of backward_x: of every window the element of ddx (N, C, H, W) that index names."""
    shape = (*ddx.shape[:2], rows.outputs, cols.outputs)
    dtype = _check("max_pool2d", ddx, rows.inputs, cols.inputs, index, shape, rows, cols)
    out = empty_channels_last(*shape, dtype)
    implementation("pool2d", dtype).max_backward_dy(plain(ddx), plain(index), rows, cols, out)
    return out


def avg_pool2d_forward(x, rows, cols):
    """Averages (N, C, OH, OW)."""
    dtype = _check("avg_pool2d", x, rows.inputs, cols.inputs)
    out = empty_channels_last(*x.shape[:2], rows.outputs, cols.outputs, dtype)
    implementation("pool2d", dtype).avg_forward(plain(x), rows, cols, out)
    return out


def avg_pool2d_backward_x(dy, rows, cols):
    """dx (N, C, H, W); its own transpose is avg_pool2d_forward."""
    return avg_pool2d_forward(dy, rows.transposed, cols.transposed)


def index_dtype(rows, cols):
    return np.dtype(np.uint8) if rows.taps * cols.taps <= 255 else np.dtype(np.int32)


def flat_index(index, rows, cols):
    """PyTorch's indices: the pixel h W + w of every maximum, int64; -1 where a window has no tap inside the image."""
    i, j = np.divmod(index.astype(np.int64), max(cols.taps, 1))
    row = np.append(rows.padded[0], np.full((rows.outputs, 1), -1), axis=1)  # (OH, KH + 1): i == KH means none
    flat = np.arange(rows.outputs)[:, None], np.arange(cols.outputs)
    h, w = row[flat[0], i], cols.padded[0][flat[1], j]
    return np.where(h < 0, -1, h * cols.inputs + w)


def _check(layer, x, H, W, index=None, index_shape=None, rows=None, cols=None):
    need_ndim(layer, "x", x, 4, "(N, C, H, W)")
    if x.shape[2:] != (H, W):
        raise ValueError(f"{layer}: images are {x.shape[2]} x {x.shape[3]}, the windows were made for {H} x {W}")
    if index is not None and (index.shape != index_shape or index.dtype != index_dtype(rows, cols)):
        raise ValueError(
            f"{layer}: index must be {index_dtype(rows, cols)} of shape {index_shape}, as the forward pass returned "
            f"it; got {index.dtype} {index.shape}"
        )
    return same_float_dtype(layer, x=x)


def pool2d_cost(rows, cols, x=None, dy=None, ddx=None):
    """(FLOPs, bytes) of one pass, either direction; a comparison counts as one. One of the arrays is given."""
    x = next(a for a in (x, dy, ddx) if a is not None)
    N, C = x.shape[:2]
    out = N * C * rows.outputs * cols.outputs
    return out * rows.taps * cols.taps, x.itemsize * (N * C * rows.inputs * cols.inputs + out) + out


__all__ = [
    "adaptive",
    "avg_pool2d_backward_x",
    "avg_pool2d_forward",
    "flat_index",
    "index_dtype",
    "max_pool2d_backward_dy",
    "max_pool2d_backward_x",
    "max_pool2d_forward",
    "pool2d_cost",
    "sliding",
]
