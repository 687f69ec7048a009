"""Pooling: max, average, adaptive, power; one and two dimensions.

A pool is made of two Axis objects (kernels/_axis.py), so sliding and adaptive windows share one Function. Max pooling is
linear once its index is fixed: its backward is a Function whose own backward picks by that index.
"""

import numpy as np

from fastdl.autograd import Function, Tensor
from fastdl.kernels import pool2d
from fastdl.ops.activation import relu
from fastdl.ops.elementwise import pow
from fastdl.ops.index import scatter
from fastdl.ops.unary import abs, sign

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "lp_pool1d",
    "lp_pool2d",
    "max_pool1d",
    "max_pool2d",
    "max_unpool1d",
    "max_unpool2d",
]


class MaxPool2d(Function):
    """The largest of every window, and its pixel h W + w if return_indices; x (N, C, H, W), y (N, C, OH, OW)."""

    @staticmethod
    def forward(ctx, x, rows, cols, return_indices):
        y, index = pool2d.max_pool2d_forward(x.array, rows, cols, ctx.recording or return_indices)
        ctx.parameters = index, rows, cols
        y = Tensor(y)
        if not return_indices:
            return y
        pixels = Tensor(pool2d.flat_index(index, rows, cols))
        ctx.mark_non_differentiable(pixels)
        return y, pixels

    @staticmethod
    def backward(ctx, dy, *_):
        return MaxPool2dGradient.apply(dy, *ctx.parameters), None, None, None


class MaxPool2dGradient(Function):
    """dx from dy: every pixel adds up the windows whose maximum it is."""

    @staticmethod
    def forward(ctx, dy, index, rows, cols):
        ctx.parameters = index, rows, cols
        return Tensor(pool2d.max_pool2d_backward_x(dy.array, index, rows, cols))

    @staticmethod
    def backward(ctx, ddx):
        return MaxPool2dPick.apply(ddx, *ctx.parameters), None, None, None


class MaxPool2dPick(Function):
    """The transpose of MaxPool2dGradient: of every window the pixel that was its maximum."""

    @staticmethod
    def forward(ctx, ddx, index, rows, cols):
        ctx.parameters = index, rows, cols
        return Tensor(pool2d.max_pool2d_backward_dy(ddx.array, index, rows, cols))

    @staticmethod
    def backward(ctx, dy):
        return MaxPool2dGradient.apply(dy, *ctx.parameters), None, None, None


class AvgPool2d(Function):
    """The weighted sum of every window; the gradient is the same with both axes transposed."""

    @staticmethod
    def forward(ctx, x, rows, cols):
        ctx.axes = rows.transposed, cols.transposed
        return Tensor(pool2d.avg_pool2d_forward(x.array, rows, cols))

    @staticmethod
    def backward(ctx, dy):
        return AvgPool2d.apply(dy, *ctx.axes), None, None


def _images(name, x, axes):
    """(x as (N, C, H, W), how to undo it): 1-d pools see lines as images of height 1; the batch axis may be missing."""
    shape = x.array.shape
    if len(shape) not in (axes + 1, axes + 2) or 0 in shape[-axes - 1 :]:
        wanted = "(N, C, L) or (C, L)" if axes == 1 else "(N, C, H, W) or (C, H, W)"
        raise RuntimeError(f"{name}: the input must have shape {wanted} with all sizes but N positive; got {shape}")
    unbatched = len(shape) == axes + 1
    if unbatched:
        x = x.unsqueeze(0)
    if axes == 1:
        x = x.unsqueeze(2)  # (N, C, 1, L)

    def undo(y):
        if axes == 1:
            y = y.squeeze(2)
        return y.squeeze(0) if unbatched else y

    return x, undo


def _max(name, input, axes, make, return_indices):
    x, undo = _images(name, input, axes)
    y = MaxPool2d.apply(x, *make(name, x.array.shape), bool(return_indices))
    return tuple(undo(part) for part in y) if return_indices else undo(y)


def _average(name, input, axes, make):
    x, undo = _images(name, input, axes)
    return undo(AvgPool2d.apply(x, *make(name, x.array.shape)))


def _single(value):
    """The one number of a 1-d pool, which may come as (n,)."""
    return value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value


def _line(value, other):
    """A parameter of a 1-d pool as that of a pool over images of height 1."""
    return None if value is None else (other, _single(value))


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest element of every window: (N, C, H, W) or (C, H, W) -> (..., OH, OW).

    kernel_size, stride (kernel_size if left out), padding (with minus infinity) and dilation are a number or (height,
    width). return_indices: also the pixel h W + w of each maximum, int64, as max_unpool2d takes it. Ties: the first.
    """

    def make(name, shape):
        return pool2d.sliding(name, shape, kernel_size, stride or None, padding, dilation, ceil_mode)

    return _max("max_pool2d", input, 2, make, return_indices)


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest element of every window: (N, C, L) or (C, L) -> (..., OL); see max_pool2d."""

    def make(name, shape):
        sizes = _line(kernel_size, 1), _line(stride or None, 1), _line(padding, 0), _line(dilation, 1)
        return pool2d.sliding(name, shape, *sizes, ceil_mode)

    return _max("max_pool1d", input, 1, make, return_indices)


