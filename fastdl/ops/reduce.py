# cython: annotation_typing=True
"""Reductions over axes. `dim` is an axis, several, or None for all; the gradient is spread over what was reduced."""

from collections import namedtuple
from math import prod as prod_of

import numpy as np

from fastdl.ops._dtypes import as_float, constant, int64
from fastdl.ops._quiet import quietly
from fastdl.ops._shapes import add_up, axes_of, axis_of, sum_to_shape
from fastdl.ops.shape import cat
from fastdl.tape import Function, Tensor, TensorBase, is_grad_enabled, unpack, wrap


def _spread(grad, shape, axes, keepdim, scale=None):
    """A reduced tensor with its axes of size 1 back again, expanded to the shape before the reduction; times scale."""
    kept = grad.array.shape if keepdim else tuple([1 if axis in axes else n for axis, n in enumerate(shape)])
    if is_grad_enabled():
        return (grad if scale is None else grad * scale).reshape(kept).expand(shape)
    array = grad.array.reshape(kept)
    small = prod_of(shape) <= 4096  # np.broadcast_to takes longer than filling something small
    full = np.empty(shape, array.dtype) if small else None
    if scale is not None:
        array = np.multiply(array, constant(scale, array.dtype).array, full)
    elif small:
        full[...] = array
    return wrap(full if small else np.broadcast_to(array, shape))


class Sum(Function):
    __slots__ = ("axes", "keepdim", "shape")

    @staticmethod
    def forward(ctx: Function, x: TensorBase, axes, keepdim):
        a = x.array
        ctx.shape, ctx.axes, ctx.keepdim = a.shape, axes, keepdim
        return wrap(add_up(a, axes, keepdim))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return _spread(dy, ctx.shape, ctx.axes, ctx.keepdim), None, None


class SumToSize(Function):
    """The transpose of broadcasting: sums over the axes along which `shape` was repeated."""

    __slots__ = ("shape",)

    @staticmethod
    def forward(ctx: Function, x: TensorBase, shape):
        ctx.shape = x.array.shape
        return wrap(sum_to_shape(x.array, shape))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return dy.expand(ctx.shape), None


def sum_to_size(input, *size):
    """Sum over the axes along which a tensor of this size would be broadcast to input's shape."""
    shape = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    if input.array.shape == tuple(shape):
        return input
    return SumToSize.apply(input, tuple(shape))


def sum(input, dim=None, keepdim=False, *, dtype=None):
    """The sum over dim; bool and integers sum to int64."""
    if dtype is not None:
        input = input.to(dtype)
    elif input.array.dtype.kind != "f":
        input = input.to(int64)
    return Sum.apply(input, axes_of(dim, input.array.ndim, "sum"), keepdim)


class Mean(Function):
    __slots__ = ("axes", "count", "keepdim", "shape")

    @staticmethod
    def forward(ctx: Function, x: TensorBase, axes, keepdim):
        a = x.array
        ctx.shape, ctx.axes, ctx.keepdim = a.shape, axes, keepdim
        total = add_up(a, axes, keepdim)
        if len(axes) == 1:
            count = a.shape[axes[0]]
        else:
            found = total.size
            count = a.size // found if found else 1
        ctx.count = count
        if count == 0:
            return wrap(quietly(np.true_divide, total, a.dtype.type(0)))
        return wrap(np.true_divide(total, constant(count, a.dtype).array, total if total.ndim else None))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return _spread(dy, ctx.shape, ctx.axes, ctx.keepdim, 1.0 / ctx.count), None, None


