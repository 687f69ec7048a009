"""Attention by NumPy: scores of many rows at once through its BLAS.

Idea: two batched products and a softmax between them, over as many rows as keep the scores within BUDGET bytes, so that
memory stays bounded for long sequences. Beats loops by BLAS; costs about eight passes over the scores.
"""

import numpy as np

from fastdl.kernels._philox import attention_factors

BUDGET = 32 << 20  # bytes of one array of scores


def forward(q, k, v, mask, causal, scale, dropout_p, seed, out, lse):
    for rows in _row_blocks(q, k):
        s = _scores(q, k, mask, causal, scale, rows)  # (B, H, rows, S)
        m = np.max(s, axis=-1, keepdims=True, initial=-np.inf)
        nothing = m == -np.inf
        p = np.exp(s - np.where(nothing, 0, m), out=s)
        total = p.sum(axis=-1, keepdims=True)
        with np.errstate(divide="ignore"):
            lse[:, :, rows] = (m + np.log(total))[..., 0]
        p /= np.where(nothing, 1, total)
        if dropout_p:
            p *= attention_factors(*q.shape[:2], rows, k.shape[2], dropout_p, seed, q.dtype)
        out[:, :, rows] = p @ v


def backward(dout, q, k, v, out, lse, mask, causal, scale, dropout_p, seed, dq, dk, dv):
    dk[...] = 0
    dv[...] = 0
    for rows in _row_blocks(q, k):
        s = _scores(q, k, mask, causal, scale, rows)
        row_lse = lse[:, :, rows, None]
        p = np.exp(s - np.where(row_lse == -np.inf, np.inf, row_lse), out=s)
        dp = dout[:, :, rows] @ v.swapaxes(2, 3)
        kept = p
        if dropout_p:
            z = attention_factors(*q.shape[:2], rows, k.shape[2], dropout_p, seed, q.dtype)
            dp *= z
            kept = z * p
        dv += kept.swapaxes(2, 3) @ dout[:, :, rows]
        delta = np.sum(dout[:, :, rows] * out[:, :, rows], axis=-1, keepdims=True)
        ds = (dp - delta) * p
        ds *= ds.dtype.type(scale)
        dq[:, :, rows] = ds @ k
        dk += ds.swapaxes(2, 3) @ q[:, :, rows]


def _row_blocks(q, k):
    """Slices of rows whose scores fit into BUDGET."""
    B, H, T, _ = q.shape
    step = max(1, int(BUDGET / max(1, B * H * k.shape[2] * q.itemsize)))
    return [slice(t, min(t + step, T)) for t in range(0, T, step)]


def _scores(q, k, mask, causal, scale, rows):
    s = (q[:, :, rows] * q.dtype.type(scale)) @ k.swapaxes(2, 3)  # (B, H, rows, S)
    if mask is not None:
        if mask.dtype == np.bool_:
            np.copyto(s, -np.inf, where=~mask[:, :, rows])
        else:
            s += mask[:, :, rows]
    if causal:
        t = np.arange(rows.start, rows.stop)[:, None]
        np.copyto(s, -np.inf, where=np.arange(k.shape[2]) > t)
    return s
