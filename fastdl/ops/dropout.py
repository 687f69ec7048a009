"""Dropout of elements and of whole channels. Masks are functions of a seed drawn from the global generator; none is kept."""

import math

import numpy as np

from fastdl.autograd import Function, Tensor, assign
from fastdl.kernels._philox import check_dropout
from fastdl.kernels.dropout import dropout_forward
from fastdl.ops._dtypes import as_float
from fastdl.random import generator

_ALPHA = -1.7580993408473766  # SELU's limit at minus infinity: what alpha dropout sets elements to


class Dropout(Function):
    """x with elements set to 0 and the others divided by 1 - p; `order` is the order of x's axes in memory."""

    @staticmethod
    def forward(ctx, x, p, seed, order):
        ctx.parameters = p, seed, order
        if order is None:
            return Tensor(dropout_forward(x.array, p, seed))
        return Tensor(dropout_forward(x.array.transpose(order), p, seed).transpose(np.argsort(order)))

    @staticmethod
    def backward(ctx, dy):
        return Dropout.apply(dy, *ctx.parameters), None, None, None


def _memory_order(x):
    """The axes of x from the largest stride to the smallest: dropout keeps the layout it gets. None: they are in order."""
    if x.flags.c_contiguous:
        return None
    return tuple(sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis])))


def _draw_seed():
    return int(generator().integers(2**64, dtype=np.uint64))


def dropout(input, p=0.5, training=True, inplace=False):
    """Each element is 0 with probability p, else divided by 1 - p; the input itself where not training."""
    check_dropout("dropout", p, 0)
    if not training or p == 0:
        return input
    x = as_float(input)
    y = Dropout.apply(x, p, _draw_seed(), _memory_order(x.array))
    return assign(input, y, "dropout") if inplace else y


def _kept(shape, p, dtype):
    """1 or 0 at random, 0 with probability p."""
    return (dropout_forward(np.ones(shape, np.float32), p, _draw_seed()) != 0).astype(dtype)


def _channels(shape, spatial):
    """The shape of one number a channel: (N, C, 1, ...), or (C, 1, ...) without the batch axis."""
    if len(shape) not in (spatial + 1, spatial + 2):
        raise RuntimeError(f"dropout{spatial}d: expected {spatial + 1} or {spatial + 2} dimensions, not shape {shape}")
    count = 1 if len(shape) == spatial + 1 else 2
    return shape[:count] + (1,) * (len(shape) - count)


def _of_channels(input, p, training, inplace, spatial):
    check_dropout(f"dropout{spatial}d", p, 0)
    shape = _channels(input.array.shape, spatial)
    if not training or p == 0:
        return input
    factor = _kept(shape, p, input.array.dtype) * input.array.dtype.type(1 / (1 - p) if p < 1 else 0)
    y = input * Tensor(factor)
    return assign(input, y, f"dropout{spatial}d") if inplace else y


def dropout1d(input, p=0.5, training=True, inplace=False):
    """Each channel of (N, C, L) or (C, L) is 0 with probability p, else divided by 1 - p."""
    return _of_channels(input, p, training, inplace, 1)


def dropout2d(input, p=0.5, training=True, inplace=False):
    """Each channel of (N, C, H, W) or (C, H, W) is 0 with probability p, else divided by 1 - p."""
    return _of_channels(input, p, training, inplace, 2)


def dropout3d(input, p=0.5, training=True, inplace=False):
    """Each channel of (N, C, D, H, W) or (C, D, H, W) is 0 with probability p, else divided by 1 - p."""
    return _of_channels(input, p, training, inplace, 3)


def stochastic_depth(input, p, mode="row", training=True):
    """Each sample of input (N, ...) is 0 with probability p, else divided by 1 - p; mode "batch": all or none."""
    check_dropout("stochastic_depth", p, 0)
    if mode not in ("row", "batch"):
        raise ValueError(f"stochastic_depth: mode must be 'row' or 'batch'; got {mode!r}")
    if not training or p == 0:
        return input
    shape, dtype = input.array.shape, input.array.dtype
    factor = _kept((shape[0] if mode == "row" else 1,) + (1,) * (len(shape) - 1), p, dtype)
    return input * Tensor(factor * dtype.type(1 / (1 - p) if p < 1 else 0))


def _alpha_dropout(name, input, p, training, inplace, shape):
    check_dropout(name, p, 0)
    if not training or p == 0:
        return input
    dtype = input.array.dtype
    kept = _kept(shape, p, dtype)
    # a and b bring mean and variance of SELU's outputs back to 0 and 1
    a = 1 / math.sqrt((1 - p) * (1 + p * _ALPHA * _ALPHA)) if p < 1 else 0.0
    b = -a * _ALPHA * p
    y = input * Tensor(kept * dtype.type(a)) + Tensor((1 - kept) * dtype.type(a * _ALPHA) + dtype.type(b))
    return assign(input, y, name) if inplace else y


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Dropout that keeps mean and variance of SELU's outputs: elements are set to SELU's lower limit.

    Ref  Klambauer et al., "Self-Normalizing Neural Networks", 2017
    """
    return _alpha_dropout("alpha_dropout", input, p, training, inplace, input.array.shape)


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    """alpha_dropout of whole channels of (N, C, ...)."""
    shape = input.array.shape
    return _alpha_dropout("feature_alpha_dropout", input, p, training, inplace, shape[:2] + (1,) * (len(shape) - 2))
