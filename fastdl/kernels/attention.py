"""Scaled dot-product attention with masks and dropout; no T x S matrix is kept.

Maths     s[t, j] = scale * sum_d q[t, d] k[j, d] + mask[t, j],   for the keys j that row t attends to
          lse[t] = log sum_j exp s[t, j],   p[t, j] = exp(s[t, j] - lse[t]),   out[t] = sum_j z[t, j] p[t, j] v[j]
          for each batch item and head; z = 1 without dropout, else 0 with probability dropout_p and 1 / (1 - dropout_p)
          otherwise. A row that attends to nothing has out = 0 and lse = -inf.
Shapes    q (B, H, T, D), k (B, H, S, D), v (B, H, S, DV): float32 or float64, any strides (0 too).
          mask: None, bool (True: attend) or of q's dtype (added; -inf: do not attend), broadcastable to (B, H, T, S).
          causal: row t attends to keys j <= t only (both counted from the first). scale: 1 / sqrt(D) if None.
          dropout_p in [0, 1]; seed: unsigned 64 bits.
          Result out (B, H, T, DV) in memory (B, T, H, DV), so that merging the heads is a view; lse (B, H, T).
Backward  with dp[t, j] = z[t, j] sum_d dout[t, d] v[j, d], delta[t] = sum_d dout[t, d] out[t, d], ds = p (dp - delta):
          dq = scale ds k, dk = scale ds^T q, dv = (z p)^T dout, each in the memory order of out; p is computed again
          from lse. ds is also the gradient of an additive mask: where that is asked for, ops/attention.py composes it.
Cost      2 B H T S (D + DV) FLOPs forward, 2 B H T S (3 D + 2 DV) backward, half of both if causal (T = S).
          4 B H (T (D + DV) + S (D + DV)) bytes forward in float32, about 2.5 times that backward.
Errors    ValueError for shapes that do not fit, TypeError for other or unequal dtypes.
Notes     As torch's scaled_dot_product_attention, but dropout is a function of (seed, batch item, head, row, key)
          (see _philox.py) and is regenerated in backward. A row that attends to nothing gives 0, never NaN.
Ref       Dao, "FlashAttention-2", 2023; Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
"""

import math

import numpy as np

from fastdl.kernels._memory import empty, plain
from fastdl.kernels._philox import check_dropout
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import FLOATS, need_ndim, same_float_dtype


def attention_forward(q, k, v, mask=None, causal=False, scale=None, dropout_p=0.0, seed=0):
    """(out, lse); see the top of this file."""
    dtype, mask, scale = _check(q, k, v, mask, scale, dropout_p, seed)
    B, H, T, _ = q.shape
    out = _empty_heads(B, H, T, v.shape[3], dtype)
    lse = empty((B, H, T), dtype)
    implementation("attention", dtype).forward(
        plain(q), plain(k), plain(v), mask, bool(causal), scale, float(dropout_p), int(seed), out, lse
    )
    return out, lse


def attention_backward(dout, q, k, v, out, lse, mask=None, causal=False, scale=None, dropout_p=0.0, seed=0):
    """(dq, dk, dv) from what forward took and gave; see the top of this file."""
    dtype, mask, scale = _check(q, k, v, mask, scale, dropout_p, seed)
    B, H, T, D = q.shape
    S, DV = v.shape[2:]
    same_float_dtype("attention", q=q, dout=dout, out=out, lse=lse)
    for name, array, shape in (("dout", dout, (B, H, T, DV)), ("out", out, (B, H, T, DV)), ("lse", lse, (B, H, T))):
        if array.shape != shape:
            raise ValueError(f"attention: {name} must have shape {shape}, as forward gave it; got {array.shape}")
    dq, dk, dv = _empty_heads(B, H, T, D, dtype), _empty_heads(B, H, S, D, dtype), _empty_heads(B, H, S, DV, dtype)
    implementation("attention", dtype).backward(
        plain(dout), plain(q), plain(k), plain(v), plain(out), plain(lse),
        mask, bool(causal), scale, float(dropout_p), int(seed), dq, dk, dv,
    )  # fmt: skip
    return dq, dk, dv


def _empty_heads(B, H, T, D, dtype):
    """An uninitialised (B, H, T, D) whose memory is (B, T, H, D)."""
    return empty((B, T, H, D), dtype).transpose(0, 2, 1, 3)


def _check(q, k, v, mask, scale, dropout_p, seed):
    """The common dtype, the mask as a view of shape (B, H, T, S), the scale."""
    for name, array, axes in (("q", q, "(B, H, T, D)"), ("k", k, "(B, H, S, D)"), ("v", v, "(B, H, S, DV)")):
        if array.ndim != 4:
            need_ndim("attention", name, array, 4, axes)
    dtype = q.dtype
    if k.dtype is not dtype or v.dtype is not dtype or dtype not in FLOATS:
        dtype = same_float_dtype("attention", q=q, k=k, v=v)
    (B, H, T, D), (S, DV) = q.shape, v.shape[2:]
    if k.shape != (B, H, S, D) or v.shape != (B, H, S, DV):
        raise ValueError(
            f"attention: q {q.shape}, k {k.shape} and v {v.shape} do not fit: they must be (B, H, T, D), (B, H, S, D) "
            "and (B, H, S, DV)"
        )
    check_dropout("attention", dropout_p, seed)
    if mask is not None:
        if mask.dtype != np.bool_:
            if mask.dtype.kind in "iu":
                raise TypeError(
                    f"attention: mask has dtype {mask.dtype}; it must be bool (True: attend) or {dtype} (added)"
                )
            same_float_dtype("attention", q=q, mask=mask)
        shape = (B, H, T, S)
        try:
            mask = np.broadcast_to(plain(mask), shape)
        except ValueError:
            raise ValueError(f"attention: mask {mask.shape} does not broadcast to (B, H, T, S) = {shape}") from None
    return dtype, mask, 1 / math.sqrt(max(D, 1)) if scale is None else float(scale)


def attention_cost(q, k, v, mask=None, causal=False, scale=None, dropout_p=0.0, seed=0):
    """(FLOPs, bytes) of attention_forward."""
    (B, H, T, D), (S, DV) = q.shape, v.shape[2:]
    return 2 * B * H * _attended(T, S, causal) * (D + DV), q.itemsize * B * H * (T + S) * (D + DV)


def attention_backward_cost(dout, q, k, v, out, lse, mask=None, causal=False, scale=None, dropout_p=0.0, seed=0):
    """(FLOPs, bytes) of attention_backward."""
    (B, H, T, D), (S, DV) = q.shape, v.shape[2:]
    moved = T * (2 * D + 2 * DV + 1) + S * 2 * (D + DV)
    return 2 * B * H * _attended(T, S, causal) * (3 * D + 2 * DV), q.itemsize * B * H * moved


def _attended(T, S, causal):
    """Pairs (row, key) that take part."""
    if not causal:
        return T * S
    ramp = min(T, S)
    return ramp * (ramp + 1) // 2 + (T - ramp) * S
