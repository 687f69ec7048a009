# cython: annotation_typing=True
"""The matrix product, and the affine map of a linear layer, on the matmul kernel."""

import numpy as np

from fastdl.kernels._shapes import FLOATS
from fastdl.kernels.matmul import matmul_forward
from fastdl.ops._dtypes import operands
from fastdl.ops.activation import relu_gradient
from fastdl.tape import Function, TensorBase, is_grad_enabled, unpack, wrap


def product(a, b):
    """The one place where matrices (batched, at least 2-D arrays) are multiplied."""
    if a.dtype in FLOATS and a.dtype == b.dtype:
        return matmul_forward(a, b)
    return np.matmul(a, b)


class MatMul(Function):
    """x (..., M, K) @ y (..., K, N), with broadcast leading axes."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        ctx._saved = (x, y)
        return wrap(product(x.array, y.array))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        need_x, need_y = ctx.needs(0), ctx.needs(1)
        return _grad_x(dy, x, y) if need_x else None, _grad_y(dy, x, y) if need_y else None


def _grad_x(dz, x, y):
    """dx = dz y^T, summed over the leading axes that x did not have."""
    if y.array.ndim == 2 and not is_grad_enabled():
        return wrap(product(dz.array, y.array.T))
    return matmul(dz, y.transpose(-1, -2)).sum_to_size(x.array.shape)


def _grad_y(dz, x, y):
    """dy = x^T dz. A plain matrix y under a batch of x is one large product instead of a sum of small ones."""
    if y.array.ndim == 2 and x.array.ndim > 2 and dz.array.size and x.array.size:
        x = x.reshape(-1, x.array.shape[-1])  # (..., M, K) -> (... M, K)
        dz = dz.reshape(-1, dz.array.shape[-1])  # (..., M, N) -> (... M, N)
    if x.array.ndim == 2 and not is_grad_enabled():
        return wrap(product(x.array.T, dz.array))
    return matmul(x.transpose(-1, -2), dz).sum_to_size(y.array.shape)


def check_sizes(a, b, op="matmul"):
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        hint = ""
        if b.ndim == 2 and a.shape[-1] == b.shape[-1]:
            hint = "; hint: perhaps the second wants a transpose, y.T"
        elif a.ndim > 2 and b.ndim == 2 and int(np.prod(a.shape[1:])) == inner:
            hint = "; hint: perhaps the first wants x.flatten(1)"
        raise RuntimeError(
            f"{op}: shapes {a.shape} and {b.shape} cannot be multiplied: axis -1 of the first is {a.shape[-1]}, "
            f"axis {-2 if b.ndim > 1 else 0} of the second is {inner}{hint}"
        )


def matmul(input, other):
    """The matrix product: vectors, matrices, and batches of matrices with broadcast leading axes."""
    x, y = operands(input, other, "matmul")
    a, b = x.array, y.array
    if a.ndim == 2 and b.ndim == 2:
        try:
            return MatMul.apply(x, y)
        except ValueError:
            check_sizes(a, b)
            raise
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"matmul: both operands need at least one dimension, not shapes {a.shape} and {b.shape}")
    check_sizes(a, b)
    if a.ndim == 1:
        x = x.unsqueeze(0)
    if b.ndim == 1:
        y = y.unsqueeze(1)
    elif a.ndim > 2 and b.ndim == 2 and a.size and b.size:
        flat = MatMul.apply(x.reshape(-1, a.shape[-1]), y)  # one product: (..., M, K) -> (... M, K)
        return flat.reshape(a.shape[:-1] + (b.shape[1],))
    try:
        z = MatMul.apply(x, y)
    except ValueError:
        raise RuntimeError(f"matmul: the leading axes of shapes {a.shape} and {b.shape} cannot be broadcast") from None
    if a.ndim == 1:
        z = z.squeeze(-2)
    return z.squeeze(-1) if b.ndim == 1 else z


def rmatmul(input, other):
    """other @ input."""
    return matmul(other, input)


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
                a = w.array
                if a.strides[1] == a.itemsize and a.shape[0] > 1:  # memory (out, in), as an embedding's weight has it
                    dw = wrap(matmul_forward(dy.array.T, x.array))
                else:  # (in, out), as nn.Linear keeps its own
                    dw = wrap(matmul_forward(x.array.T, dy.array).T)
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
    from fastdl.ops.linalg import einsum

    y = einsum("ni,oij,nj->no", input1.reshape(-1, w[1]), weight, input2.reshape(-1, w[2]))  # (N, out)
    y = y.reshape((*a[:-1], w[0]))
    return y if bias is None else y + bias
