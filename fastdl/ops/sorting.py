"""Sorting, ranking and counting. Values keep their gradient: they are gathered where the indices say."""

from collections import namedtuple

import numpy as np

from fastdl.ops._dtypes import as_operand
from fastdl.ops._shapes import axis_of
from fastdl.ops.index import check_index, gather
from fastdl.tape import Tensor, wrap

sort_result = namedtuple("sort", "values indices")
topk_result = namedtuple("topk", "values indices")
kthvalue_result = namedtuple("kthvalue", "values indices")


def argsort(input, dim=-1, descending=False, stable=True):
    """The indices that sort an axis; equal elements keep their order."""
    a = input.array
    if a.ndim == 0:
        return wrap(np.zeros((), np.int64))
    axis = axis_of(dim, a.ndim, "argsort")
    if not descending:
        return wrap(np.argsort(a, axis=axis, kind="stable"))
    # The reverse of a stable sort of the reverse: descending, and equal elements still in their order; NaN first.
    order = np.flip(np.argsort(np.flip(a, axis), axis=axis, kind="stable"), axis)
    return wrap(a.shape[axis] - 1 - order)


def sort(input, dim=-1, descending=False, stable=True):
    """An axis in order: (values, indices)."""
    if input.array.ndim == 0:
        return sort_result(input.clone(), argsort(input))
    order = argsort(input, dim, descending)
    return sort_result(gather(input, dim, order), order)


def topk(input, k, dim=-1, largest=True, sorted=True):
    """The k largest (or smallest) elements of an axis, in order: (values, indices)."""
    a = input.array
    if a.ndim == 0:
        return topk_result(input.clone(), wrap(np.zeros((), np.int64)))
    axis = axis_of(dim, a.ndim, "topk")
    n = a.shape[axis]
    if not 0 <= k <= n:
        raise RuntimeError(f"topk: k={k} is out of range for axis {axis} of shape {a.shape}")
    if n > 256 and 0 < k < n // 8 and a.dtype.kind == "f" and not np.isnan(a).any():
        part = np.argpartition(-a if largest else a, k - 1, axis=axis)
        part = np.sort(
            np.take(part, np.arange(k), axis), axis=axis
        )  # candidates in their order, so that the sort is stable
        inner = argsort(wrap(np.take_along_axis(a, part, axis)), axis, largest)
        order = np.take_along_axis(part, inner.array, axis)
    else:
        order = np.take(argsort(input, axis, largest).array, np.arange(k), axis)
    order = wrap(order)
    return topk_result(gather(input, axis, order), order)


def kthvalue(input, k, dim=-1, keepdim=False):
    """The k-th smallest element of an axis, counted from 1: (values, indices)."""
    a = input.array
    axis = axis_of(dim, a.ndim, "kthvalue")
    if a.ndim == 0:
        return kthvalue_result(input.clone(), wrap(np.zeros((), np.int64)))
    if not 1 <= k <= a.shape[axis]:
        raise RuntimeError(f"kthvalue: k={k} is out of range for axis {axis} of shape {a.shape}")
    order = wrap(np.take(np.argsort(a, axis=axis, kind="stable"), [k - 1], axis))
    values = gather(input, axis, order)
    if keepdim:
        return kthvalue_result(values, order)
    return kthvalue_result(values.squeeze(axis), order.squeeze(axis))


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements in order (or the distinct slices along dim); with the inverse and the counts on request."""
    values, inverse, counts = np.unique(input.array, return_inverse=True, return_counts=True, axis=dim)
    result = [wrap(values)]
    if return_inverse:
        result.append(wrap(inverse.reshape(input.array.shape if dim is None else -1)))
    if return_counts:
        result.append(wrap(counts))
    return result[0] if len(result) == 1 else tuple(result)


def bincount(input, weights=None, minlength=0):
    """How often every number occurs."""
    return wrap(np.bincount(check_index(input, "bincount"), None if weights is None else weights.array, minlength))


def searchsorted(sorted_sequence, values, *, right=False):
    """Where values would be inserted into a sorted vector."""
    side = "right" if right else "left"
    values = as_operand(values, "searchsorted")
    return wrap(
        np.asarray(np.searchsorted(sorted_sequence.array, values.array if isinstance(values, Tensor) else values, side))
    )


def bucketize(input, boundaries, *, right=False):
    """The number of the bucket between boundaries for every element."""
    return searchsorted(boundaries, input, right=right)


def isin(elements, test_elements):
    """True where an element is one of test_elements."""
    return wrap(np.isin(elements.array, test_elements.array))
