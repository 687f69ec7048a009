"""Scaled dot-product attention.

The first backward is a kernel that computes the weights again, so that no T x S tensor is kept. Where a graph of backward is asked
for, or the gradient of an additive mask, the same formulas run on differentiable functions (and do keep T x S tensors).
"""

import math

import numpy as np

from fastdl.autograd import Function, Tensor, is_grad_enabled
from fastdl.kernels._philox import attention_factors
from fastdl.kernels.attention import attention_backward, attention_forward
from fastdl.random import generator


class Attention(Function):
    """softmax(scale q k^T + mask) v with dropout of the weights; q (B, H, T, D), k (B, H, S, D), v (B, H, S, DV).

    `options` are the kernel's, in its order: causal, scale, dropout_p, seed.
    """

    @staticmethod
    def forward(ctx, q, k, v, mask, options):
        added = None if mask is None else mask.array
        out, lse = attention_forward(q.array, k.array, v.array, added, *options)
        out = Tensor(out)  # (B, H, T, DV)
        ctx.save_for_backward(q, k, v, mask, out)
        ctx.lse, ctx.options = lse, options
        return out

    @staticmethod
    def backward(ctx, dout):
        q, k, v, mask, out = ctx.saved_tensors
        if is_grad_enabled():
            return *_gradients(dout, q, k, v, mask, *ctx.options), None, None
        added = None if mask is None else mask.array
        dq, dk, dv = attention_backward(dout.array, q.array, k.array, v.array, out.array, ctx.lse, added, *ctx.options)
        return Tensor(dq), Tensor(dk), Tensor(dv), None, None


def _weights(q, k, mask, causal, scale):
    """The probabilities (B, H, T, S), of differentiable functions; 0 in rows that attend to nothing."""
    T, S = q.array.shape[2], k.array.shape[2]
    s = (q * scale) @ k.transpose(2, 3)
    if mask is not None and mask.array.dtype != np.bool_:
        s = s + mask
    attend = np.tri(T, S, dtype=bool) if causal else None
    if mask is not None and mask.array.dtype == np.bool_:
        attend = mask.array if attend is None else attend & mask.array
    if attend is not None:
        s = s.masked_fill(Tensor(~attend), -math.inf)
    largest = np.max(s.array, axis=-1, keepdims=True, initial=-np.inf)
    e = (s - Tensor(np.where(largest == -np.inf, 0, largest))).exp()
    total = e.sum(-1, keepdim=True)
    return e / (total + Tensor((total.array == 0).astype(total.array.dtype)))


def _factors(q, k, dropout_p, seed):
    B, H, T, _ = q.array.shape
    return Tensor(attention_factors(B, H, slice(0, T), k.array.shape[2], dropout_p, seed, q.array.dtype))


def _composed(q, k, v, mask, causal, scale, dropout_p, seed):
    """The same result, of differentiable functions."""
    p = _weights(q, k, mask, causal, scale)
    if dropout_p:
        p = p * _factors(q, k, dropout_p, seed)
    return p @ v


def _gradients(dout, q, k, v, mask, causal, scale, dropout_p, seed):
    """The kernel's backward, of differentiable functions."""
    p = kept = _weights(q, k, mask, causal, scale)
    dp = dout @ v.transpose(2, 3)
    if dropout_p:
        z = _factors(q, k, dropout_p, seed)
        dp, kept = z * dp, z * p
    ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * scale
    return ds @ k, ds.transpose(2, 3) @ q, kept.transpose(2, 3) @ dout


def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    """softmax(scale * query key^T + mask) value, with dropout of the weights.

    Shapes      query (..., H, T, D), key (..., H, S, D), value (..., H, S, DV) -> (..., H, T, DV); leading axes broadcast,
                and there may be none
    Parameters  attn_mask: bool (True: attend) or added to the scores, broadcastable to (..., H, T, S)
                dropout_p: applied whenever it is not 0, as in torch; is_causal: row t attends to keys 0 .. t
                scale: 1 / sqrt(D) if None; enable_gqa: key and value have fewer heads, each serving H / heads rows of heads
    Ref         Vaswani et al., 2017; Dao, "FlashAttention-2", 2023
    """
    if attn_mask is not None:
        if is_causal:
            raise RuntimeError("scaled_dot_product_attention: give attn_mask or is_causal, not both")
        if not isinstance(attn_mask, Tensor):
            attn_mask = Tensor(np.asarray(attn_mask))
    shape = query.array.shape
    for name, x in (("query", query), ("key", key), ("value", value)):
        if x.array.ndim < 2:
            raise RuntimeError(f"scaled_dot_product_attention: {name} needs at least 2 dimensions, not shape {x.shape}")
    if enable_gqa:
        key, value = _repeat_heads(key, query), _repeat_heads(value, query)
    scale = 1 / math.sqrt(max(shape[-1], 1)) if scale is None else float(scale)
    seed = int(generator().integers(2**64, dtype=np.uint64)) if dropout_p else 0
    options = bool(is_causal), scale, dropout_p, seed
    if len(shape) == 4 and key.array.shape[:2] == value.array.shape[:2] == shape[:2]:
        return _attention(query, key, value, attn_mask, options)
    q, k, v, leading = _four_axes(query, key, value)
    mask = attn_mask if attn_mask is None or len(leading) == 2 else _mask_of_four_axes(attn_mask, leading)
    out = _attention(q, k, v, mask, options)
    return out if len(leading) == 2 else out.reshape(*leading, *out.array.shape[2:])


def _attention(q, k, v, mask, options):
    """Of q, k, v with four axes."""
    if mask is not None and mask.requires_grad and is_grad_enabled():
        return _composed(q, k, v, mask, *options)
    return Attention.apply(q, k, v, mask, options)


def _repeat_heads(x, query):
    """x with every head repeated to as many as query has."""
    heads, wanted = x.array.shape[-3], query.array.shape[-3]
    if heads == 0 or wanted % heads:
        raise RuntimeError(f"scaled_dot_product_attention: {wanted} query heads cannot share {heads} key heads")
    return x if heads == wanted else x.repeat_interleave(wanted // heads, -3)


def _four_axes(query, key, value):
    """The three with common leading axes as (B, H, rows, width), and what the leading axes were."""
    tensors = query, key, value
    shapes = [x.array.shape[:-2] for x in tensors]
    leading = shapes[0]
    if shapes[1] != leading or shapes[2] != leading:
        try:
            leading = np.broadcast_shapes(*shapes)
        except ValueError:
            raise RuntimeError(
                f"scaled_dot_product_attention: the leading axes of query {query.shape}, key {key.shape} and "
                f"value {value.shape} do not broadcast"
            ) from None
        tensors = [x.expand(*leading, *x.array.shape[-2:]) for x in tensors]
    if len(leading) != 2:
        four = (math.prod(leading[:-1]), leading[-1] if leading else 1)
        tensors = [x.reshape(*four, *x.array.shape[-2:]) for x in tensors]
    return (*tensors, leading)


def _mask_of_four_axes(mask, leading):
    """A mask that broadcasts to (*leading, T, S) as one that broadcasts to (B, H, T, S)."""
    if mask.array.ndim <= 2:
        return mask
    two = mask.array.shape[-2:]
    four = (math.prod(leading[:-1]), leading[-1] if leading else 1)
    return mask.expand(*leading, *two).reshape(*four, *two)
