"""Softmax in plain loops over (outer, n, inner).

Idea: the formula, slice by slice. It is the specification: nothing here is clever. It computes in float64.
"""

from math import inf, isnan, nan
from math import log as ln

from numpy import exp, float64


def forward(x, log, y):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            values = x[o, :, i].astype(float64)
            largest = nan if any(isnan(v) for v in values) else max(values)
            if isnan(largest) or largest in (inf, -inf):
                y[o, :, i] = nan
                continue
            total = sum(exp(v - largest) for v in values)
            for k in range(n):
                y[o, k, i] = values[k] - largest - ln(total) if log else exp(values[k] - largest) / total


def backward(dy, y, log, dx):
    outer, n, inner = y.shape
    dy, y = dy.astype(float64), y.astype(float64)
    for o in range(outer):
        for i in range(inner):
            total = sum(dy[o, k, i] if log else dy[o, k, i] * y[o, k, i] for k in range(n))
            for k in range(n):
                if log:
                    dx[o, k, i] = dy[o, k, i] - exp(y[o, k, i]) * total
                else:
                    dx[o, k, i] = y[o, k, i] * (dy[o, k, i] - total)