def mean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean over dim, of a float tensor."""
    if dtype is not None:
        input = input.to(dtype)
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"mean: the input must be a float tensor, not {input.dtype}; hint: x.float().mean()")
    return Mean.apply(input, axes_of(dim, input.array.ndim, "mean"), keepdim)


def var(input, dim=None, unbiased=True, keepdim=False, *, correction=None):
    """The variance over dim: the squared deviations divided by n - correction (1 if unbiased, else 0)."""
    if isinstance(dim, bool):  # var(x, False): torch's short form
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased else 0
    axes = axes_of(dim, input.array.ndim, "var")
    center = input - mean(input, axes, True) if axes else input - input
    count = 1
    for axis in axes:
        count *= input.array.shape[axis]
    total = sum(center.square(), axes, keepdim) if axes else center.square()
    return total / (np.maximum(count - correction, 0.0).item())


def std(input, dim=None, unbiased=True, keepdim=False, *, correction=None):
    """The square root of var."""
    return var(input, dim, unbiased, keepdim, correction=correction).sqrt()


def var_mean(input, dim=None, unbiased=True, keepdim=False, *, correction=None):
    """var and mean."""
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)


class Prod(Function):
    """The product over one axis. The gradient multiplies what stands left and right, so zeros are no special case."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, axis, keepdim):
        ctx._saved = (x,)
        ctx.axis, ctx.keepdim = axis, keepdim
        return wrap(x.array.prod(axis=axis, keepdims=keepdim))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        (x,) = unpack(ctx)
        axis = ctx.axis
        if x.ndim == 0:
            return dy, None, None
        n = x.shape[axis]
        if n == 0:
            return x * 0.0, None, None
        one = wrap(np.ones_like(x.array.take([0], axis)))
        left = [one]  # left[i] = x[0] ... x[i-1], right[i] = x[i+1] ... x[n-1], along the axis
        right = [one]
        for i in range(n - 1):
            left.append(left[-1] * x.narrow(axis, i, 1))
            right.append(right[-1] * x.narrow(axis, n - 1 - i, 1))
        others = cat(left, axis) * cat(right[::-1], axis)
        return _spread(dy, x.shape, (axis,), ctx.keepdim) * others, None, None


def prod(input, dim=None, keepdim=False, *, dtype=None):
    """The product over dim (all elements where None); bool and integers multiply to int64."""
    if dtype is not None:
        input = input.to(dtype)
    elif input.array.dtype.kind != "f":
        input = input.to(int64)
    if dim is None:
        return Prod.apply(input.reshape(-1), 0, False)
    if input.array.ndim == 0:
        return input.reshape(1).prod(0)
    return Prod.apply(input, axis_of(dim, input.array.ndim, "prod"), keepdim)


# ------------------------------------------------------------------------------------------- maximum and minimum

max_result = namedtuple("max", "values indices")
min_result = namedtuple("min", "values indices")


class Extreme(Function):
    """amax or amin over axes; elements that tie share the gradient evenly."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, axes, keepdim, compute):
        a = x.array
        top = compute(a, axis=axes, keepdims=True)
        if ctx.recording:
            hit = a == top
            ctx.share = (hit / hit.sum(axis=axes, keepdims=True)).astype(a.dtype)
            ctx.shape, ctx.axes, ctx.keepdim = a.shape, axes, keepdim
        return wrap(top if keepdim else top.reshape([n for i, n in enumerate(a.shape) if i not in axes]))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return _spread(dy, ctx.shape, ctx.axes, ctx.keepdim) * wrap(ctx.share), None, None, None


class Pick(Function):
    """The elements at `index` along an axis (index has size 1 there)."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, index, axis, keepdim):
        ctx.index, ctx.axis, ctx.keepdim, ctx.shape = index, axis, keepdim, x.array.shape
        y = np.take_along_axis(x.array, index, axis)
        return wrap(y if keepdim else y.squeeze(axis))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        if not ctx.keepdim:
            dy = dy.unsqueeze(ctx.axis)
        return Place.apply(dy, ctx.index, ctx.axis, ctx.shape), None, None, None


