"""Ways to tell attention where a token stands: added vectors, rotations of queries and keys, or a bias of the scores."""

import math

import numpy as np

from fastdl.autograd import Tensor
from fastdl.nn import init
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter
from fastdl.ops.shape import cat


def sinusoids(length: int, d: int, layout: str = "interleaved", start: int = 0) -> np.ndarray:
    """(length, d) float32: sin(p w_i), cos(p w_i) with w_i = 10000^(-2i/d), for positions p = start, start + 1, ...

    layout "interleaved": sin at 2i, cos at 2i + 1 (the paper); "halves": all sines first, then all cosines.
    """
    if layout not in ("interleaved", "halves"):
        raise ValueError(f"sinusoids: layout must be 'interleaved' or 'halves'; got {layout!r}")
    angle = np.arange(start, start + length)[:, None] * np.exp(np.arange(0, d, 2) * (-math.log(10000.0) / d))
    table = np.empty((length, d), np.float32)
    if layout == "interleaved":
        table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)[:, : d // 2]
    else:
        half = (d + 1) // 2
        table[:, :half], table[:, half:] = np.sin(angle), np.cos(angle)[:, : d // 2]
    return table


class SinusoidalPositionalEncoding(Module):
    """Adds fixed sines and cosines, so that PE(p + k) is a rotation of PE(p) that depends on k only.

    Shapes      x (N, T, d_model), or (T, N, d_model) with batch_first=False -> same; start: position of the first token
    Errors      ValueError for positions from max_len on

    Example
    >>> SinusoidalPositionalEncoding(4)(Tensor(np.zeros((1, 2, 4), np.float32))).array[0, 0].tolist()
    [0.0, 1.0, 0.0, 1.0]

    Ref         Vaswani et al. 2017, section 3.5
    """

    def __init__(self, d_model, max_len=5000, dropout=0.0, layout="interleaved", batch_first=True):
        super().__init__()
        self.d_model, self.max_len, self.dropout = d_model, max_len, dropout
        self.layout, self.batch_first = layout, batch_first
        self._table = sinusoids(min(max_len, 512), d_model, layout)  # the rest when it is needed

    def forward(self, x, start=0):
        from fastdl.nn import functional as F

        T = x.shape[1 if self.batch_first else 0]
        rows = Tensor(self.rows(start, T).astype(x.dtype, copy=False))
        y = x + (rows if self.batch_first else rows.unsqueeze(1))
        return F.dropout(y, self.dropout, self.training) if self.dropout else y

    def rows(self, start, T):
        """The encodings of positions start .. start + T - 1, an array (T, d_model)."""
        if start + T > self.max_len:
            raise ValueError(
                f"SinusoidalPositionalEncoding: positions up to {start + T - 1} exceed max_len={self.max_len}; "
                "hint: shorten the sequence or build the layer with a larger max_len"
            )
        if start + T > len(self._table):
            self._table = sinusoids(min(self.max_len, 2 * (start + T)), self.d_model, self.layout)
        return self._table[start : start + T]

    def extra_repr(self):
        return f"{self.d_model}, max_len={self.max_len}"


class LearnedPositionalEncoding(Module):
    """Adds a trained vector for each position.

    Shapes      x (N, T, d_model), or (T, N, d_model) with batch_first=False -> same; start: position of the first token
    Parameters  weight (max_len, d_model), starts N(0, 0.02)
    Errors      ValueError for positions from max_len on
    """

    def __init__(self, d_model, max_len=512, batch_first=True):
        super().__init__()
        self.max_len, self.batch_first = max_len, batch_first
        self.weight = Parameter(np.empty((max_len, d_model), np.float32))
        init.normal_(self.weight, 0.0, 0.02)

    def forward(self, x, start=0):
        T = x.shape[1 if self.batch_first else 0]
        if start + T > self.max_len:
            raise ValueError(
                f"LearnedPositionalEncoding: positions up to {start + T - 1} exceed max_len={self.max_len}; "
                "hint: shorten the sequence or build the layer with a larger max_len"
            )
        rows = self.weight[start : start + T]
        return x + (rows if self.batch_first else rows.unsqueeze(1))

    def extra_repr(self):
        return f"{self.weight.shape[1]}, max_len={self.max_len}"


class RotaryEmbedding(Module):
    """Turns every pair (x_i, x_{i + d/2}) of a query or key by its position times w_i: scores depend on distance only.

    Shapes      x (..., T, d), d even -> same; start: position of the first row
    Ref         Su et al. 2021, arXiv 2104.09864
    """

    def __init__(self, dim, base=10000.0):
        super().__init__()
        if dim % 2:
            raise ValueError(f"RotaryEmbedding: dim must be even; got {dim}")
        self.dim, self.base = dim, base

    def forward(self, x, start=0):
        T, half = x.shape[-2], self.dim // 2
        if x.shape[-1] != self.dim:
            raise ValueError(f"RotaryEmbedding: the last axis must be {self.dim}; got shape {x.shape}")
        angle = np.arange(start, start + T)[:, None] * self.base ** (-np.arange(half) / half)  # (T, half)
        cos, sin = Tensor(np.cos(angle).astype(x.dtype)), Tensor(np.sin(angle).astype(x.dtype))
        a, b = x[..., :half], x[..., half:]
        return cat([a * cos - b * sin, a * sin + b * cos], -1)


class RelativePositionBias(Module):
    """A trained number for every head and clipped distance key - query, to be added to the scores as attn_mask.

    Shapes      (T, S) -> (num_heads, T, S)
    Parameters  weight (2 max_distance + 1, num_heads), starts at 0
    Ref         Shaw, Uszkoreit, Vaswani 2018, arXiv 1803.02155 (as a bias of the scores)
    """

    def __init__(self, num_heads, max_distance=32):
        super().__init__()
        self.max_distance = max_distance
        self.weight = Parameter(np.zeros((2 * max_distance + 1, num_heads), np.float32))

    def forward(self, T, S=None):
        from fastdl.nn import functional as F

        S = T if S is None else S
        # the last query stands at the last key
        distance = np.arange(S)[None] - np.arange(S - T, S)[:, None]
        index = np.clip(distance, -self.max_distance, self.max_distance) + self.max_distance  # (T, S)
        return F.embedding(index, self.weight).permute(2, 0, 1)
