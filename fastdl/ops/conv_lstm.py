"""An LSTM over lines of cells as one differentiable function; the kernel is fastdl/kernels/conv_lstm.py."""

import numpy as np

from fastdl.autograd import Function, Tensor, grad, is_grad_enabled
from fastdl.kernels.conv_lstm import conv_lstm_backward, conv_lstm_forward
from fastdl.ops.conv import conv1d
from fastdl.ops.pad import pad
from fastdl.ops.shape import stack
from fastdl.ops.unary import sigmoid, tanh


class ConvLstm(Function):
    """x (S, B, R, 4H), w (4H, H, K) -> y (S, B, R, H)."""

    @staticmethod
    def forward(ctx, x, w, left):
        y, gates, cells = conv_lstm_forward(x.array, w.array, left)
        result = Tensor(y)
        if ctx.recording:
            ctx.save_for_backward(x, w, result)
            ctx.gates, ctx.cells, ctx.left = gates, cells, left
        return result

    @staticmethod
    def steps(x, w, left):
        """The same with recorded ops."""
        S, B, R = x.shape[:3]
        H, K = w.shape[1:]
        h = c = Tensor(np.zeros((B, R, H), x.array.dtype))
        ys = []
        for s in range(S):
            v = x[s] + conv1d(pad(h.permute(0, 2, 1), (left, K - 1 - left)), w).permute(0, 2, 1)
            i, f, g, o = v.split(H, 2)
            c = sigmoid(f) * c + sigmoid(i) * tanh(g)
            h = sigmoid(o) * tanh(c)
            ys.append(h)
        return stack(ys)

    @staticmethod
    def backward(ctx, dy):
        x, w, y = ctx.saved_tensors
        if is_grad_enabled():  # to be differentiated again: recorded ops, slower and right to any order
            clones = [x.clone(), w.clone()]
            wanted = [i for i in range(2) if ctx.needs_input_grad[i]]
            found = grad(ConvLstm.steps(*clones, ctx.left), [clones[i] for i in wanted], dy, create_graph=True)
            result = [None] * 3
            for i, d in zip(wanted, found, strict=True):
                result[i] = d
            return tuple(result)
        dx, dw = conv_lstm_backward(dy.array, w.array, ctx.left, y.array, ctx.gates, ctx.cells)
        return Tensor(dx), Tensor(dw), None


def conv_lstm(x, w, left):
    """The states y (S, B, R, H) of an LSTM whose state-to-state map is a convolution w (4H, H, K) along each line."""
    return ConvLstm.apply(x, w, left)
