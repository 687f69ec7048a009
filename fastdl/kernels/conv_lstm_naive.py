"""LSTM over lines in plain loops.

Idea: one unit of one cell of one image at a time; the specification.
"""

from math import exp, tanh


def _sigmoid(v):
    return 1 / (1 + exp(-v)) if v > -700 else 0.0


def forward(x, w, left, y, gates, cells):
    S, B, R, _ = x.shape
    H, K = w.shape[1:]
    for s in range(S):
        for b in range(B):
            for r in range(R):
                for u in range(4 * H):
                    v = float(x[s, b, r, u])
                    for k in range(K):
                        q = r - left + k
                        if s and 0 <= q < R:
                            v += sum(float(w[u, j, k]) * float(y[s - 1, b, q, j]) for j in range(H))
                    gates[s, b, r, u] = tanh(v) if u // H == 2 else _sigmoid(v)
                for u in range(H):
                    i, f, g, o = (float(gates[s, b, r, u + n * H]) for n in range(4))
                    c = i * g + (f * float(cells[s - 1, b, r, u]) if s else 0.0)
                    cells[s, b, r, u] = c
                    y[s, b, r, u] = o * tanh(c)


def backward(dy, w, left, y, gates, cells, dx):
    S, B, R, _ = gates.shape
    H, K = w.shape[1:]
    for b in range(B):
        dh = [[0.0] * H for _ in range(R)]
        dc = [[0.0] * H for _ in range(R)]
        for s in reversed(range(S)):
            for r in range(R):
                for u in range(H):
                    i, f, g, o = (float(gates[s, b, r, u + n * H]) for n in range(4))
                    t = tanh(float(cells[s, b, r, u]))
                    h = dh[r][u] + float(dy[s, b, r, u])
                    c = dc[r][u] + h * o * (1 - t * t)
                    dx[s, b, r, u] = c * g * i * (1 - i)
                    dx[s, b, r, H + u] = c * float(cells[s - 1, b, r, u]) * f * (1 - f) if s else 0.0
                    dx[s, b, r, 2 * H + u] = c * i * (1 - g * g)
                    dx[s, b, r, 3 * H + u] = h * t * o * (1 - o)
                    dc[r][u] = c * f
            dh = [[0.0] * H for _ in range(R)]
            for r in range(R):
                for k in range(K):
                    q = r - left + k
                    if 0 <= q < R:
                        for j in range(H):
                            dh[q][j] += sum(float(dx[s, b, r, u]) * float(w[u, j, k]) for u in range(4 * H))
