"""Axis arithmetic shared by the ops."""

import operator

import numpy as np

from fastdl.autograd import Tensor

_sum = np.add.reduce
_ones = {}  # rows of ones by their length, in the type that was wanted last


def _index(dim, op):
    try:
        return operator.index(dim)
    except TypeError:
        raise TypeError(f"{op}: dim must be an int, not {dim!r}") from None


def axis_of(dim, ndim, op, extra=0):
    """A non-negative axis number; `extra` axes may be added by the op."""
    bound = ndim + extra
    axis = dim if type(dim) is int else _index(dim, op)
    if bound == 0 and axis in (0, -1):
        return 0
    if not -bound <= axis < bound:
        raise IndexError(f"{op}: dim {axis} is out of range for {ndim} dimensions (from {-bound} to {bound - 1})")
    return axis + bound if axis < 0 else axis


def axes_of(dim, ndim, op):
    """A tuple of non-negative axis numbers; None stands for all."""
    if dim is None:
        return tuple(range(ndim))
    if not isinstance(dim, (tuple, list)):
        return (axis_of(dim, ndim, op),) if ndim else ()
    axes = tuple([axis_of(d, ndim, op) for d in dim])
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"{op}: dim {dim} names an axis twice")
    return axes if axes and ndim else tuple(range(ndim))


def sizes_of(args):
    """The shape from f(2, 3), f((2, 3)), or f([2, 3])."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = args[0]
    return tuple([n if type(n) is int else n.item() if isinstance(n, Tensor) else operator.index(n) for n in args])


def add_up(array, axes, keepdims):
    """array.sum(axes): that method goes through a Python function, and NumPy takes an int faster than a tuple of one.

    A small matrix is multiplied by ones, which takes half the time: np.add.reduce sets up an iterator for 1 microsecond. Not so in
    half precision, which np.add.reduce sums in single.
    """
    if len(axes) != 1:
        return _sum(array, axes, None, None, keepdims)
    axis = axes[0]
    if array.ndim == 2 and not keepdims and array.size <= 4096 and array.dtype.kind == "f" and array.itemsize >= 4:
        ones = _row_of_ones(array.shape[axis], array)
        return ones.dot(array) if axis == 0 else array.dot(ones)
    return _sum(array, axis, None, None, keepdims)


def _row_of_ones(n, like):
    row = _ones.get(n)
    if row is None or row.dtype is not like.dtype:
        if len(_ones) > 100:
            _ones.clear()
        row = _ones[n] = np.ones(n, like.dtype)
    return row


def sum_to_shape(array, shape):
    """array summed over the axes along which `shape` was repeated when it was broadcast."""
    lead = array.ndim - len(shape)
    if lead == 1 and array.shape[1:] == shape:  # a bias, mostly
        return add_up(array, (0,), False)
    axes = tuple([i for i in range(array.ndim) if i < lead or (shape[i - lead] == 1 and array.shape[i] != 1)])
    return add_up(array, axes, False).reshape(shape)
