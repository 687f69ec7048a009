"""Pooling by NumPy.

Idea: tap (i, j) of all windows at once is one fancy index, so a pool is KH * KW whole-array passes instead of a loop
over pixels. Costs that many passes over memory.
"""

import numpy as np

from fastdl.kernels import resize_numpy

avg_forward = resize_numpy.forward  # an average is a weighted sum


def _taps(rows, cols):
    """(number, o, h, p, w): outputs o x p have this tap inside the image, at h x w; index arrays that broadcast."""
    row, col = rows.padded[0], cols.padded[0]
    for i in range(rows.taps):
        o = np.flatnonzero(row[:, i] >= 0)[:, None]
        for j in range(cols.taps):
            p = np.flatnonzero(col[:, j] >= 0)
            if o.size and p.size:
                yield i * cols.taps + j, o, row[o, i], p, col[p, j]


def max_forward(x, rows, cols, out, index):
    largest = np.full((*out.shape[2:], *out.shape[:2]), -np.inf, x.dtype)  # (OH, OW, N, C)
    number = np.full(largest.shape, rows.taps * cols.taps, np.int32)
    x = x.transpose(2, 3, 0, 1)
    for t, o, h, p, w in _taps(rows, cols):
        value = x[h, w]
        best, which = largest[o, p], number[o, p]
        better = (value > best) | np.isnan(value) | (which == rows.taps * cols.taps)
        largest[o, p] = np.where(better, value, best)
        number[o, p] = np.where(better, t, which)
    out.transpose(2, 3, 0, 1)[...] = largest
    if index is not None:
        index.transpose(2, 3, 0, 1)[...] = number


def max_backward_x(dy, index, rows, cols, out):
    dx = np.zeros((*out.shape[2:], *out.shape[:2]), dy.dtype)  # (H, W, N, C)
    dy, index = dy.transpose(2, 3, 0, 1), index.transpose(2, 3, 0, 1)
    disjoint = len(np.unique(rows.index)) == len(rows.index) and len(np.unique(cols.index)) == len(cols.index)
    for t, o, h, p, w in _taps(rows, cols):
        part = np.where(index[o, p] == t, dy[o, p], 0)
        if disjoint:
            dx[h, w] = part
        else:
            np.add.at(dx, (h, w), part)  # adaptive windows may share a pixel as the same tap
    out.transpose(2, 3, 0, 1)[...] = dx


def max_backward_dy(ddx, index, rows, cols, out):
    picked = np.zeros((*out.shape[2:], *out.shape[:2]), ddx.dtype)  # (OH, OW, N, C)
    ddx, index = ddx.transpose(2, 3, 0, 1), index.transpose(2, 3, 0, 1)
    for t, o, h, p, w in _taps(rows, cols):
        picked[o, p] += np.where(index[o, p] == t, ddx[h, w], 0)
    out.transpose(2, 3, 0, 1)[...] = picked
