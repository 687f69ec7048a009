"""Dropout in a plain loop.

Idea: one number and one comparison for each element. It is the specification: nothing here is clever.
"""

from fastdl.kernels._philox import MASK32, drop_threshold, keep_scale, number


def forward(x, p, seed, offset, out):
    flat = out.reshape(-1)  # a view: out is contiguous
    for i, value in enumerate(x.flat):
        kept = number(i, 0, offset & MASK32, offset >> 32, seed) >= drop_threshold(p)
        flat[i] = value * out.dtype.type(keep_scale(p)) if kept else 0
