"""LSTM over lines by NumPy.

Idea: the state in a padded buffer, in which the K neighbours of a cell are contiguous, so the convolution of the whole batch is one
matrix product a step. S Python steps, each with a dozen passes over (B, R, 4H) arrays.
"""

import numpy as np


def _sigmoid(v):
    return 1 / (1 + np.exp(-v))


def _matrix(w):
    """w (4H, H, K) as (K H, 4H)."""
    return np.ascontiguousarray(w.transpose(2, 1, 0).reshape(-1, w.shape[0]))


def forward(x, w, left, y, gates, cells):
    S, B, R, _ = x.shape
    H, K = w.shape[1:]
    matrix = _matrix(w)
    state = np.zeros((B, R + K - 1, H), y.dtype)
    windows = np.lib.stride_tricks.as_strided(
        state, (B, R, K * H), (state.strides[0], state.strides[1], state.strides[2]), writeable=False
    )
    for s in range(S):
        v = gates[s]  # (B, R, 4H)
        v[...] = x[s]
        if s:
            v += np.ascontiguousarray(windows).reshape(-1, K * H).__matmul__(matrix).reshape(v.shape)
        v[..., : 2 * H] = _sigmoid(v[..., : 2 * H])
        v[..., 2 * H : 3 * H] = np.tanh(v[..., 2 * H : 3 * H])
        v[..., 3 * H :] = _sigmoid(v[..., 3 * H :])
        c = cells[s]
        np.multiply(v[..., :H], v[..., 2 * H : 3 * H], out=c)
        if s:
            c += v[..., H : 2 * H] * cells[s - 1]
        np.multiply(v[..., 3 * H :], np.tanh(c), out=y[s])
        state[:, left : left + R] = y[s]


def backward(dy, w, left, y, gates, cells, dx):
    S, B, R, _ = gates.shape
    H, K = w.shape[1:]
    back = np.ascontiguousarray(w.transpose(0, 2, 1).reshape(w.shape[0], -1))  # (4H, K H)
    dh, dc = np.zeros((B, R, H), dx.dtype), np.zeros((B, R, H), dx.dtype)
    padded = np.zeros((B, R + K - 1, H), dx.dtype)
    for s in reversed(range(S)):
        i, f, g, o = (gates[s][..., n * H : (n + 1) * H] for n in range(4))
        t = np.tanh(cells[s])
        h = dh + dy[s]
        c = dc + h * o * (1 - t * t)
        d = dx[s]
        d[..., :H] = c * g * i * (1 - i)
        d[..., H : 2 * H] = c * cells[s - 1] * f * (1 - f) if s else 0
        d[..., 2 * H : 3 * H] = c * i * (1 - g * g)
        d[..., 3 * H :] = h * t * o * (1 - o)
        dc = c * f
        windows = (d.reshape(-1, 4 * H) @ back).reshape(B, R, K, H)
        padded[...] = 0
        for k in range(K):
            padded[:, k : k + R] += windows[:, :, k]
        dh = padded[:, left : left + R].copy()
