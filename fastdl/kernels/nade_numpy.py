"""NADE by NumPy.

Idea: the recurrence a += x_i W[:, i] on the whole batch, a few array operations a variable: O(D H) a row instead of O(D^2 H).
D Python steps over (B, H) arrays, each through NumPy's exp.
"""

import numpy as np


def _activate(a, rho_i):
    return np.maximum(a * rho_i, 0) if rho_i is not None else 1 / (1 + np.exp(-a))


def forward(x, w, v, b, c, rho, y, a):
    a[...] = c
    for i in range(x.shape[1]):
        h = _activate(a, None if rho is None else rho[i])
        np.matmul(h, v[i].T, out=y[:, i])
        a += x[:, i, None] * w[:, i]
    y += b


def sample(u, w, v, b, c, rho, x, y):
    a = np.broadcast_to(c, (len(u), len(c))).copy()
    for i in range(u.shape[1]):
        h = _activate(a, None if rho is None else rho[i])
        y[:, i] = h @ v[i].T + b[i]
        x[:, i] = u[:, i] < 1 / (1 + np.exp(-y[:, i, 0]))
        a += x[:, i, None] * w[:, i]


def backward(dy, x, w, v, a, rho, dx, dw, dv, dc, drho):
    a, S = a.copy(), np.zeros_like(a)
    for i in reversed(range(x.shape[1])):
        xi, wi = x[:, i], w[:, i]
        dw[:, i] = xi @ S
        if dx is not None:
            dx[:, i] = S @ wi
        a -= xi[:, None] * wi
        h = _activate(a, None if rho is None else rho[i])
        np.matmul(dy[:, i].T, h, out=dv[i])
        g = dy[:, i] @ v[i]
        if rho is None:
            S += g * h * (1 - h)
        else:
            g = g * (h > 0)
            drho[i] = np.vdot(g, a)
            S += g * rho[i]
    dc[...] = S.sum(0)
