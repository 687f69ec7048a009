"""Layer norm by NumPy, on (M, N).

Idea: whole-array expressions. Faster than loops a hundredfold; about six passes over memory and as many temporaries.
Means run in float64.
"""

import numpy as np


def forward(x, residual, weight, bias, eps, rms, total, stats, y):
    if residual is not None:
        np.add(x, residual, out=total)
        x = total
    mean = np.zeros(x.shape[0]) if rms else x.mean(axis=1, dtype=np.float64)  # (M,)
    stats[0] = mean
    stats[2] = mean - stats[0]
    deviation = x - stats[0][:, None] - stats[2][:, None]
    stats[1] = np.square(deviation).mean(axis=1, dtype=np.float64)
    np.multiply(deviation, _rstd(stats, eps), out=y)
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias


def _rstd(stats, eps):
    """(M, 1)"""
    return (1 / np.sqrt(stats[1].astype(np.float64) + eps)).astype(stats.dtype)[:, None]


def backward(dy, x, weight, stats, eps, rms, dsum, dx, dweight, dbias):
    rstd = _rstd(stats, eps)
    z = (x - stats[0][:, None] - stats[2][:, None]) * rstd
    if dweight is not None:
        dweight[...] = (dy * z).sum(axis=0, dtype=np.float64)
    if dbias is not None:
        dbias[...] = dy.sum(axis=0, dtype=np.float64)
    h = dy if weight is None else dy * weight
    mean_hz = (h * z).mean(axis=1, dtype=np.float64, keepdims=True).astype(x.dtype)
    centred = h - z * mean_hz
    if not rms:
        centred -= h.mean(axis=1, dtype=np.float64, keepdims=True).astype(x.dtype)
    np.multiply(centred, rstd, out=dx)
    if dsum is not None:
        dx += dsum
