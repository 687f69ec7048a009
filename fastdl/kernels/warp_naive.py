"""Bilinear samples in plain loops.

Idea: every place is the weighted sum of the four pixels around it. This is the specification.
"""

import math


def forward(x, grid, out):
    N, C, OH, OW = out.shape
    H, W = x.shape[2:]
    T = out.dtype.type
    for n in range(N):
        for o in range(OH):
            for p in range(OW):
                gy, gx = grid[n, o, p]
                if not (-1 < gy < H and -1 < gx < W):
                    out[n, :, o, p] = 0
                    continue
                top, left = math.floor(gy), math.floor(gx)
                for c in range(C):
                    total = T(0)
                    for i in (top, top + 1):
                        for j in (left, left + 1):
                            if 0 <= i < H and 0 <= j < W:
                                total += (1 - abs(gy - T(i))) * (1 - abs(gx - T(j))) * x[n, c, i, j]
                    out[n, c, o, p] = total
