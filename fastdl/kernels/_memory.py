"""Where results are allocated (the pool of csrc, NumPy where it is not built), and the layouts kernels ask for."""

import numpy as np

try:
    from fastdl._native import copy_transposed, empty, join, plain
except ImportError:  # no compiled kernels in this install
    copy_transposed, empty, join = None, np.empty, None

    def plain(x):
        """x itself if its memory is aligned and in native byte order, else a copy that is."""
        if x.dtype.isnative and x.flags.aligned:
            return x
        return np.array(x, dtype=x.dtype.newbyteorder("="))  # ascontiguousarray would return an unaligned x as it is


__all__ = [
    "channels_inner", "channels_last", "concatenate", "contiguous", "dense", "empty", "empty_as",
    "empty_channels_last", "plain", "restore",
]  # fmt: skip

SMALL = 65536  # bytes up to which NumPy's own copies are as good


def empty_channels_last(N: int, C: int, H: int, W: int, dtype) -> np.ndarray:
    """An uninitialised array of shape (N, C, H, W) whose memory is (N, H, W, C)."""
    return empty((N, H, W, C), dtype).transpose(0, 3, 1, 2)


def empty_as(shape: tuple[int, ...], like: np.ndarray) -> np.ndarray:
    """An uninitialised array without gaps of the type of `like`, its axes in the same order in memory where there are as many."""
    if len(shape) != like.ndim or like.flags.c_contiguous:
        return empty(shape, like.dtype)
    strides = like.strides
    order = sorted(range(like.ndim), key=lambda axis: -abs(strides[axis]))
    return restore(empty(tuple([shape[axis] for axis in order]), like.dtype), order)


def channels_last(x: np.ndarray) -> np.ndarray:
    """x (N, C, H, W), or a copy of it, such that its memory is contiguous (N, H, W, C)."""
    nhwc = x.transpose(0, 2, 3, 1)
    if nhwc.flags.c_contiguous and nhwc.flags.aligned and x.dtype.isnative:
        return x
    return _copy(nhwc).transpose(0, 3, 1, 2)


def channels_inner(x: np.ndarray) -> np.ndarray:
    """x (N, C, *spatial) as a C-contiguous array (N, *spatial, C): a view where its memory lies so, else a copy."""
    if x.ndim > 2:
        x = x.transpose(0, *range(2, x.ndim), 1)
    return contiguous(x)


def contiguous(x: np.ndarray) -> np.ndarray:
    """x itself if it is C-contiguous, aligned and in native byte order, else a copy that is."""
    if x.flags.c_contiguous and x.flags.aligned and x.dtype.isnative:
        return x
    return _copy(x)


def _copy(x):
    """A C-contiguous, aligned copy of x in native byte order."""
    out = empty(x.shape, x.dtype.newbyteorder("="))
    if copy_transposed is None or not x.dtype.isnative or not copy_transposed(x, out):
        out[...] = x
    return out


def concatenate(arrays: list[np.ndarray], axis: int) -> np.ndarray:
    """np.concatenate of arrays of one type, in the memory order of the largest; by threads, into recycled memory."""
    largest = max(arrays, key=lambda a: a.nbytes)
    if join is None or largest.nbytes * len(arrays) < SMALL:
        return np.concatenate(arrays, axis)
    shape = list(largest.shape)
    shape[axis] = sum([a.shape[axis] for a in arrays])
    out = empty_as(tuple(shape), largest)
    if not join(arrays, axis, out):
        np.concatenate(arrays, axis, out=out)
    return out


def dense(x: np.ndarray) -> tuple[np.ndarray, tuple[int, ...] | None]:
    """(array, order): the elements of x C-contiguous, with its axes in `order` (None: as they are).

    A view of x where its memory has no gaps, else a copy.
    """
    flags = x.flags
    if flags.c_contiguous and flags.aligned and x.dtype.isnative:
        return x, None
    strides = x.strides
    order = tuple(sorted(range(x.ndim), key=lambda axis: -strides[axis]))
    turned = x.transpose(order)
    if turned.flags.c_contiguous and flags.aligned and x.dtype.isnative:
        return turned, order
    return contiguous(x), None


def restore(array: np.ndarray, order: tuple[int, ...] | None) -> np.ndarray:
    """An array in the axis order of dense(), with its axes back in place."""
    if order is None:
        return array
    back = [0] * len(order)
    for i, axis in enumerate(order):
        back[axis] = i
    return array.transpose(back)
