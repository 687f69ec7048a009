"""LSTM in plain loops.

Idea: one unit of one sequence of one step at a time, forward in time and then back; the specification.
"""

import numpy as np


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def forward(x, h0, c0, w_ih, w_hh, b_ih, b_hh, reverse, y, hT, cT, gates, cells):
    T, B, D = x.shape
    H = h0.shape[1]
    h, c = h0.copy(), c0.copy()
    for t in reversed(range(T)) if reverse else range(T):
        for b in range(B):
            for row in range(4 * H):
                v = y.dtype.type(0)
                for k in range(D):
                    v += w_ih[row, k] * x[t, b, k]
                for k in range(H):
                    v += w_hh[row, k] * h[b, k]
                if b_ih is not None:
                    v += b_ih[row]
                if b_hh is not None:
                    v += b_hh[row]
                gates[t, b, row] = np.tanh(v) if row // H == 2 else sigmoid(v)
            for u in range(H):
                i, f, g, o = gates[t, b, u], gates[t, b, H + u], gates[t, b, 2 * H + u], gates[t, b, 3 * H + u]
                c[b, u] = f * c[b, u] + i * g
                h[b, u] = o * np.tanh(c[b, u])
        y[t], cells[t] = h, c
    hT[:], cT[:] = h, c


def backward(dy, dhT, dcT, x, h0, c0, w_ih, w_hh, y, gates, cells, reverse, dx, dh0, dc0, dw_ih, dw_hh, db):
    T, B, D = x.shape
    H = h0.shape[1]
    dh0[:], dc0[:] = dhT, dcT
    for d in (dx, dw_ih, dw_hh, db):
        if d is not None:
            d[:] = 0
    times = list(reversed(range(T)) if reverse else range(T))
    for s in reversed(range(T)):
        t = times[s]
        h_prev, c_prev = (y[times[s - 1]], cells[times[s - 1]]) if s else (h0, c0)
        for b in range(B):
            d = np.zeros(4 * H, y.dtype)  # gradients before the activations
            for u in range(H):
                i, f, g, o = gates[t, b, u], gates[t, b, H + u], gates[t, b, 2 * H + u], gates[t, b, 3 * H + u]
                tanh_c = np.tanh(cells[t, b, u])
                dh = dh0[b, u] + dy[t, b, u]
                dc = dc0[b, u] + dh * o * (1 - tanh_c * tanh_c)
                d[u] = dc * g * i * (1 - i)
                d[H + u] = dc * c_prev[b, u] * f * (1 - f)
                d[2 * H + u] = dc * i * (1 - g * g)
                d[3 * H + u] = dh * tanh_c * o * (1 - o)
                dc0[b, u] = dc * f
                dh0[b, u] = 0
            for row in range(4 * H):
                db[row] += d[row]
                for k in range(H):
                    dh0[b, k] += d[row] * w_hh[row, k]
                    dw_hh[row, k] += d[row] * h_prev[b, k]
                for k in range(D):
                    dw_ih[row, k] += d[row] * x[t, b, k]
                    if dx is not None:
                        dx[t, b, k] += d[row] * w_ih[row, k]
