"""Attention with several heads."""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.nn.linear import Linear
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter


class MultiheadAttention(Module):
    """softmax(q k^T / sqrt(d)) v in num_heads heads of d = embed_dim / num_heads, between linear projections.

    Shapes      batch_first False (as torch): query (L, N, E), key (S, N, K), value (S, N, V) -> (L, N, E)
                batch_first True: query (N, L, E), key (N, S, K), value (N, S, V) -> (N, L, E); without N also 2-D
                key_padding_mask (N, S), attn_mask (L, S) or (N num_heads, L, S): True (or -inf) takes no part
    Parameters  in_proj_weight (3E, E), or q_proj_weight (E, E), k_proj_weight (E, K), v_proj_weight (E, V) where K or V
                differs from E; in_proj_bias (3E,), bias_k, bias_v (1, 1, E); out_proj.weight (E, E), out_proj.bias (E,)
                cache: a KVCache, for inference; key and value are then the new tokens, S counts the cached ones too, and
                is_causal means that new token t sees all cached ones and the new ones up to t
    Returns     (output, weights): weights (N, L, S) averaged over the heads, or (N, num_heads, L, S); None without
                need_weights, which is the faster way (the fused kernel never forms them)
    Notes       a query that may see no key at all gets weights 0 and the output out_proj.bias (torch: NaN)
    Ref         Vaswani et al. 2017, arXiv 1706.03762
    """

    def __init__(
        self,
        embed_dim,
        num_heads,
        dropout=0.0,
        bias=True,
        add_bias_kv=False,
        add_zero_attn=False,
        kdim=None,
        vdim=None,
        batch_first=False,
        dtype=None,
    ):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: num_heads={num_heads} must divide embed_dim={embed_dim}")
        E, K, V = embed_dim, kdim or embed_dim, vdim or embed_dim
        dtype = dtype or np.float32
        self.embed_dim, self.num_heads, self.head_dim, self.kdim, self.vdim = E, num_heads, E // num_heads, K, V
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        same = K == E and V == E

        def matrix(out, into):
            return Parameter(np.empty((into, out), dtype).T)  # in memory (in, out), as Linear

        self.register_parameter("in_proj_weight", matrix(3 * E, E) if same else None)
        for name, size in (("q", E), ("k", K), ("v", V)):
            self.register_parameter(f"{name}_proj_weight", None if same else matrix(E, size))
        self.register_parameter("in_proj_bias", Parameter(np.zeros(3 * E, dtype)) if bias else None)
        self.out_proj = Linear(E, E, bias=bias, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, Parameter(np.empty((1, 1, E), dtype)) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self):
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if getattr(self, name) is not None:
                init.xavier_uniform_(getattr(self, name))
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)
        for p in (self.bias_k, self.bias_v):
            if p is not None:
                init.xavier_normal_(p)

    def forward(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
        cache=None,
    ):
        alone = len(query.shape) == 2  # one sequence, without the axis N
        if alone:
            query, key, value = query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
            if key_padding_mask is not None:
                key_padding_mask = key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            value = None if value is key else value.transpose(0, 1)
            key = None if key is query else key.transpose(0, 1)
            query = query.transpose(0, 1)
            key = query if key is None else key  # the same object again: one product projects all three
            value = key if value is None else value
        for name, x, size in (("query", query, self.embed_dim), ("key", key, self.kdim), ("value", value, self.vdim)):
            if len(x.shape) != 3 or x.shape[2] != size:
                raise ValueError(f"MultiheadAttention: {name} must end in an axis of {size}; got shape {x.shape}")
        N, L = query.shape[:2]
        if cache is not None and cache.static and cache.length:
            q = self._heads(self._project_query(query))
            k, v = cache.get()
        else:
            q, k, v = self._project(query, key, value)
            if cache is None:
                k, v, added = self._extra_keys(k, v)
            elif self.bias_k is not None or self.add_zero_attn:
                raise ValueError("MultiheadAttention: add_bias_kv and add_zero_attn do not work with a cache")
            q, k, v = self._heads(q), self._heads(k), self._heads(v)  # (N, num_heads, L or S, d)
            if cache is not None:
                k, v = cache.append(k, v)
        added = 0 if cache is not None else added
        S = k.shape[2] - added
        if is_causal and (key_padding_mask is not None or (cache is not None and L != S)):
            offset = 0 if cache is None else S - L  # keys that lie before the first query
            if attn_mask is None and not (L == 1 and offset == S - 1):  # one query that sees everything needs no mask
                attn_mask = Tensor(~np.tri(L, S, offset, dtype=bool))
            is_causal = False
        mask = _merge(attn_mask, key_padding_mask, N, self.num_heads, L, S, q.dtype)
        if added and is_causal and mask is None:
            mask = Tensor(_causal(L, S, q.dtype))
        if added and mask is not None:
            mask = F.pad(mask, (0, added))
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)  # (N, num_heads, L, S)
            if mask is not None:
                scores = scores + mask
            elif is_causal:
                scores = scores + Tensor(_causal(L, k.shape[2], q.dtype))
            weights = _softmax(scores, mask)
            attended = F.dropout(weights, p, True) @ v
        else:
            attended = F.scaled_dot_product_attention(q, k, v, mask, p, is_causal and mask is None)
        joined = attended.transpose(1, 2).reshape(N, L, self.embed_dim)
        output = self.out_proj(joined)  # (N, L, E)
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if alone:
            return output.squeeze(0), None if weights is None else weights.squeeze(0)
        return output if self.batch_first else output.transpose(0, 1), weights

    def _project(self, query, key, value):
        E, bias = self.embed_dim, self.in_proj_bias
        if self.in_proj_weight is None:
            pairs = zip((query, key, value), (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight), strict=True)
            return [
                F.linear(x, w, None if bias is None else bias[i * E : (i + 1) * E]) for i, (x, w) in enumerate(pairs)
            ]
        if query is key is value:
            return F.linear(query, self.in_proj_weight, bias).chunk(3, -1)
        w = self.in_proj_weight
        return [
            F.linear(x, w[i * E : (i + 1) * E], None if bias is None else bias[i * E : (i + 1) * E])
            for i, x in enumerate((query, key, value))
        ]

    def _project_query(self, query):
        E, bias = self.embed_dim, self.in_proj_bias
        w = self.q_proj_weight if self.in_proj_weight is None else self.in_proj_weight[:E]
        return F.linear(query, w, None if bias is None else bias[:E])

    def _heads(self, x):
        return x.reshape(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)

    def _extra_keys(self, k, v):
        """Append bias_k, bias_v and the zero key, which every query may see; and how many were added."""
        from fastdl.ops.shape import cat

        N, added = k.shape[0], 0
        if self.bias_k is not None:
            k = cat([k, self.bias_k.expand(N, 1, self.embed_dim)], 1)
            v = cat([v, self.bias_v.expand(N, 1, self.embed_dim)], 1)
            added += 1
        if self.add_zero_attn:
            zero = Tensor(np.zeros((N, 1, self.embed_dim), k.dtype))
            k, v = cat([k, zero], 1), cat([v, zero], 1)
            added += 1
        return k, v, added

    def extra_repr(self):
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"