def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """The mean of every window: (N, C, H, W) or (C, H, W) -> (..., OH, OW).

    Zeros of the padding count as elements, unless count_include_pad is False; divisor_override replaces the count.
    """

    def make(name, shape):
        return pool2d.sliding(
            name, shape, kernel_size, stride or None, padding, 1, ceil_mode,
            count_include_pad=count_include_pad, divisor_override=divisor_override,
        )  # fmt: skip

    return _average("avg_pool2d", input, 2, make)


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of every window: (N, C, L) or (C, L) -> (..., OL); see avg_pool2d."""

    def make(name, shape):
        sizes = _line(kernel_size, 1), _line(stride or None, 1), _line(padding, 0), 1
        return pool2d.sliding(name, shape, *sizes, ceil_mode, count_include_pad=count_include_pad)

    return _average("avg_pool1d", input, 1, make)


def adaptive_avg_pool2d(input, output_size):
    """The means of windows that divide the image evenly into output_size (a number or (OH, OW); None keeps a size)."""
    return _average("adaptive_avg_pool2d", input, 2, lambda *a: pool2d.adaptive(*a, output_size))


def adaptive_avg_pool1d(input, output_size):
    """The means of output_size windows that divide the line evenly."""
    return _average("adaptive_avg_pool1d", input, 1, lambda *a: pool2d.adaptive(*a, (1, _single(output_size))))


def adaptive_max_pool2d(input, output_size, return_indices=False):
    """The maxima of windows that divide the image evenly into output_size (a number or (OH, OW); None keeps a size)."""
    make = lambda *a: pool2d.adaptive(*a, output_size)  # noqa: E731
    return _max("adaptive_max_pool2d", input, 2, make, return_indices)


def adaptive_max_pool1d(input, output_size, return_indices=False):
    """The maxima of output_size windows that divide the line evenly."""
    make = lambda *a: pool2d.adaptive(*a, (1, _single(output_size)))  # noqa: E731
    return _max("adaptive_max_pool1d", input, 1, make, return_indices)


def _root_of_sum(mean, count, p):
    """(count * mean)^(1/p), with torch's reading of negative sums (odd p): 0."""
    return pow(sign(mean) * relu(abs(mean)) * count, 1.0 / p)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """(sum of x^p)^(1/p) over every window, p = norm_type: (N, C, H, W) -> (N, C, OH, OW)."""
    KH, KW = kernel_size if isinstance(kernel_size, (tuple, list)) else (kernel_size, kernel_size)
    mean = avg_pool2d(pow(input, norm_type), (KH, KW), stride, 0, ceil_mode)
    return _root_of_sum(mean, KH * KW, norm_type)


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """(sum of x^p)^(1/p) over every window, p = norm_type: (N, C, L) -> (N, C, OL)."""
    mean = avg_pool1d(pow(input, norm_type), kernel_size, stride, 0, ceil_mode)
    return _root_of_sum(mean, _single(kernel_size), norm_type)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Zeros (N, C, H, W) with every element of input at the pixel that indices names.

    input, indices (N, C, OH, OW) as max_pool2d(..., return_indices=True) gave them; output_size chooses H and W where
    pooling lost a row or a column.
    """
    x, undo = _images("max_unpool2d", input, 2)
    pixels, _ = _images("max_unpool2d", indices, 2)
    if x.array.shape != pixels.array.shape:
        raise RuntimeError(f"max_unpool2d: input {input.shape} and indices {indices.shape} must have the same shape")
    N, C, OH, OW = x.array.shape
    if output_size is None:
        K, S, P = (v if isinstance(v, (tuple, list)) else (v, v) for v in (kernel_size, stride or kernel_size, padding))
        H, W = ((n - 1) * s - 2 * p + k for n, k, s, p in zip((OH, OW), K, S, P, strict=True))
    else:
        H, W = output_size[-2:]
    zeros = Tensor(np.zeros((N, C, H * W), x.array.dtype))
    y = scatter(zeros, 2, pixels.reshape(N, C, OH * OW), x.reshape(N, C, OH * OW))
    return undo(y.reshape(N, C, H, W))


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Zeros (N, C, L) with every element of input at the place that indices names; see max_unpool2d."""
    sizes = _line(kernel_size, 1), _line(stride or kernel_size, 1), _line(padding, 0)
    size = None if output_size is None else (1, output_size[-1])
    return max_unpool2d(input.unsqueeze(-2), indices.unsqueeze(-2), *sizes, size).squeeze(-2)
