"""LSTM over lines of cells, state-to-state by convolution: the recurrent part of Row LSTM and Diagonal BiLSTM.

Maths     v = x_s[r] + sum_k W[:, :, k] h_{s-1}[r - left + k], states outside the line and before the first step 0;
          i, f, o = sigmoid(v), g = tanh(v), in blocks of H;  c_s = f c_{s-1} + i g,  y_s = h_s = o tanh(c_s)
Shapes    x (S, B, R, 4H): steps, images, cells of a line, the input's part of the gates, in the order i, f, g, o;
          w (4H, H, K), as of a 1-D convolution: float32 or float64. Result y (S, B, R, H), and for backward gates (S, B, R, 4H)
          and cells (S, B, R, H).
Backward  the gradients before the activations are those of an LSTM (kernels/lstm.py) and are dx; what flows to h_{s-1} is their
          transposed convolution; dW is one product for each tap over all steps.
Cost      8 S B R H^2 K FLOPs forward, twice that backward.
Errors    ValueError for shapes that do not fit, TypeError for dtypes.
Ref       van den Oord, Kalchbrenner, Kavukcuoglu 2016, arXiv 1601.06759, sections 3.1 and 3.2
"""

import numpy as np

from fastdl.kernels._memory import contiguous, empty, plain
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import need_ndim, same_float_dtype


def conv_lstm_forward(x, w, left):
    """(y, gates, cells); see the top of this file."""
    (S, B, R, H), dtype = _check(x, w, left)
    y, gates, cells = empty((S, B, R, H), dtype), empty(x.shape, dtype), empty((S, B, R, H), dtype)
    implementation("conv_lstm", dtype).forward(plain(x), plain(w), left, y, gates, cells)
    return y, gates, cells


def conv_lstm_backward(dy, w, left, y, gates, cells):
    """(dx, dw) from the gradient dy of y and what forward returned."""
    (S, B, R, H), dtype = _check(gates, w, left)
    same_float_dtype("conv_lstm", dy=dy, y=y, gates=gates, cells=cells)
    for name, array in {"dy": dy, "y": y, "cells": cells}.items():
        if array.shape != (S, B, R, H):
            raise ValueError(f"conv_lstm: {name} must have shape {(S, B, R, H)}; got {array.shape}")
    dx = empty(gates.shape, dtype)
    arrays = [plain(a) for a in (dy, w, y, gates, cells)]
    implementation("conv_lstm", dtype).backward(arrays[0], arrays[1], left, *arrays[2:], dx)
    dw = np.zeros(w.shape, dtype)
    if S > 1 and B:
        for k in range(w.shape[2]):
            shift = k - left  # cell r saw state r + shift
            low, high = max(0, -shift), min(R, R - shift)
            if low < high:
                d = contiguous(dx[1:, :, low:high]).reshape(-1, 4 * H)
                h = contiguous(y[:-1, :, low + shift : high + shift]).reshape(-1, H)
                dw[:, :, k] = d.T @ h
    return dx, dw


def _check(x, w, left):
    need_ndim("conv_lstm", "x", x, 4, "(S, B, R, 4H): steps, batch, cells, gates")
    need_ndim("conv_lstm", "w", w, 3, "(4H, H, K)")
    S, B, R, G = x.shape
    H, K = w.shape[1:]
    if w.shape[0] != 4 * H or G != 4 * H or H == 0 or K == 0:
        raise ValueError(f"conv_lstm: x (S, B, R, 4H) and w (4H, H, K) do not fit: {x.shape} and {w.shape}")
    if not 0 <= left < K:
        raise ValueError(f"conv_lstm: left must lie in 0 .. {K - 1} for {K} taps; got {left}")
    return (S, B, R, H), same_float_dtype("conv_lstm", x=x, w=w)


def conv_lstm_forward_cost(x, w, **_):
    """(FLOPs, bytes) of one call."""
    S, B, R, _ = x.shape
    H, K = w.shape[1:]
    return 8 * S * B * R * H * H * K, x.itemsize * (S * B * R * 10 * H + 4 * H * H * K)


def conv_lstm_backward_cost(gates, w, **_):
    """(FLOPs, bytes) of one call."""
    flops, moved = conv_lstm_forward_cost(gates, w)
    return 2 * flops, 2 * moved
