"""Layer norm and RMS norm over the last axes, with an optional residual add before it.

Maths     s = x + residual; y = (s - mean) rstd weight + bias, rstd = 1 / sqrt(variance + eps), mean and (biased)
          variance over the last `axes` axes. rms: mean is taken as 0, so variance is the mean square.
Shapes    x, residual (..., *shape): float32 or float64; weight, bias of shape `shape` (the last `axes` sizes) or None.
          Results: y, stats (3, M): mean, variance and what rounding took from the mean, M = number of rows; with a
          residual (y, s, stats). y and s are C-contiguous.
Backward  h = dy weight, z = (s - mean) rstd, means over a row: dx = rstd (h - mean(h) - z mean(h z)) + dsum, the
          gradient of x and residual alike, where dsum reached s by other ways; dweight = sum dy z, dbias = sum dy over
          rows. (rms: without mean(h).)
Cost      forward 8 n FLOPs, 2 n elements moved (4 n with a residual); backward 14 n FLOPs, 3 n elements (n = size of
          x).
Errors    ValueError for shapes that do not fit, TypeError for dtypes.
Ref       Ba, Kiros, Hinton, "Layer Normalization", 2016; Zhang and Sennrich, "Root Mean Square Layer Normalization",
          2019.
"""

from math import prod

import numpy as np

from fastdl.kernels._memory import contiguous, empty
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import same_float_dtype


def layer_norm_forward(x, weight=None, bias=None, eps=1e-5, axes=1, residual=None, rms=False):
    """(y, stats) or (y, s, stats); see the top of this file."""
    dtype, M, N = _check(x, weight, bias, axes)
    if residual is not None:
        same_float_dtype("layer_norm", x=x, residual=residual)
        if residual.shape != x.shape:
            raise ValueError(f"layer_norm: residual must have the shape of x, {x.shape}; got {residual.shape}")
    y = empty(x.shape, dtype)
    total = None if residual is None else empty(x.shape, dtype)
    stats = empty((3, M), dtype)
    if N == 0:
        stats[...] = np.nan
    elif M:
        implementation("layer_norm", dtype).forward(
            contiguous(x).reshape(M, N),
            None if residual is None else contiguous(residual).reshape(M, N),
            _vector(weight),
            _vector(bias),
            float(eps),
            rms,
            None if total is None else total.reshape(M, N),
            stats,
            y.reshape(M, N),
        )
    return (y, stats) if residual is None else (y, total, stats)


def layer_norm_backward(dy, x, weight, stats, eps=1e-5, axes=1, rms=False, dsum=None, with_weight=True, with_bias=True):
    """(dx, dweight, dbias), the last two None where not wanted; x is the s of forward. See the top of this file."""
    dtype, M, N = _check(x, weight, None, axes)
    same_float_dtype("layer_norm", x=x, dy=dy, stats=stats, dsum=dsum)
    if dy.shape != x.shape or (dsum is not None and dsum.shape != x.shape):
        raise ValueError(f"layer_norm: dy and dsum must have the shape of x, {x.shape}; got {dy.shape}")
    if stats.shape != (3, M):
        raise ValueError(f"layer_norm: stats must have shape {(3, M)}; got {stats.shape}")
    dx = empty(x.shape, dtype)
    shape = x.shape[x.ndim - axes :]
    dweight = empty(shape, dtype) if with_weight else None
    dbias = empty(shape, dtype) if with_bias else None
    if M and N:
        implementation("layer_norm", dtype).backward(
            contiguous(dy).reshape(M, N),
            contiguous(x).reshape(M, N),
            _vector(weight),
            contiguous(stats),
            float(eps),
            rms,
            None if dsum is None else contiguous(dsum).reshape(M, N),
            dx.reshape(M, N),
            None if dweight is None else dweight.reshape(N),
            None if dbias is None else dbias.reshape(N),
        )
    else:
        for d in (dweight, dbias):
            if d is not None:
                d[...] = 0
    return dx, dweight, dbias


def _check(x, weight, bias, axes):
    """dtype, number of rows, length of a row"""
    dtype = same_float_dtype("layer_norm", x=x, weight=weight, bias=bias)
    if not 1 <= axes <= x.ndim:
        raise ValueError(f"layer_norm: the last {axes} axes of an array of shape {x.shape}")
    shape = x.shape[x.ndim - axes :]
    for name, array in (("weight", weight), ("bias", bias)):
        if array is not None and array.shape != shape:
            raise ValueError(
                f"layer_norm: {name} must have shape {shape}, the last axes of x {x.shape}; got {array.shape}"
            )
    return dtype, prod(x.shape[: x.ndim - axes]), prod(shape)


def _vector(v):
    return None if v is None else contiguous(v).reshape(-1)


def layer_norm_forward_cost(x, weight=None, bias=None, eps=1e-5, axes=1, residual=None, rms=False):
    """(FLOPs, bytes) of one call."""
    return 8 * x.size, x.nbytes * (2 if residual is None else 4)


def layer_norm_backward_cost(dy, x, *args, dsum=None, **kwargs):
    """(FLOPs, bytes) of one call."""
    return 14 * x.size, x.nbytes * (3 if dsum is None else 4)
