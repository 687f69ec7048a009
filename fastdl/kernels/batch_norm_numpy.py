"""Batch and group norm by NumPy, on (B, S, C).

Idea: whole-array expressions over (B, S, G, C / G). Faster than loops a hundredfold; about nine passes over memory and
as many temporaries. Sums run in float64, so float32 loses nothing to long sums.
"""

import numpy as np


def _grouped(x, G):
    """(B, S, C) as (B, S, G, C / G)"""
    B, S, C = x.shape
    return x.reshape(B, S, G, C // G)


def _normalised(x, stats, eps, G):
    """z (B, S, C), and rstd (B, 1, G, 1)"""
    mean, variance, rest = stats[:, :, None, :, None]  # each (B, 1, G, 1)
    rstd = (1 / np.sqrt(variance.astype(np.float64) + eps)).astype(x.dtype)
    return ((_grouped(x, G) - mean - rest) * rstd).reshape(x.shape), rstd


def forward(x, weight, bias, eps, G, residual, act, given, stats, y):
    if not given:
        members = _grouped(x, G)
        mean = members.mean(axis=(1, 3), dtype=np.float64)  # (B, G)
        stats[0] = mean
        stats[1] = np.square(members - mean[:, None, :, None]).mean(axis=(1, 3))
        stats[2] = mean - stats[0]
    z, _ = _normalised(x, stats, eps, G)
    _finish(z, weight, bias, residual, act, y)


def _finish(z, weight, bias, residual, act, y):
    np.multiply(z, 1 if weight is None else weight, out=y)
    if bias is not None:
        y += bias
    if residual is not None:
        y += residual
    if act == "relu":
        np.maximum(y, 0, out=y)


def backward(dy, x, weight, bias, stats, eps, G, given, act, y, dx, dweight, dbias, dresidual):
    z, rstd = _normalised(x, stats, eps, G)
    e = dy
    if act == "relu":
        if y is None:
            y = np.empty_like(x)
            _finish(z, weight, bias, None, None, y)
        e = np.where(y <= 0, 0, dy)
    if dresidual is not None:
        dresidual[...] = e
    dbias[...] = e.sum(axis=(0, 1), dtype=np.float64)
    dweight[...] = (e * z).sum(axis=(0, 1), dtype=np.float64)
    h = _grouped(e if weight is None else e * weight, G)
    if not given:
        z = _grouped(z, G)
        mean_h = h.mean(axis=(1, 3), keepdims=True, dtype=np.float64).astype(x.dtype)
        mean_hz = (h * z).mean(axis=(1, 3), keepdims=True, dtype=np.float64).astype(x.dtype)
        h = h - mean_h - z * mean_hz
    np.multiply(h, rstd, out=_grouped(dx, G))
