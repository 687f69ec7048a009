"""Transformer layers and stacks under torch.nn's names: self-attention, encoder-decoder attention, feed-forward.

Post-norm (as published):  x = norm(x + dropout(sublayer(x)));  pre-norm (norm_first):  x = x + dropout(sublayer(norm(x))).

Ref  Vaswani et al. 2017, arXiv 1706.03762; pre-norm: Xiong et al. 2020, arXiv 2002.04745.
"""

import copy

import numpy as np

from fastdl.autograd import Tensor
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.nn.attention import MultiheadAttention
from fastdl.nn.cache import KVCache
from fastdl.nn.containers import ModuleList
from fastdl.nn.dropout import Dropout
from fastdl.nn.linear import Linear
from fastdl.nn.module import Module
from fastdl.nn.norm import LayerNorm
from fastdl.nn.parameter import Parameter


def _activation(activation):
    if callable(activation):
        return activation
    if activation in ("relu", "gelu"):
        return getattr(F, activation)
    raise ValueError(f"Transformer: activation must be 'relu', 'gelu' or a function; got {activation!r}")


def _is_causal(mask):
    """Whether a mask (T, T), boolean or additive, forbids exactly the future."""
    if mask is None or mask.array.ndim != 2 or mask.shape[0] != mask.shape[1]:
        return False
    future = ~np.tri(mask.shape[0], dtype=bool)
    if mask.dtype == np.bool_:
        return bool((mask.array == future).all())
    return bool((mask.array == np.where(future, -np.inf, 0)).all())


class FeedForward(Module):
    """linear2(dropout(activation(linear1(x)))): the same at every position, each position for itself.

    Shapes      x (..., d_model) -> same
    Parameters  linear1 (d_ff, d_model), linear2 (d_model, d_ff), each with bias
    """

    def __init__(self, d_model, d_ff=None, activation="relu", dropout=0.0):
        super().__init__()
        self.linear1 = Linear(d_model, d_ff or 4 * d_model)
        self.linear2 = Linear(d_ff or 4 * d_model, d_model)
        self.activation, self.dropout = _activation(activation), Dropout(dropout)

    def forward(self, x):
        return self.linear2(self.dropout(_inner(self.linear1, self.activation, x)))


def _inner(linear, activation, x):
    """activation(linear(x)); ReLU in the same pass."""
    return linear(x, act="relu") if activation is F.relu else activation(linear(x))


class _Layer(Module):
    """What encoder and decoder layers share."""

    looks_at_memory = False

    def __init__(
        self,
        d_model,
        nhead,
        dim_feedforward=2048,
        dropout=0.1,
        activation="relu",
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
    ):
        super().__init__()
        norms = 3 if self.looks_at_memory else 2
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias=bias, batch_first=batch_first)
        if self.looks_at_memory:
            self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias=bias, batch_first=batch_first)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias)
        self.norm_first, self.activation = norm_first, _activation(activation)
        for i in range(1, norms + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias))
        for i in range(1, norms + 1):
            setattr(self, f"dropout{i}", Dropout(dropout))

    def _add(self, x, norm, dropout, sublayer):
        if self.norm_first:
            return x + dropout(sublayer(norm(x)))
        return norm(x + dropout(sublayer(x)))

    def _ff(self, x):
        return self.linear2(self.dropout(_inner(self.linear1, self.activation, x)))

    def _attend(self, layer, x, memory, mask, padding, causal, cache=None, maps=None):
        if causal is None:
            causal = _is_causal(mask)
        if causal:
            mask = None
        y, weights = layer(
            x,
            memory,
            memory,
            padding,
            maps is not None,
            mask,
            average_attn_weights=False,
            is_causal=causal,
            cache=cache,
        )
        if maps is not None:
            maps.append(weights)
        return y


class TransformerEncoderLayer(_Layer):
    """Self-attention, then a feed-forward network, each with a residual connection and layer norm.

    Shapes      src (S, N, d_model), or (N, S, d_model) with batch_first, or (S, d_model) -> same
                src_mask (S, S) or (N nhead, S, S), src_key_padding_mask (N, S): True (or -inf) takes no part
    Parameters  self_attn.in_proj_weight, in_proj_bias, out_proj.*; linear1.*, linear2.*, norm1.*, norm2.*

    Example
    >>> layer = TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> layer(Tensor(np.zeros((3, 5, 8), np.float32))).shape
    (3, 5, 8)
    """

    def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=None, cache=None, maps=None):
        """cache: a KVCache; maps: a list that the attention weights (N, nhead, S, S) are appended to."""

        def attend(x):
            return self._attend(self.self_attn, x, x, src_mask, src_key_padding_mask, is_causal, cache, maps)

        x = self._add(src, self.norm1, self.dropout1, attend)
        return self._add(x, self.norm2, self.dropout2, self._ff)


