"""RoI align by NumPy.

Idea: the weights of all samples of a bin add up to a matrix for rows, A (PH, rows of the box), and one for columns,
B (PW, columns of the box); then out = A x B^T for all channels in two products. Beats the loops by BLAS; a Python step
a box remains, and the zeros of A and B are multiplied too (so a NaN spreads over all bins of its boxes).
"""

import numpy as np

from fastdl.kernels import _roi


def _weights(start, step, bins, samples, size):
    """(first, A): A[p, i] is the weight of cell first + i in bin p."""
    at = start + np.arange(bins)[:, None] * step + (np.arange(samples) + 0.5) * step / max(samples, 1)
    inside = (at >= -1) & (at <= size)
    if not inside.any():
        return 0, np.zeros((bins, 0))
    at = np.clip(np.where(inside, at, 0), 0, size - 1)
    low = np.minimum(at.astype(np.int64), max(size - 2, 0))
    upper = at - low
    first = int(low[inside].min())
    A = np.zeros((bins, min(int(low[inside].max()) + 2, size) - first))
    p, i = np.nonzero(inside)
    np.add.at(A, (p, low[p, i] - first), 1 - upper[p, i])
    if size > 1:
        np.add.at(A, (p, low[p, i] - first + 1), upper[p, i])
    return first, A / samples


def _each_box(boxes, shape, PH, PW, spatial_scale, sampling_ratio, aligned):
    """(k, part of x that box k sees, A, B)."""
    grid = _roi.align_grid(boxes, spatial_scale, PH, PW, sampling_ratio, aligned)
    for k, (n, (y, x), (dy, dx), (gy, gx)) in enumerate(zip(*grid, strict=True)):
        top, A = _weights(y, dy, PH, gy, shape[2])
        left, B = _weights(x, dx, PW, gx, shape[3])
        part = n, slice(top, top + A.shape[1]), slice(left, left + B.shape[1])
        yield k, part, A.astype(boxes.dtype), B.astype(boxes.dtype)


def forward(x, boxes, spatial_scale, sampling_ratio, aligned, out):
    PH, PW = out.shape[2:]
    nhwc, result = x.transpose(0, 2, 3, 1), out.transpose(0, 2, 3, 1)
    for k, part, A, B in _each_box(boxes, x.shape, PH, PW, spatial_scale, sampling_ratio, aligned):
        rows = np.tensordot(A, nhwc[part], 1)  # (PH, columns, C)
        result[k] = np.matmul(B, rows)  # (PH, PW, C)


def backward_x(dy, boxes, spatial_scale, sampling_ratio, aligned, out):
    PH, PW = dy.shape[2:]
    dx, grad = out.transpose(0, 2, 3, 1), dy.transpose(0, 2, 3, 1)
    dx[...] = 0
    for k, part, A, B in _each_box(boxes, out.shape, PH, PW, spatial_scale, sampling_ratio, aligned):
        columns = np.matmul(B.T, grad[k])  # (PH, columns, C)
        dx[part] += np.tensordot(A.T, columns, 1)
