"""Dropout by NumPy.

Idea: the numbers of BLOCK elements at once in 64-bit integers. Beats the loop by whole-array arithmetic; costs some
hundred passes over each block, which stays in cache.
"""

import numpy as np

from fastdl.kernels._philox import GROUP, MASK32, drop_threshold, keep_scale, numbers

BLOCK = 1 << 14  # elements, a multiple of GROUP


def forward(x, p, seed, offset, out):
    source, to = x.reshape(-1), out.reshape(-1)
    factor = out.dtype.type(keep_scale(p))
    for i in range(0, x.size, BLOCK):
        part = source[i : i + BLOCK]
        n = numbers(i // GROUP, -(-len(part) // GROUP), 0, offset & MASK32, offset >> 32, seed)
        to[i : i + BLOCK] = np.where(n[: len(part)] >= drop_threshold(p), part * factor, 0)
