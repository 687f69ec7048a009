"""Batch, group and instance norm, with an optional residual add and ReLU in the same pass.

Maths     y = act((x - mean) / sqrt(variance + eps) * weight + bias + residual); mean and (biased) variance are taken
          over batch and space for every channel, or, with `groups`, for every sample over space and each group of
          channels.
Shapes    x, residual (N, C, *spatial): float32 or float64; weight, bias (C,) or None. act: None or "relu".
          groups: None (batch norm), or an int that divides C (1: layer norm over C and space; C: instance norm).
          stats (3, B, G): mean, variance, and what rounding took from the mean (0 if float64); B, G are 1, C without
          groups and N, groups with them. Given (inference): used instead of the statistics of x.
          Results: y like x, channels last in memory, and stats.
Backward  e = dy where y > 0 (all of dy without ReLU), h = e weight, z = (x - mean) rstd, means over the same set:
          dx = rstd (h - mean(h) - z mean(h z)); with given stats dx = rstd h.
          dresidual = e, dweight = sum e z, dbias = sum e over all but channels.
Cost      forward 10 n FLOPs, 3 n elements moved; backward 16 n FLOPs, 5 n elements (n = size of x; + n with a
          residual).
Errors    ValueError for shapes that do not fit, TypeError for dtypes.
Notes     A set without elements has NaN statistics. The ReLU mask is not stored: backward computes it again from x and
          stats, or takes it from y, which it needs where there was a residual.
Ref       Ioffe and Szegedy 2015; Wu and He, "Group Normalization", 2018; Chan, Golub, LeVeque 1983 for the statistics.
"""

import numpy as np

from fastdl.kernels._memory import channels_inner, contiguous, empty
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import same_float_dtype


def batch_norm_forward(x, weight=None, bias=None, eps=1e-5, groups=None, stats=None, residual=None, act=None):
    """(y, stats); see the top of this file."""
    dtype, C, B, G = _check(x, weight, bias, groups, act)
    if residual is not None:
        same_float_dtype("batch_norm", x=x, residual=residual)
        if residual.shape != x.shape:
            raise ValueError(f"batch_norm: residual must have the shape of x, {x.shape}; got {residual.shape}")
    given = stats is not None
    if not given:
        stats = np.empty((3, B, G), dtype)
    elif stats.shape != (3, B, G) or stats.dtype != dtype:
        raise ValueError(f"batch_norm: stats must be {dtype} of shape {(3, B, G)}; got {stats.dtype} of {stats.shape}")
    inner = channels_inner(x)
    y = empty(inner.shape, dtype)
    if x.size:
        rows = (B, inner.size // (B * C), C)
        added = None if residual is None else channels_inner(residual).reshape(rows)
        implementation("batch_norm", dtype).forward(
            inner.reshape(rows),
            _vector(weight),
            _vector(bias),
            float(eps),
            G,
            added,
            act,
            given,
            contiguous(stats),
            y.reshape(rows),
        )
    elif not given:
        stats[...] = np.nan
    return _outside(y), stats


def batch_norm_backward(
    dy, x, weight, bias, stats, eps=1e-5, groups=None, given=False, act=None, y=None, with_residual=False
):
    """(dx, dweight, dbias), and dresidual as fourth result if with_residual; see the top of this file."""
    dtype, C, B, G = _check(x, weight, bias, groups, act)
    same_float_dtype("batch_norm", x=x, dy=dy, stats=stats)
    if dy.shape != x.shape or (y is not None and y.shape != x.shape):
        raise ValueError(f"batch_norm: dy and y must have the shape of x, {x.shape}; got {dy.shape}")
    if stats.shape != (3, B, G):
        raise ValueError(f"batch_norm: stats must have shape {(3, B, G)}; got {stats.shape}")
    if with_residual and act is not None and y is None:
        raise ValueError("batch_norm: with a residual, backward needs y for the mask of ReLU")
    inner = channels_inner(x)
    dx, dweight, dbias = empty(inner.shape, dtype), np.empty(C, dtype), np.empty(C, dtype)
    dresidual = empty(inner.shape, dtype) if with_residual else None
    if x.size:
        rows = (B, inner.size // (B * C), C)
        implementation("batch_norm", dtype).backward(
            channels_inner(dy).reshape(rows),
            inner.reshape(rows),
            _vector(weight),
            _vector(bias),
            contiguous(stats),
            float(eps),
            G,
            given,
            act,
            None if y is None or act is None else channels_inner(y).reshape(rows),
            dx.reshape(rows),
            dweight,
            dbias,
            None if dresidual is None else dresidual.reshape(rows),
        )
    else:
        dweight[...] = dbias[...] = 0
    if with_residual:
        return _outside(dx), dweight, dbias, _outside(dresidual)
    return _outside(dx), dweight, dbias


def _check(x, weight, bias, groups, act):
    dtype = same_float_dtype("batch_norm", x=x, weight=weight, bias=bias)
    if x.ndim < 2:
        raise ValueError(f"batch_norm: x must have at least 2 axes (N, C, ...); got shape {x.shape}")
    N, C = x.shape[:2]
    for name, vector in (("weight", weight), ("bias", bias)):
        if vector is not None and vector.shape != (C,):
            raise ValueError(
                f"batch_norm: {name} must have shape ({C},), one for each channel of x {x.shape}; got {vector.shape}"
            )
    if act not in (None, "relu"):
        raise ValueError(f"batch_norm: act must be None or 'relu'; got {act!r}")
    if groups is None:
        return dtype, C, 1, C
    if groups < 1 or C % groups:
        raise ValueError(f"batch_norm: {C} channels cannot be divided into {groups} groups")
    return dtype, C, N, groups


def _vector(v):
    return None if v is None else contiguous(v)


def _outside(inner):
    """(N, *spatial, C) seen as (N, C, *spatial)."""
    if inner.ndim == 2:
        return inner
    return inner.transpose(0, inner.ndim - 1, *range(1, inner.ndim - 1))


def batch_norm_forward_cost(x, weight=None, bias=None, eps=1e-5, groups=None, stats=None, residual=None, act=None):
    """(FLOPs, bytes) of one call."""
    return 10 * x.size, x.nbytes * ((2 if stats is not None else 3) + (residual is not None))


def batch_norm_backward_cost(
    dy, x, weight, bias, stats, eps=1e-5, groups=None, given=False, act=None, y=None, with_residual=False
):
    """(FLOPs, bytes) of one call."""
    return 16 * x.size, x.nbytes * (5 + 2 * (y is not None) + with_residual)
