"""Attention in plain loops.

Idea: one row of scores at a time, its softmax, the weighted mean of the values. It is the specification: nothing here
is clever.
"""

import numpy as np

from fastdl.kernels._philox import drop_threshold, keep_scale, number


def forward(q, k, v, mask, causal, scale, dropout_p, seed, out, lse):
    B, H, T, _ = q.shape
    for b, h, t in np.ndindex(B, H, T):
        s = _scores(q, k, mask, causal, scale, b, h, t)
        m = _minus_inf(q)
        for value in s.values():
            m = np.maximum(m, value)
        total = q.dtype.type(0)
        if m != -np.inf:
            for value in s.values():
                total += np.exp(value - m)
        lse[b, h, t] = m + np.log(total) if m != -np.inf else m
        out[b, h, t] = 0
        for j, p in _weights(s, lse[b, h, t]).items():
            out[b, h, t] += _factor(dropout_p, seed, b * H + h, t, j) * p * v[b, h, j]


def backward(dout, q, k, v, out, lse, mask, causal, scale, dropout_p, seed, dq, dk, dv):
    B, H, T, _ = q.shape
    dq[...] = 0
    dk[...] = 0
    dv[...] = 0
    for b, h, t in np.ndindex(B, H, T):
        delta = _dot(dout[b, h, t], out[b, h, t])
        for j, p in _weights(_scores(q, k, mask, causal, scale, b, h, t), lse[b, h, t]).items():
            z = _factor(dropout_p, seed, b * H + h, t, j)
            dp = z * _dot(dout[b, h, t], v[b, h, j])
            ds = p * (dp - delta) * scale
            dq[b, h, t] += ds * k[b, h, j]
            dk[b, h, j] += ds * q[b, h, t]
            dv[b, h, j] += z * p * dout[b, h, t]


def _minus_inf(q):
    return q.dtype.type(-np.inf)


def _dot(a, b):
    total = a.dtype.type(0)
    for d in range(len(a)):
        total += a[d] * b[d]
    return total


def _scores(q, k, mask, causal, scale, b, h, t):
    """{key: score} of the keys that row t attends to."""
    s = {}
    for j in range(min(k.shape[2], t + 1) if causal else k.shape[2]):
        if mask is None or mask.dtype != np.bool_:
            added = q.dtype.type(0) if mask is None else mask[b, h, t, j]
        elif mask[b, h, t, j]:
            added = q.dtype.type(0)
        else:
            continue
        s[j] = _dot(q[b, h, t], k[b, h, j]) * q.dtype.type(scale) + added
    return s


def _weights(s, lse):
    """{key: probability}; none where the row attends to nothing."""
    return {} if lse == -np.inf else {j: np.exp(value - lse) for j, value in s.items()}


def _factor(dropout_p, seed, head, t, j):
    """0 where dropout takes this weight, else what it is multiplied by. head counts through batch items and heads."""
    if dropout_p == 0:
        return 1
    if dropout_p == 1 or number(j, t, head, 0, seed) < drop_threshold(dropout_p):
        return 0
    return keep_scale(dropout_p)
