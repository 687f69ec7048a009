"""softmax, log_softmax and softmin over one axis."""

from fastdl.autograd import Function, Tensor, is_grad_enabled
from fastdl.kernels.softmax import softmax_backward, softmax_forward
from fastdl.ops._dtypes import as_float


class Softmax(Function):
    """y = softmax of x over `axis`, or its logarithm."""

    @staticmethod
    def forward(ctx, x, axis, log):
        y = Tensor(softmax_forward(x.array, axis, log))
        if ctx.recording:
            ctx.save_for_backward(y)
            ctx.axis, ctx.log = axis, log
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        if not is_grad_enabled():
            return Tensor(softmax_backward(dy.array, y.array, ctx.axis, ctx.log)), None, None
        if ctx.log:
            return dy - y.exp() * dy.sum(ctx.axis, keepdim=True), None, None
        return y * (dy - (dy * y).sum(ctx.axis, keepdim=True)), None, None


def _apply(name, input, dim, dtype, log):
    x = as_float(input) if dtype is None else input.to(dtype)
    if dim is None:
        raise TypeError(f"{name}: dim is needed: the axis that sums to one, e.g. dim=-1 or dim=1")
    return Softmax.apply(x, dim, log)


def softmax(input, dim=None, dtype=None):
    """exp(input) divided by its sum along dim; the result has input's shape."""
    return _apply("softmax", input, dim, dtype, False)


def log_softmax(input, dim=None, dtype=None):
    """The logarithm of softmax(input, dim), exact also where the softmax underflows."""
    return _apply("log_softmax", input, dim, dtype, True)


def softmin(input, dim=None, dtype=None):
    """softmax(-input, dim)."""
    return _apply("softmin", -input, dim, dtype, False)
