"""Plain recurrent layer in plain loops.

Idea: one unit of one sequence of one step at a time, forward in time and then back; the specification.
"""

import numpy as np


def forward(x, h0, w_ih, w_hh, b_ih, b_hh, relu, reverse, y, hT):
    T, B, D = x.shape
    H = h0.shape[1]
    h = h0
    for t in reversed(range(T)) if reverse else range(T):
        for b in range(B):
            for u in range(H):
                v = y.dtype.type(0)
                for k in range(D):
                    v += w_ih[u, k] * x[t, b, k]
                for k in range(H):
                    v += w_hh[u, k] * h[b, k]
                if b_ih is not None:
                    v += b_ih[u]
                if b_hh is not None:
                    v += b_hh[u]
                if not relu:
                    v = np.tanh(v)
                elif v < 0:
                    v = 0
                y[t, b, u] = v
        h = y[t]
    hT[:] = h


def backward(dy, dhT, x, h0, w_ih, w_hh, y, relu, reverse, dx, dh0, dw_ih, dw_hh, db):
    T, B, D = x.shape
    H = h0.shape[1]
    dh0[:] = dhT
    for d in (dx, dw_ih, dw_hh, db):
        if d is not None:
            d[:] = 0
    times = list(reversed(range(T)) if reverse else range(T))
    for s in reversed(range(T)):
        t = times[s]
        h_prev = y[times[s - 1]] if s else h0
        for b in range(B):
            dh = dh0[b] + dy[t, b]
            dh0[b] = 0
            for u in range(H):
                v = y[t, b, u]
                d = (dh[u] if v > 0 else 0) if relu else dh[u] * (1 - v * v)
                db[u] += d
                for k in range(H):
                    dh0[b, k] += d * w_hh[u, k]
                    dw_hh[u, k] += d * h_prev[b, k]
                for k in range(D):
                    dw_ih[u, k] += d * x[t, b, k]
                    if dx is not None:
                        dx[t, b, k] += d * w_ih[u, k]
