"""Sizes, checks, and the messages of their errors: what every contract shares."""

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def pair(value, name: str, layer: str, least: int = 0) -> tuple[int, int]:
    """(height, width) from one integer or two; `least` is the smallest value allowed."""
    two = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(two) != 2 or not all(isinstance(v, (int, np.integer)) and v >= least for v in two):
        raise ValueError(f"{layer}: {name} must be one integer or two, each at least {least}; got {value!r}")
    return int(two[0]), int(two[1])


def same_float_dtype(layer: str, **arrays) -> np.dtype:
    """The common dtype of the arrays that are given; float32 or float64, or a TypeError that names the odd one."""
    first_name = dtype = None
    for name, array in arrays.items():
        if array is None:
            continue
        if array.dtype not in FLOATS:
            raise TypeError(f"{layer}: {name} has dtype {array.dtype}; it must be float32 or float64 (use .float())")
        if dtype is None:
            first_name, dtype = name, array.dtype
        elif array.dtype != dtype:
            raise TypeError(
                f"{layer}: {first_name} is {dtype} but {name} is {array.dtype}; convert one of them, e.g. with .to()"
            )
    return dtype


def need_ndim(layer: str, name: str, array, ndim: int, axes: str) -> None:
    if array.ndim != ndim:
        raise ValueError(f"{layer}: {name} must have {ndim} axes {axes}; got shape {array.shape}")
