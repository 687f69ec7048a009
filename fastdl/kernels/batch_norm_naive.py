"""Batch and group norm in plain loops over (B, S, C).

Idea: the formulas, one set of elements after another. It is the specification: nothing here is clever. It computes in
float64.
"""

from math import sqrt

import numpy as np


def _set(S, C, G, g):
    """Every (row, channel) of group g."""
    width = C // G
    return [(s, c) for s in range(S) for c in range(g * width, (g + 1) * width)]


def forward(x, weight, bias, eps, G, residual, act, given, stats, y):
    B, S, C = x.shape
    x = x.astype(np.float64)
    for b in range(B):
        for g in range(G):
            members = _set(S, C, G, g)
            if not given:
                mean = sum(x[b, s, c] for s, c in members) / len(members)
                stats[0, b, g] = mean
                stats[1, b, g] = sum((x[b, s, c] - mean) ** 2 for s, c in members) / len(members)
                stats[2, b, g] = mean - stats[0, b, g]
            mean, variance, rest = stats[:, b, g].astype(np.float64)
            for s, c in members:
                v = (x[b, s, c] - mean - rest) / sqrt(variance + eps)
                if weight is not None:
                    v = v * weight[c]
                if bias is not None:
                    v = v + bias[c]
                if residual is not None:
                    v = v + residual[b, s, c]
                if act == "relu" and v < 0:
                    v = 0.0
                y[b, s, c] = v


def backward(dy, x, weight, bias, stats, eps, G, given, act, y, dx, dweight, dbias, dresidual):
    B, S, C = x.shape
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    if act == "relu" and y is None:
        y = np.empty_like(x)
        forward(x, weight, bias, eps, G, None, None, True, stats, y)
    dweight[...] = dbias[...] = 0
    for b in range(B):
        for g in range(G):
            members = _set(S, C, G, g)
            mean, variance, rest = stats[:, b, g].astype(np.float64)
            rstd = 1 / sqrt(variance + eps)
            e, z, h = {}, {}, {}
            for s, c in members:
                e[s, c] = 0.0 if act == "relu" and y[b, s, c] <= 0 else dy[b, s, c]
                z[s, c] = (x[b, s, c] - mean - rest) * rstd
                h[s, c] = e[s, c] if weight is None else e[s, c] * weight[c]
                dweight[c] += e[s, c] * z[s, c]
                dbias[c] += e[s, c]
            mean_h = sum(h.values()) / len(members)
            mean_hz = sum(h[i] * z[i] for i in members) / len(members)
            for s, c in members:
                centred = h[s, c] if given else h[s, c] - mean_h - z[s, c] * mean_hz
                dx[b, s, c] = rstd * centred
                if dresidual is not None:
                    dresidual[b, s, c] = e[s, c]
