"""Plain recurrent layer by NumPy.

Idea: the products with x of all steps are one matrix product, and so are those of the weights' gradients; a Python loop
over time does the rest on whole (B, H) arrays. Beats loops by BLAS; costs a handful of NumPy calls a step.
"""

import numpy as np


def forward(x, h0, w_ih, w_hh, b_ih, b_hh, relu, reverse, y, hT):
    T, B, D = x.shape
    H = h0.shape[1]
    np.matmul(x.reshape(T * B, D), w_ih.T, out=y.reshape(T * B, H))
    for bias in (b_ih, b_hh):
        if bias is not None:
            y += bias
    h = h0
    for t in range(T)[::-1] if reverse else range(T):
        v = y[t]
        v += h @ w_hh.T
        h = np.maximum(v, 0, out=v) if relu else np.tanh(v, out=v)
    hT[:] = h


def backward(dy, dhT, x, h0, w_ih, w_hh, y, relu, reverse, dx, dh0, dw_ih, dw_hh, db):
    T, B, D = x.shape
    H = h0.shape[1]
    times = range(T)[::-1] if reverse else range(T)
    d = np.empty((T, B, H), y.dtype)
    h_prev = np.empty((T, B, H), y.dtype)
    dh = dhT
    for s in reversed(range(T)):
        t = times[s]
        h_prev[t] = y[times[s - 1]] if s else h0
        dh = dh + dy[t]
        d[t] = np.where(y[t] > 0, dh, 0) if relu else dh * (1 - y[t] * y[t])
        dh = d[t] @ w_hh
    dh0[:] = dh
    d = d.reshape(T * B, H)
    np.matmul(d.T, x.reshape(T * B, D), out=dw_ih)
    np.matmul(d.T, h_prev.reshape(T * B, H), out=dw_hh)
    np.sum(d, axis=0, out=db)
    if dx is not None:
        np.matmul(d, w_ih, out=dx.reshape(T * B, D))