def _additive(mask, dtype):
    """A mask whose True means "takes no part" as numbers to add."""
    if mask.dtype == np.bool_:
        return Tensor(np.where(mask.array, -np.inf, 0).astype(dtype))
    return mask


def _softmax(scores, mask):
    """softmax over the last axis; 0 in rows that may attend to nothing."""
    if mask is not None:
        empty = np.max(mask.array, axis=-1, keepdims=True, initial=-np.inf) == -np.inf
        if empty.any():
            weights = F.softmax(scores.masked_fill(Tensor(empty), 0.0), -1)
            return weights.masked_fill(Tensor(empty), 0.0)
    return F.softmax(scores, -1)


def _causal(L, S, dtype):
    return np.triu(np.full((L, S), -np.inf, dtype), 1)


def _merge(attn_mask, key_padding_mask, N, heads, L, S, dtype):
    """Both masks as one additive mask that broadcasts to (N, heads, L, S), or None."""
    merged = None
    if attn_mask is not None:
        if attn_mask.shape == (L, S):
            merged = _additive(attn_mask, dtype)
        elif attn_mask.shape == (N * heads, L, S):
            merged = _additive(attn_mask, dtype).reshape(N, heads, L, S)
        else:
            raise ValueError(
                f"MultiheadAttention: attn_mask must have shape {(L, S)} or {(N * heads, L, S)}; got {attn_mask.shape}"
            )
    if key_padding_mask is not None:
        if key_padding_mask.shape != (N, S):
            raise ValueError(
                f"MultiheadAttention: key_padding_mask must have shape {(N, S)}; got {key_padding_mask.shape}"
            )
        padding = _additive(key_padding_mask, dtype).reshape(N, 1, 1, S)
        merged = padding if merged is None else merged + padding
    return merged
