"""Attention compiled by Numba.

Idea: one row of scores at a time, as long as S, with the inner loops along keys (K transposed) or along head width, so
that LLVM vectorises them; the weights never leave that row. Beats NumPy by not storing T x S arrays and by skipping what
lies behind the diagonal; no register tiles, so K and V stream through the cache once for every row.
"""

from functools import cache

import numpy as np
from numba import from_dtype, njit, types

from fastdl.kernels._philox import MULTIPLIERS, ROUNDS, WEYL, drop_threshold, keep_scale

FAST = {"contract", "nsz", "arcp"}
M0, M1, W0, W1 = (np.uint64(n) for n in (*MULTIPLIERS, *WEYL))
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@njit(cache=True, nogil=True)
def _number(n, row, head, seed):
    """Number n of the sequence (row, head, 0), as _philox.number."""
    c0, c1, c2, c3 = np.uint64(16 * (n // 64) + n % 16), np.uint64(row), np.uint64(head), np.uint64(0)
    k0, k1 = seed & LOW, seed >> HALF
    for _ in range(ROUNDS):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ k0, p1 & LOW, (p0 >> HALF) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    word = n % 64 // 16
    return c0 if word == 0 else c1 if word == 1 else c2 if word == 2 else c3


@njit(cache=True, nogil=True, fastmath=FAST)
def _scores(q, kt, attend, add, n, scale, s):
    """s[:n] = scale * q kt + mask; attend and add are the row's masks, of length 0 where there is none."""
    s[:n] = 0
    for d in range(len(q)):
        x = q[d] * scale
        for j in range(n):
            s[j] += x * kt[d, j]
    for j in range(min(n, len(add))):
        s[j] += add[j]
    for j in range(min(n, len(attend))):
        if not attend[j]:
            s[j] = -np.inf


def _forward(q, kt, v, attend, add, causal, scale, below, factor, seed, head, out, lse):
    T, S = len(q), len(v)
    s = np.empty(S, q.dtype)
    for t in range(T):
        n = min(S, t + 1) if causal else S
        _scores(q[t], kt, attend[t], add[t], n, scale, s)
        m = -np.inf
        for j in range(n):
            m = max(m, s[j])
        total = q.dtype.type(0)
        shift = q.dtype.type(0 if m == -np.inf else m)
        for j in range(n):
            s[j] = np.exp(s[j] - shift)
            total += s[j]
        out[t] = 0
        if total == 0:
            lse[t] = -np.inf
            continue
        lse[t] = m + np.log(total)
        for j in range(n):
            if below and _number(j, t, head, seed) < below:
                continue
            p = s[j] * (factor / total)
            for d in range(v.shape[1]):
                out[t, d] += p * v[j, d]


def _backward(dout, q, k, kt, vt, out, lse, attend, add, causal, scale, below, factor, seed, head, dq, dk, dv):
    T, S = len(q), len(k)
    s = np.empty(S, q.dtype)
    dp = np.empty(S, q.dtype)
    dq[:] = 0
    dk[:] = 0
    dv[:] = 0
    for t in range(T):
        if lse[t] == -np.inf:
            continue
        n = min(S, t + 1) if causal else S
        _scores(q[t], kt, attend[t], add[t], n, scale, s)
        dp[:n] = 0
        delta = q.dtype.type(0)
        for d in range(len(vt)):
            x = dout[t, d]
            delta += x * out[t, d]
            for j in range(n):
                dp[j] += x * vt[d, j]
        for j in range(n):
            s[j] = np.exp(s[j] - lse[t])
        for j in range(n):
            z = factor
            if below and _number(j, t, head, seed) < below:
                z = q.dtype.type(0)
            ds = s[j] * (z * dp[j] - delta) * scale
            kept = z * s[j]
            for d in range(q.shape[1]):
                dq[t, d] += ds * k[j, d]
                dk[j, d] += ds * q[t, d]
            for d in range(dv.shape[1]):
                dv[j, d] += kept * dout[t, d]


@cache
def _compiled(function, dtype):
    """One compilation for each dtype: contiguous arrays, but masks of any strides."""
    real = from_dtype(np.dtype(dtype))
    matrix, row = types.Array(real, 2, "C", readonly=True), types.Array(real, 1, "C", readonly=True)
    masks = types.Array(types.boolean, 2, "A", readonly=True), types.Array(real, 2, "A", readonly=True)
    numbers = types.boolean, real, types.uint64, real, types.uint64, types.int64
    result, result_row = types.Array(real, 2, "C"), types.Array(real, 1, "C")
    if function is _forward:
        signature = types.void(*[matrix] * 3, *masks, *numbers, result, result_row)
    else:
        signature = types.void(*[matrix] * 6, row, *masks, *numbers, *[result] * 3)
    return njit(signature, cache=True, nogil=True, fastmath=FAST)(function)


def forward(q, k, v, mask, causal, scale, dropout_p, seed, out, lse):
    B, H, T, _ = q.shape
    run = _compiled(_forward, q.dtype.name)
    attend, add, numbers = _parameters(q, mask, causal, scale, dropout_p, seed)
    result = np.empty((T, v.shape[3]), q.dtype)
    for b, h in np.ndindex(B, H):
        x, kt, y = (np.ascontiguousarray(a) for a in (q[b, h], k[b, h].T, v[b, h]))
        run(x, kt, y, attend[b, h], add[b, h], *numbers, b * H + h, result, lse[b, h])
        out[b, h] = result


def backward(dout, q, k, v, out, lse, mask, causal, scale, dropout_p, seed, dq, dk, dv):
    B, H, _, _ = q.shape
    run = _compiled(_backward, q.dtype.name)
    attend, add, numbers = _parameters(q, mask, causal, scale, dropout_p, seed)
    results = [np.empty(a.shape[2:], q.dtype) for a in (dq, dk, dv)]
    for b, h in np.ndindex(B, H):
        heads = dout[b, h], q[b, h], k[b, h], k[b, h].T, v[b, h].T, out[b, h], lse[b, h]
        run(*(np.ascontiguousarray(a) for a in heads), attend[b, h], add[b, h], *numbers, b * H + h, *results)
        dq[b, h], dk[b, h], dv[b, h] = results


def _parameters(q, mask, causal, scale, dropout_p, seed):
    """The two kinds of mask as (B, H, T, S, or 0 where there is none), then the numbers in the signature's order."""
    none = np.broadcast_to(np.empty(0, q.dtype), (*q.shape[:3], 0))
    attend, add = none.astype(np.bool_), none
    if mask is not None and mask.dtype == np.bool_:
        attend = mask
    elif mask is not None:
        add = mask
    return attend, add, (causal, scale, drop_threshold(dropout_p), keep_scale(dropout_p), seed)
