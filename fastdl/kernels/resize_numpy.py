"""Resize, and averages over windows, by NumPy.

Idea: tap t of all outputs at once is one fancy index; rows first, then columns. As many whole-array passes as taps
instead of a loop over pixels. Windows of many taps (global averages) are products with the dense weight matrix instead.
"""

import numpy as np

MANY = 8  # taps from which a matrix product is quicker than one pass a tap


def forward(x, rows, cols, out):
    nhwc = x.transpose(0, 2, 3, 1)
    out.transpose(0, 2, 3, 1)[...] = _along(_along(nhwc, rows, 1), cols, 2)


def _along(x, axis, dim):
    """x with axis `dim` (1 or 2) of size axis.inputs replaced by weighted sums, axis.outputs of them."""
    longest = int(np.diff(axis.ptr).max(initial=0))
    if longest > MANY:
        moved = np.moveaxis(x, dim, -2)
        return np.moveaxis(np.matmul(axis.matrix.astype(x.dtype), moved), -2, dim)
    total = np.zeros((*x.shape[:dim], axis.outputs, *x.shape[dim + 1 :]), x.dtype)
    counts = np.diff(axis.ptr)
    for t in range(longest):
        has = np.flatnonzero(counts > t)
        entry = axis.ptr[has] + t
        weight = axis.weight[entry].astype(x.dtype).reshape(-1, *(1,) * (x.ndim - dim - 1))
        where = (slice(None),) * dim
        total[*where, has] += weight * x[*where, axis.index[entry]]
    return total
