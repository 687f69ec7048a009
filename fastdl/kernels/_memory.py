"""Where results are allocated (the pool of csrc, NumPy where it is not built), and the layouts kernels ask for."""

import numpy as np

try:
    from fastdl._native import empty
except ImportError:  # no compiled kernels in this install
    empty = np.empty

__all__ = ["channels_last", "empty", "empty_channels_last", "plain"]


def plain(x: np.ndarray) -> np.ndarray:
    """x itself if its memory is aligned and in native byte order, else a copy that is."""
    if x.dtype.isnative and x.flags.aligned:
        return x
    return np.array(x, dtype=x.dtype.newbyteorder("="))  # ascontiguousarray would return an unaligned x as it is


def empty_channels_last(N: int, C: int, H: int, W: int, dtype) -> np.ndarray:
    """An uninitialised array of shape (N, C, H, W) whose memory is (N, H, W, C)."""
    return empty((N, H, W, C), dtype).transpose(0, 3, 1, 2)


def channels_last(x: np.ndarray) -> np.ndarray:
    """x (N, C, H, W), or a copy of it, such that its memory is contiguous (N, H, W, C)."""
    nhwc = x.transpose(0, 2, 3, 1)
    if nhwc.flags.c_contiguous and nhwc.flags.aligned and x.dtype.isnative:
        return x
    out = empty(nhwc.shape, x.dtype.newbyteorder("="))
    out[...] = nhwc
    return out.transpose(0, 3, 1, 2)
