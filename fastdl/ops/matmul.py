# cython: annotation_typing=True
"""The affine map of a linear layer, on the matmul kernel."""

import numpy as np

from fastdl.kernels.matmul import matmul_forward
from fastdl.ops.activation import relu_gradient
from fastdl.ops.linalg import einsum, matmul
from fastdl.tape import Function, TensorBase, is_grad_enabled, unpack, wrap


class Linear(Function):
    """y = act(x w^T + b); x (N, in), w (out, in), b (out,) or None, act None or "relu", y (N, out)."""

    __slots__ = ("act",)

    @staticmethod
    def forward(ctx: Function, x: TensorBase, w: TensorBase, b, act):
        y = wrap(matmul_forward(x.array, w.array.T, None if b is None else b.array, act))
        if ctx.recording:
            ctx.act = act
            ctx._saved = (x, w) if act is None else (x, w, y)
        return y

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        saved = unpack(ctx)
        x, w = saved[0], saved[1]
        if ctx.act is not None:
            dy = relu_gradient(dy, saved[2])
        dx = dw = db = None
        if is_grad_enabled():
            if ctx.needs(0):
                dx = matmul(dy, w)
            if ctx.needs(1):
                dw = matmul(x.T, dy).T
            if ctx.needs(2):
                db = dy.sum(0)
        else:  # the same on arrays
            if ctx.needs(0):
                dx = wrap(matmul_forward(dy.array, w.array))
            if ctx.needs(1):
                dw = wrap(matmul_forward(x.array.T, dy.array).T)  # memory (in, out), as nn.Linear keeps its weight
            if ctx.needs(2):
                db = wrap(np.add.reduce(dy.array, 0))
        return dx, dw, db, None


def linear(input, weight, bias=None, act=None):
    """act(input @ weight.T + bias); act, beyond torch, is None or "relu", applied before the result is stored.

    Shapes: input (..., in), weight (out, in), bias (out,) or None; result (..., out). float32 or float64, all the same.
    A weight whose memory is (in, out), i.e. `w.T` contiguous, is the fast case; nn.Linear keeps its weight so.
    """
    x, w = input.array, weight.array
    if w.ndim != 2 or x.ndim == 0 or x.shape[-1] != w.shape[1]:
        hint = ""
        if w.ndim == 2 and x.ndim > 2 and x[0].size == w.shape[1]:
            hint = "; hint: x.flatten(1) first"
        raise RuntimeError(
            f"linear: the last axis of the input {x.shape} must be the in_features of the weight (out, in) {w.shape}{hint}"
        )
    if x.ndim == 2:
        return Linear.apply(input, weight, bias, act)
    y = Linear.apply(input.reshape(-1, x.shape[-1]), weight, bias, act)  # (..., in) -> (N, in)
    return y.reshape((*x.shape[:-1], w.shape[0]))


def bilinear(input1, input2, weight, bias=None):
    """y[..., o] = sum_ij input1[..., i] weight[o, i, j] input2[..., j] + bias[o].

    Shapes: input1 (..., in1), input2 (..., in2), weight (out, in1, in2), bias (out,) or None; result (..., out).
    """
    a, b, w = input1.array.shape, input2.array.shape, weight.array.shape
    if len(w) != 3 or a[:-1] != b[:-1] or a[-1:] != w[1:2] or b[-1:] != w[2:]:
        raise RuntimeError(f"bilinear: inputs {a} and {b} do not fit the weight (out, in1, in2) {w}")
    y = einsum("ni,oij,nj->no", input1.reshape(-1, w[1]), weight, input2.reshape(-1, w[2]))  # (N, out)
    y = y.reshape((*a[:-1], w[0]))
    return y if bias is None else y + bias
