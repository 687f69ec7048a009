"""LSTM over lines compiled by Numba.

Idea: an image at a time through all its steps, products along rows of the transposed weights so that LLVM vectorises them. Beats
NumPy where lines are short and the calls of a step cost more than its arithmetic; without register tiles it is bound by loads.
"""

import numpy as np
from numba import njit

_options = {"cache": True, "nogil": True, "fastmath": {"contract", "nsz", "arcp"}}


@njit(**_options)
def _forward(x, w, left, y, gates, cells):  # w (K, H, 4H)
    S, B, R, G = x.shape
    K, H = w.shape[:2]
    for b in range(B):
        for s in range(S):
            for r in range(R):
                v = gates[s, b, r]
                v[:] = x[s, b, r]
                if s:
                    for k in range(K):
                        q = r - left + k
                        if 0 <= q < R:
                            for j in range(H):
                                a = y[s - 1, b, q, j]
                                for u in range(G):
                                    v[u] += a * w[k, j, u]
                for u in range(H):
                    i, f, o = 1 / (1 + np.exp(-v[u])), 1 / (1 + np.exp(-v[H + u])), 1 / (1 + np.exp(-v[3 * H + u]))
                    g = np.tanh(v[2 * H + u])
                    c = i * g
                    if s:
                        c += f * cells[s - 1, b, r, u]
                    v[u], v[H + u], v[2 * H + u], v[3 * H + u] = i, f, g, o
                    cells[s, b, r, u] = c
                    y[s, b, r, u] = o * np.tanh(c)


@njit(**_options)
def _backward(dy, w, left, gates, cells, dx):  # w (4H, K, H)
    S, B, R, G = gates.shape
    K, H = w.shape[1:]
    dh, dc = np.empty((R, H), dx.dtype), np.empty((R, H), dx.dtype)
    for b in range(B):
        dh[:] = 0
        dc[:] = 0
        for s in range(S - 1, -1, -1):
            for r in range(R):
                v, d = gates[s, b, r], dx[s, b, r]
                for u in range(H):
                    i, f, g, o = v[u], v[H + u], v[2 * H + u], v[3 * H + u]
                    t = np.tanh(cells[s, b, r, u])
                    h = dh[r, u] + dy[s, b, r, u]
                    c = dc[r, u] + h * o * (1 - t * t)
                    d[u] = c * g * i * (1 - i)
                    d[H + u] = c * cells[s - 1, b, r, u] * f * (1 - f) if s else 0
                    d[2 * H + u] = c * i * (1 - g * g)
                    d[3 * H + u] = h * t * o * (1 - o)
                    dc[r, u] = c * f
            dh[:] = 0
            for r in range(R):
                for u in range(G):
                    a = dx[s, b, r, u]
                    for k in range(K):
                        q = r - left + k
                        if 0 <= q < R:
                            for j in range(H):
                                dh[q, j] += a * w[u, k, j]


def forward(x, w, left, y, gates, cells):
    _forward(np.ascontiguousarray(x), np.ascontiguousarray(w.transpose(2, 1, 0)), left, y, gates, cells)


def backward(dy, w, left, y, gates, cells, dx):
    arrays = [np.ascontiguousarray(a) for a in (dy, w.transpose(0, 2, 1), gates, cells)]
    _backward(arrays[0], arrays[1], left, arrays[2], arrays[3], dx)
