"""In-place forms: x.add_(y), x += y, x.zero_(). Each computes the result; autograd.assign writes and records it."""

import numpy as np

from fastdl.autograd import Function, Tensor, assign, check_writable, wrote
from fastdl.ops._dtypes import as_operand


class Fill(Function):
    """x with every element replaced by one value: the result does not depend on x."""

    @staticmethod
    def forward(ctx, x, value):
        ctx.shape = x.array.shape
        return Tensor(np.full_like(x.array, value))

    @staticmethod
    def backward(ctx, dy):
        return Tensor(np.zeros_like(dy.array)), None


class Copy(Function):
    """x with its elements replaced by those of source."""

    @staticmethod
    def forward(ctx, x, source):
        ctx.shape, ctx.dtype = source.array.shape, source.array.dtype
        return Tensor(np.broadcast_to(source.array, x.array.shape).astype(x.array.dtype))

    @staticmethod
    def backward(ctx, dy):
        dx, dsource = ctx.needs_input_grad
        return (
            Tensor(np.zeros_like(dy.array)) if dx else None,
            dy.sum_to_size(ctx.shape).to(ctx.dtype) if dsource else None,
        )


def in_place(function, name):
    """The in-place form of an out-of-place function."""

    def op(input, *args, **kwargs):
        return assign(input, function(input, *args, **kwargs), name)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"{function.__name__}, in place."
    return op


def arithmetic_in_place(function, ufunc, name):
    """in_place, writing directly where nothing is to be recorded."""

    def op(input, other, **kwargs):
        if not kwargs and not input.requires_grad and input.array.dtype.kind == "f" and input.array.flags.writeable:
            y = other.array if isinstance(other, Tensor) else other
            if not isinstance(other, Tensor):
                if isinstance(other, (int, float)):
                    ufunc(input.array, y, out=input.array)
                    wrote(input, name)
                    return input
            elif (
                not other.requires_grad
                and y.dtype == input.array.dtype
                and (y.shape == input.array.shape or y.ndim == 0)
            ):
                ufunc(input.array, y, out=input.array)
                wrote(input, name)
                return input
        return assign(input, function(input, other, **kwargs), name)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"{function.__name__}, in place."
    return op


def zero_(input):
    """Every element 0."""
    return fill_(input, 0)


def fill_(input, value):
    """Every element `value`."""
    if isinstance(value, Tensor):
        if value.array.ndim:
            raise RuntimeError(f"fill_: expected a number or a 0-d tensor, not shape {value.shape}")
        return copy_(input, value)
    if not input.requires_grad:
        check_writable(input, "fill_")
        input.array.fill(value)
        wrote(input, "fill_")
        return input
    return assign(input, Fill.apply(input, value), "fill_")


def copy_(input, src, non_blocking=False):
    """The elements of src, broadcast and converted."""
    src = as_operand(src, "copy_")
    if not isinstance(src, Tensor):
        return fill_(input, src)
    try:
        if not input.requires_grad and not src.requires_grad:
            check_writable(input, "copy_")
            np.copyto(input.array, src.array, casting="unsafe")
            wrote(input, "copy_")
            return input
        return assign(input, Copy.apply(input, src), "copy_")
    except ValueError:
        raise RuntimeError(f"copy_: a tensor of shape {src.shape} does not fit into shape {input.shape}") from None


def fill_diagonal_(input, fill_value):
    """The main diagonal of a matrix filled with a number."""
    eye = Tensor(np.eye(*input.array.shape, dtype=bool))
    return assign(input, input.masked_fill(eye, fill_value), "fill_diagonal_")
