"""Bilinear samples by NumPy.

Idea: around the images a border of zeros, so that no place needs a test; then four fancy indices for all places at once.
Beats plain loops by whole-array passes; costs about ten of them and a padded copy.
"""

import numpy as np


def forward(x, grid, out):
    N, C, H, W = x.shape
    gy, gx = grid[..., 0], grid[..., 1]  # (N, OH, OW)
    inside = (gy > -1) & (gy < H) & (gx > -1) & (gx < W)
    gy, gx = np.where(inside, gy, 0), np.where(inside, gx, 0)
    top, left = np.floor(gy), np.floor(gx)
    wy, wx = (gy - top)[..., None], (gx - left)[..., None]
    padded = np.zeros((N, H + 2, W + 2, C), x.dtype)
    padded[:, 1:-1, 1:-1] = x.transpose(0, 2, 3, 1)
    flat = padded.reshape(-1, C)  # (N (H + 2) (W + 2), C)
    at = (np.arange(N)[:, None, None] * (H + 2) + top.astype(np.intp) + 1) * (W + 2) + left.astype(np.intp) + 1
    upper = flat[at] * (1 - wx) + flat[at + 1] * wx
    lower = flat[at + W + 2] * (1 - wx) + flat[at + W + 3] * wx
    result = upper * (1 - wy) + lower * wy
    result[~inside] = 0
    out.transpose(0, 2, 3, 1)[...] = result
