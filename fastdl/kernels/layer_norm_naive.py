"""Layer norm in plain loops over (M, N).

Idea: the formulas, row by row. It is the specification: nothing here is clever. It computes in float64.
"""

from math import sqrt

import numpy as np


def forward(x, residual, weight, bias, eps, rms, total, stats, y):
    M, N = x.shape
    x = x.astype(np.float64)
    for m in range(M):
        row = [x[m, n] if residual is None else x[m, n] + residual[m, n] for n in range(N)]
        mean = 0.0 if rms else sum(row) / N
        variance = sum((v - mean) ** 2 for v in row) / N
        stats[0, m], stats[1, m] = mean, variance
        stats[2, m] = mean - stats[0, m]
        for n in range(N):
            if total is not None:
                total[m, n] = row[n]
            v = (row[n] - mean) / sqrt(variance + eps)
            if weight is not None:
                v = v * weight[n]
            if bias is not None:
                v = v + bias[n]
            y[m, n] = v


def backward(dy, x, weight, stats, eps, rms, dsum, dx, dweight, dbias):
    M, N = x.shape
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    for d in (dweight, dbias):
        if d is not None:
            d[...] = 0
    for m in range(M):
        mean, variance, rest = stats[:, m].astype(np.float64)
        rstd = 1 / sqrt(variance + eps)
        z = [(x[m, n] - mean - rest) * rstd for n in range(N)]
        h = [dy[m, n] if weight is None else dy[m, n] * weight[n] for n in range(N)]
        mean_h = 0.0 if rms else sum(h) / N
        mean_hz = sum(a * b for a, b in zip(h, z, strict=True)) / N
        for n in range(N):
            dx[m, n] = rstd * (h[n] - mean_h - z[n] * mean_hz) + (0.0 if dsum is None else dsum[m, n])
            if dweight is not None:
                dweight[n] += dy[m, n] * z[n]
            if dbias is not None:
                dbias[n] += dy[m, n]
