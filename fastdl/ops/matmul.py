"""The affine map of a linear layer, on the matmul kernel."""

from fastdl.autograd import Function, Tensor
from fastdl.kernels.matmul import matmul_forward
from fastdl.ops.linalg import einsum, matmul


class Linear(Function):
    """y = x w^T + b; x (N, in), w (out, in), b (out,) or None, y (N, out)."""

    @staticmethod
    def forward(ctx, x, w, b):
        if ctx.recording:
            ctx.save_for_backward(x, w)
        return Tensor(matmul_forward(x.array, w.array.T, None if b is None else b.array))

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        need_x, need_w, need_b = ctx.needs_input_grad
        dx = matmul(dy, w) if need_x else None
        dw = matmul(x.T, dy).T if need_w else None  # memory (in, out), as nn.Linear keeps its weight
        return dx, dw, dy.sum(0) if need_b else None


def linear(input, weight, bias=None):
    """input @ weight.T + bias.

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
        return Linear.apply(input, weight, bias)
    y = Linear.apply(input.reshape(-1, x.shape[-1]), weight, bias)  # (..., in) -> (N, in)
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