class TransformerDecoderLayer(_Layer):
    """Masked self-attention, attention to the encoder's output, then a feed-forward network.

    Shapes      tgt (T, N, d_model), memory (S, N, d_model), or batch first -> as tgt; masks as in the encoder layer:
                tgt_mask (T, T), memory_mask (T, S), tgt_key_padding_mask (N, T), memory_key_padding_mask (N, S)
    Parameters  as the encoder layer, and multihead_attn.*, norm3.*
    """

    looks_at_memory = True

    def forward(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal=None,
        memory_is_causal=False,
        cache=None,
        maps=None,
    ):
        """cache: a pair of KVCache (of tgt; static, of memory); maps: a list for the weights (N, nhead, T, S) to memory."""
        own, other = cache or (None, None)

        def attend(x):
            return self._attend(self.self_attn, x, x, tgt_mask, tgt_key_padding_mask, tgt_is_causal, own)

        def attend_to_memory(x):
            return self._attend(
                self.multihead_attn, x, memory, memory_mask, memory_key_padding_mask, memory_is_causal, other, maps
            )

        x = self._add(tgt, self.norm1, self.dropout1, attend)
        x = self._add(x, self.norm2, self.dropout2, attend_to_memory)
        return self._add(x, self.norm3, self.dropout3, self._ff)


def _copies(layer, n):
    """A ModuleList of n copies of a layer. Inside init_empty() their weights are reserved only, as those of any new layer."""

    def empty(p):
        return Parameter(np.empty_like(p.array), p.requires_grad)

    memos = [{id(p): empty(p) for p in layer.parameters()} if init.is_empty() else {} for _ in range(n)]
    return ModuleList([copy.deepcopy(layer, memo) for memo in memos])


class TransformerEncoder(Module):
    """num_layers copies of an encoder layer, each with weights of its own, and a last norm.

    Shapes      as TransformerEncoderLayer
    Parameters  layers.0.*, layers.1.*, ..., norm.*
    """

    def __init__(self, encoder_layer, num_layers, norm=None, enable_nested_tensor=True, mask_check=True):
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(self, src, mask=None, src_key_padding_mask=None, is_causal=None, maps=None):
        causal = _is_causal(mask) if is_causal is None else is_causal
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, causal, maps=maps)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """num_layers copies of a decoder layer, each with weights of its own, and a last norm.

    Shapes      as TransformerDecoderLayer; cache: what make_cache returned, for decoding a few tokens at a time
    Parameters  layers.0.*, layers.1.*, ..., norm.*
    """

    def __init__(self, decoder_layer, num_layers, norm=None):
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def make_cache(self, capacity=0):
        """Empty caches of every layer: of its own tokens, and of the encoder's output (computed once)."""
        return [(KVCache(capacity), KVCache(static=True)) for _ in self.layers]

    def forward(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal=None,
        memory_is_causal=False,
        cache=None,
        maps=None,
    ):
        causal = _is_causal(tgt_mask) if tgt_is_causal is None else tgt_is_causal
        for i, layer in enumerate(self.layers):
            tgt = layer(
                tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, causal,
                memory_is_causal, None if cache is None else cache[i], maps,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encoder and decoder of the paper, without embeddings and output layer (those are in models/transformer.py).

    Shapes      src (S, N, d_model), tgt (T, N, d_model), or batch first -> (T, N, d_model) or (N, T, d_model)
    Parameters  encoder.layers.0.*, ..., encoder.norm.*, decoder.layers.0.*, ..., decoder.norm.*; matrices start
                Xavier uniform

    Example
    >>> net = Transformer(8, 2, 1, 1, 16, batch_first=True)
    >>> net(Tensor(np.zeros((3, 5, 8), np.float32)), Tensor(np.zeros((3, 4, 8), np.float32))).shape
    (3, 4, 8)
    """

    def __init__(
        self,
        d_model=512,
        nhead=8,
        num_encoder_layers=6,
        num_decoder_layers=6,
        dim_feedforward=2048,
        dropout=0.1,
        activation="relu",
        custom_encoder=None,
        custom_decoder=None,
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
    ):
        super().__init__()
        options = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def norm():
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias)

        if custom_encoder is None:
            custom_encoder = TransformerEncoder(TransformerEncoderLayer(*options), num_encoder_layers, norm())
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(TransformerDecoderLayer(*options), num_decoder_layers, norm())
        self.encoder, self.decoder = custom_encoder, custom_decoder
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        for p in self.parameters():
            if len(p.shape) > 1:
                init.xavier_uniform_(p)

    def forward(
        self,
        src,
        tgt,
        src_mask=None,
        tgt_mask=None,
        memory_mask=None,
        src_key_padding_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        src_is_causal=None,
        tgt_is_causal=None,
        memory_is_causal=False,
    ):
        if len(src.shape) == 3 and src.shape[0 if self.batch_first else 1] != tgt.shape[0 if self.batch_first else 1]:
            raise ValueError(f"Transformer: src {src.shape} and tgt {tgt.shape} must have the same batch size")
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal,
            memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz, dtype=None):
        """(sz, sz): 0 where key <= query, else -inf."""
        return Tensor(np.triu(np.full((sz, sz), -np.inf, dtype or np.float32), 1))
