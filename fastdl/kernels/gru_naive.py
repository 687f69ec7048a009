"""GRU in plain loops.

Idea: one unit of one sequence of one step at a time, forward in time and then back; the specification.
"""

import numpy as np


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def forward(x, h0, w_ih, w_hh, b_ih, b_hh, reverse, y, hT, gates, cells):
    T, B, D = x.shape
    H = h0.shape[1]
    h = h0.copy()
    for t in reversed(range(T)) if reverse else range(T):
        for b in range(B):
            from_x, from_h = np.zeros(3 * H, y.dtype), np.zeros(3 * H, y.dtype)
            for row in range(3 * H):
                for k in range(D):
                    from_x[row] += w_ih[row, k] * x[t, b, k]
                for k in range(H):
                    from_h[row] += w_hh[row, k] * h[b, k]
                if b_ih is not None:
                    from_x[row] += b_ih[row]
                if b_hh is not None:
                    from_h[row] += b_hh[row]
            for u in range(H):
                r = sigmoid(from_x[u] + from_h[u])
                z = sigmoid(from_x[H + u] + from_h[H + u])
                n = np.tanh(from_x[2 * H + u] + r * from_h[2 * H + u])
                gates[t, b, u], gates[t, b, H + u], gates[t, b, 2 * H + u] = r, z, n
                cells[t, b, u] = from_h[2 * H + u]
                h[b, u] = (1 - z) * n + z * h[b, u]
        y[t] = h
    hT[:] = h


def backward(dy, dhT, x, h0, w_ih, w_hh, y, gates, cells, reverse, dx, dh0, dw_ih, dw_hh, db_ih, db_hh):
    T, B, D = x.shape
    H = h0.shape[1]
    dh0[:] = dhT
    for d in (dx, dw_ih, dw_hh, db_ih, db_hh):
        if d is not None:
            d[:] = 0
    times = list(reversed(range(T)) if reverse else range(T))
    for s in reversed(range(T)):
        t = times[s]
        h_prev = y[times[s - 1]] if s else h0
        for b in range(B):
            from_x, from_h = np.zeros(3 * H, y.dtype), np.zeros(3 * H, y.dtype)  # gradients of the two sums
            for u in range(H):
                r, z, n = gates[t, b, u], gates[t, b, H + u], gates[t, b, 2 * H + u]
                dh = dh0[b, u] + dy[t, b, u]
                dn = dh * (1 - z) * (1 - n * n)
                from_x[u] = from_h[u] = dn * cells[t, b, u] * r * (1 - r)
                from_x[H + u] = from_h[H + u] = dh * (h_prev[b, u] - n) * z * (1 - z)
                from_x[2 * H + u], from_h[2 * H + u] = dn, dn * r
                dh0[b, u] = dh * z
            for row in range(3 * H):
                db_ih[row] += from_x[row]
                db_hh[row] += from_h[row]
                for k in range(H):
                    dh0[b, k] += from_h[row] * w_hh[row, k]
                    dw_hh[row, k] += from_h[row] * h_prev[b, k]
                for k in range(D):
                    dw_ih[row, k] += from_x[row] * x[t, b, k]
                    if dx is not None:
                        dx[t, b, k] += from_x[row] * w_ih[row, k]