class Place(Function):
    """Zeros with x at `index` along an axis."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, index, axis, shape):
        ctx.index, ctx.axis = index, axis
        y = np.zeros(shape, x.array.dtype)
        np.put_along_axis(y, index, x.array, axis)
        return wrap(y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return Pick.apply(dy, ctx.index, ctx.axis, True), None, None, None


def _check_not_empty(x, axes, op):
    for axis in axes:
        if x.ndim and x.shape[axis] == 0:
            raise IndexError(f"{op}: axis {axis} of shape {x.shape} is empty and has no {op}")
    if x.size == 0 and len(axes) == x.ndim:
        raise RuntimeError(f"{op}: a tensor of shape {x.shape} is empty and has no {op}")


def _extreme(input, dim, keepdim, op, compute):
    axes = axes_of(dim, input.array.ndim, op)
    _check_not_empty(input.array, axes, op)
    return Extreme.apply(input, axes, keepdim, compute)


def amax(input, dim=(), keepdim=False):
    """The largest element over dim; ties share the gradient evenly."""
    return _extreme(input, dim, keepdim, "amax", np.max)


def amin(input, dim=(), keepdim=False):
    """The smallest element over dim; ties share the gradient evenly."""
    return _extreme(input, dim, keepdim, "amin", np.min)


def _with_indices(input, dim, keepdim, op, find, result):
    axis = axis_of(dim, input.array.ndim, op)
    if input.array.ndim == 0:
        return result(input.clone(), wrap(np.zeros((), np.int64)))
    _check_not_empty(input.array, (axis,), op)
    index = np.expand_dims(find(input.array, axis), axis)
    values = Pick.apply(input, index, axis, keepdim)
    return result(values, wrap(index if keepdim else index.squeeze(axis)))


def max(input, dim=None, keepdim=False):
    """The largest element; with dim: (values, indices) along it; with a tensor as dim: the elementwise maximum."""
    if dim is None:
        return _extreme(input, None, False, "max", np.max)
    if isinstance(dim, Tensor):
        return input.maximum(dim)
    return _with_indices(input, dim, keepdim, "max", np.argmax, max_result)


def min(input, dim=None, keepdim=False):
    """The smallest element; with dim: (values, indices) along it; with a tensor as dim: the elementwise minimum."""
    if dim is None:
        return _extreme(input, None, False, "min", np.min)
    if isinstance(dim, Tensor):
        return input.minimum(dim)
    return _with_indices(input, dim, keepdim, "min", np.argmin, min_result)


def _arg(input, dim, keepdim, op, find):
    a = input.array
    if dim is None:
        _check_not_empty(a, tuple(range(a.ndim)), op)
        return wrap(np.asarray(find(a.reshape(-1))).reshape((1,) * a.ndim if keepdim else ()))
    axis = axis_of(dim, a.ndim, op)
    _check_not_empty(a, (axis,), op)
    return wrap(np.asarray(find(a, axis=axis, keepdims=keepdim)) if a.ndim else np.zeros((), np.int64))


def argmax(input, dim=None, keepdim=False):
    """The index of the largest element, the first of equals; over the flattened tensor where dim is None."""
    return _arg(input, dim, keepdim, "argmax", np.argmax)


def argmin(input, dim=None, keepdim=False):
    """The index of the smallest element, the first of equals; over the flattened tensor where dim is None."""
    return _arg(input, dim, keepdim, "argmin", np.argmin)


def any(input, dim=None, keepdim=False):
    """True where an element over dim is nonzero."""
    return wrap(np.any(input.array, axis=axes_of(dim, input.array.ndim, "any"), keepdims=keepdim))


def all(input, dim=None, keepdim=False):
    """True where every element over dim is nonzero."""
    return wrap(np.all(input.array, axis=axes_of(dim, input.array.ndim, "all"), keepdims=keepdim))


def count_nonzero(input, dim=None):
    """How many elements over dim are nonzero."""
    return wrap(np.asarray(np.count_nonzero(input.array, axis=axes_of(dim, input.array.ndim, "count_nonzero"))))


def median(input, dim=None, keepdim=False):
    """The middle element, the lower one of two; with dim: (values, indices)."""
    if dim is None:
        flat = input.reshape(-1)
        return flat.kthvalue((flat.numel() + 1) // 2).values
    return input.kthvalue((input.shape[dim] + 1) // 2, dim, keepdim)


# --------------------------------------------------------------------------------------------- compositions


def logsumexp(input, dim, keepdim=False):
    """log(sum(exp(input))) over dim, without overflow."""
    x = as_float(input)
    axes = axes_of(dim, x.array.ndim, "logsumexp")
    return LogSumExp.apply(x, axes, keepdim)


class LogSumExp(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, axes, keepdim):
        a = x.array
        top = a.max(axis=axes, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, 0)
        total = np.exp(a - top).sum(axis=axes, keepdims=True)
        y = wrap((quietly(np.log, total) + top).astype(a.dtype, copy=False))
        if not keepdim:
            y = wrap(y.array.reshape([n for i, n in enumerate(a.shape) if i not in axes]))
        ctx._saved = (x, y)
        ctx.axes, ctx.keepdim = axes, keepdim
        return y

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        y = _spread(y, x.shape, ctx.axes, ctx.keepdim)
        y = y.masked_fill(y.isinf(), 0.0)  # all elements -inf: the weights are 0, not NaN
        return _spread(dy, x.shape, ctx.axes, ctx.keepdim) * (x - y).exp(), None, None


def norm(input, p=2, dim=None, keepdim=False):
    """The p-norm over dim ("fro" is 2; inf and -inf give the largest and smallest magnitude). Derivative 0 at 0."""
    x = as_float(input)
    if p is None or p == "fro":
        p = 2
    if p == 2:
        return EuclideanNorm.apply(x, axes_of(dim, x.array.ndim, "norm"), keepdim)
    if p == float("inf"):
        return amax(x.abs(), dim if dim is not None else (), keepdim)
    if p == -float("inf"):
        return amin(x.abs(), dim if dim is not None else (), keepdim)
    if p == 0:
        return sum((x != 0).to(x.dtype), dim, keepdim)
    if p == 1:
        return sum(x.abs(), dim, keepdim)
    return sum(x.abs() ** p, dim, keepdim) ** (1.0 / p)


class EuclideanNorm(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, axes, keepdim):
        ctx.axes, ctx.keepdim = axes, keepdim
        y = wrap(np.sqrt(np.square(x.array).sum(axis=axes, keepdims=keepdim)))
        ctx._saved = (x, y)
        return y

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        scale = dy / y.masked_fill(y == 0, 1.0)
        return x * _spread(scale, x.shape, ctx.axes, ctx.keepdim), None, None


class Cumsum(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, axis, reverse):
        ctx.axis, ctx.reverse = axis, reverse
        a = np.flip(x.array, axis) if reverse else x.array
        y = np.cumsum(a, axis)
        return wrap(np.flip(y, axis) if reverse else y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return Cumsum.apply(dy, ctx.axis, not ctx.reverse), None, None


def cumsum(input, dim, *, dtype=None):
    """Running sums along dim."""
    if dtype is not None:
        input = input.to(dtype)
    elif input.array.dtype.kind != "f":
        input = input.to(int64)
    if input.array.ndim == 0:
        return input.clone()
    return Cumsum.apply(input, axis_of(dim, input.array.ndim, "cumsum"), False)


class Cumprod(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, axis):
        ctx._saved = (x,)
        ctx.axis = axis
        return wrap(np.cumprod(x.array, axis))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        # dx[i] = sum over k >= i of dy[k] * (product of x[j], j <= k, j != i), in steps, so that zeros are harmless:
        # t[i] = dy[i] + x[i+1] t[i+1], dx[i] = (product of x[j], j < i) t[i]
        (x,) = unpack(ctx)
        axis = ctx.axis
        n = x.shape[axis]
        if n == 0:
            return x * 0.0, None
        t = dy.narrow(axis, n - 1, 1)
        later = [t]
        for i in range(n - 2, -1, -1):
            t = dy.narrow(axis, i, 1) + x.narrow(axis, i + 1, 1) * t
            later.append(t)
        before = [wrap(np.ones_like(t.array))]
        for i in range(n - 1):
            before.append(before[-1] * x.narrow(axis, i, 1))
        return cat(before, axis) * cat(later[::-1], axis), None


def cumprod(input, dim, *, dtype=None):
    """Running products along dim."""
    if dtype is not None:
        input = input.to(dtype)
    elif input.array.dtype.kind != "f":
        input = input.to(int64)
    if input.array.ndim == 0:
        return input.clone()
    return Cumprod.apply(input, axis_of(dim, input.array.ndim, "cumprod"))


def std_mean(input, dim=None, unbiased=True, keepdim=False, *, correction=None):
    """std and mean."""
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)
