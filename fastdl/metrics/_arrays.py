"""What every metric does first: arrays out of tensors, and errors that say what does not fit."""

import numpy as np

from fastdl.autograd import Tensor


def array(x) -> np.ndarray:
    """The ndarray of a tensor, an array or anything NumPy takes."""
    return x.array if isinstance(x, Tensor) else np.asarray(x)


def integers(x, name: str, what: str) -> np.ndarray:
    """`x` as an array of integers (or booleans); TypeError otherwise."""
    x = array(x)
    if x.dtype.kind not in "iub":
        raise TypeError(f"{name}: the {what} must be integers, not {x.dtype}; hint: {what}.astype(int)")
    return x


def same_shape(a, b, name: str, what: str = "predictions and targets"):
    """Both as float64 arrays of one shape that is not empty."""
    a, b = array(a), array(b)
    if a.shape != b.shape:
        raise ValueError(f"{name}: {what} must have the same shape; got {a.shape} and {b.shape}")
    if a.size == 0:
        raise ValueError(f"{name}: there is nothing to compare, the shape is {a.shape}")
    return a.astype(np.float64), b.astype(np.float64)
