"""Rows of a table by number, and the gradient of the table.

Maths     out[..., :] = weight[index[...], :]
Shapes    index (...) of any integer dtype, weight (V, D) float32 or float64; result (..., D), C-contiguous.
Backward  dw[v, :] = sum of dy[t, :] over all t with index[t] == v, in the order of t: linear in dy, with the forward
          as its transpose. Rows equal to padding_idx get zero.
Cost      no multiplications; 8 T D bytes forward, 4 (T + V) D backward, for T numbers.
Errors    TypeError for numbers that are not integers, IndexError for numbers outside 0 .. V - 1 (no wrapping).
"""

import numpy as np

from fastdl.kernels._memory import empty, plain
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import need_ndim, same_float_dtype


def embedding_forward(index, weight):
    """Rows of weight; see the top of this file."""
    need_ndim("embedding", "weight", weight, 2, "(V, D)")
    dtype = same_float_dtype("embedding", weight=weight)
    rows = _numbers(index, weight.shape[0])
    out = empty((rows.size, weight.shape[1]), dtype)
    implementation("embedding", dtype).forward(rows, plain(weight), out)
    return out.reshape(*index.shape, weight.shape[1])


def embedding_backward_w(dy, index, V, padding_idx=None):
    """dw (V, D)."""
    dtype = same_float_dtype("embedding", dy=dy)
    if dy.shape[:-1] != index.shape:
        raise ValueError(f"embedding: dy of shape {dy.shape} does not fit an index of shape {index.shape}")
    rows = _numbers(index, V)
    out = empty((V, dy.shape[-1]), dtype)
    skip = -1 if padding_idx is None else padding_idx
    implementation("embedding", dtype).backward_w(plain(dy).reshape(rows.size, dy.shape[-1]), rows, skip, out)
    return out


def _numbers(index, V):
    """index as (T,) int64, checked."""
    if index.dtype.kind not in "iu":
        raise TypeError(f"embedding: index must hold integers, not {index.dtype} (use .long())")
    rows = np.require(index.reshape(-1), np.int64, "CA")
    if rows.size and (rows.min() < 0 or rows.max() >= V):
        wrong = rows[(rows < 0) | (rows >= V)][0]
        raise IndexError(f"embedding: index {wrong} is outside the table, whose rows are 0 to {V - 1}")
    return rows


def embedding_forward_cost(index, weight):
    """(FLOPs, bytes) of one call."""
    return 0, 2 * weight.itemsize * index.size * weight.shape[1]


def embedding_backward_w_cost(dy, index, V, padding_idx=None):
    """(FLOPs, bytes) of one call: rows that appear are added up, the others are written as zeros."""
    return dy.size, dy.itemsize * (dy.size + V * dy.shape[-1])
