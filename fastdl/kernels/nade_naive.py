"""NADE in plain loops.

Idea: one row at a time; every conditional from the sum over all variables before it, computed anew: O(D^2 H), and clear.
"""

from math import exp

import numpy as np


def _hidden(x, i, w, c, rho):
    """(a_i, h_i) of one row x (D,): lists of H numbers."""
    a = [float(c[k]) + sum(float(w[k, j]) * float(x[j]) for j in range(i)) for k in range(len(c))]
    if rho is None:
        return a, [1 / (1 + exp(-t)) if t > -700 else 0.0 for t in a]
    return a, [max(0.0, float(rho[i]) * t) for t in a]


def forward(x, w, v, b, c, rho, y, a):
    B, D = x.shape
    for r in range(B):
        for i in range(D):
            _, h = _hidden(x[r], i, w, c, rho)
            for o in range(v.shape[1]):
                y[r, i, o] = float(b[i, o]) + sum(float(v[i, o, k]) * h[k] for k in range(len(h)))
        a[r] = _hidden(x[r], D, w, c, None)[0]


def sample(u, w, v, b, c, rho, x, y):
    for r in range(len(u)):
        for i in range(u.shape[1]):
            _, h = _hidden(x[r], i, w, c, rho)
            y[r, i, 0] = float(b[i, 0]) + sum(float(v[i, 0, k]) * h[k] for k in range(len(h)))
            x[r, i] = float(u[r, i]) < 1 / (1 + exp(-float(y[r, i, 0])))


def backward(dy, x, w, v, a, rho, dx, dw, dv, dc, drho):
    (B, D), H = x.shape, len(w)
    total_w, total_v, total_c, total_rho = np.zeros(w.shape), np.zeros(v.shape), np.zeros(H), np.zeros(D)
    for r in range(B):
        c = [float(a[r, k]) - sum(float(w[k, j]) * float(x[r, j]) for j in range(D)) for k in range(H)]
        S = [0.0] * H
        for i in reversed(range(D)):
            if dx is not None:
                dx[r, i] = sum(float(w[k, i]) * S[k] for k in range(H))
            before, h = _hidden(x[r], i, w, c, rho)
            for k in range(H):
                total_w[k, i] += float(x[r, i]) * S[k]
                g = 0.0
                for o in range(v.shape[1]):
                    total_v[i, o, k] += float(dy[r, i, o]) * h[k]
                    g += float(dy[r, i, o]) * float(v[i, o, k])
                if rho is None:
                    S[k] += g * h[k] * (1 - h[k])
                elif h[k] > 0:
                    total_rho[i] += g * before[k]
                    S[k] += g * float(rho[i])
        total_c += S
    dw[...], dv[...], dc[...] = total_w, total_v, total_c
    if drho is not None:
        drho[...] = total_rho
