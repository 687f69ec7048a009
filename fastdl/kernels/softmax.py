"""Softmax and log softmax over one axis.

Maths     p_i = exp(x_i - m) / sum_j exp(x_j - m), m = max_j x_j; log: x_i - m - log sum_j exp(x_j - m)
Shapes    x of any shape, float32 or float64; axis: an int. The result has x's shape and, where x has no gaps, its
          memory layout.
Backward  from the result y: dx = y (dy - sum_j dy_j y_j); log: dx = dy - exp(y) sum_j dy_j
Cost      about 20 n FLOPs forward, 6 n backward; 2 n and 3 n elements moved (n = size of x).
Errors    IndexError for an axis out of range, TypeError for dtypes.
Notes     As in PyTorch a slice of only -inf, or with +inf or NaN in it, gives NaN.
"""

from math import prod

from fastdl.kernels._memory import contiguous, dense, empty, restore
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import same_float_dtype


def softmax_forward(x, axis=-1, log=False):
    """y; see the top of this file."""
    dtype = same_float_dtype("softmax", x=x)
    axis = _axis(x, axis)
    flat, order = dense(x)
    out = empty(flat.shape, dtype)
    if x.size:
        shape = _split(flat, axis, order)
        implementation("softmax", dtype).forward(flat.reshape(shape), log, out.reshape(shape))
    return restore(out, order)


def softmax_backward(dy, y, axis=-1, log=False):
    """dx from dy and the result y of forward; see the top of this file."""
    dtype = same_float_dtype("softmax", y=y, dy=dy)
    axis = _axis(y, axis)
    if dy.shape != y.shape:
        raise ValueError(f"softmax: dy has shape {dy.shape} but y {y.shape}")
    flat, order = dense(y)
    out = empty(flat.shape, dtype)
    if y.size:
        shape = _split(flat, axis, order)
        dy = contiguous(dy if order is None else dy.transpose(order))
        implementation("softmax", dtype).backward(dy.reshape(shape), flat.reshape(shape), log, out.reshape(shape))
    return restore(out, order)


def _axis(x, axis):
    if x.ndim == 0 and axis in (0, -1):
        return 0
    if not -x.ndim <= axis < x.ndim:
        raise IndexError(f"softmax: axis {axis} is out of range for shape {x.shape}")
    return axis % x.ndim


def _split(flat, axis, order):
    """(outer, n, inner) of the C-contiguous array `flat`."""
    if flat.ndim == 0:
        return 1, 1, 1
    if order is not None:
        axis = order.index(axis)
    return prod(flat.shape[:axis]), flat.shape[axis], prod(flat.shape[axis + 1 :])


def softmax_forward_cost(x, axis=-1, log=False):
    """(FLOPs, bytes) of one call."""
    return 20 * x.size, 2 * x.nbytes


def softmax_backward_cost(dy, y, axis=-1, log=False):
    """(FLOPs, bytes) of one call."""
    return 6 * y.size, 3 * y.nbytes
