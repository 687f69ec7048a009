"""Borders around the last axes: a constant, or elements of the inside. The result lies in memory as the argument does."""

import numpy as np

from fastdl.autograd import Function, Tensor
from fastdl.kernels._memory import empty


def _room(a, shape):
    """An uninitialised array of this shape whose axes lie in memory in the order of a's."""
    order = sorted(range(a.ndim), key=lambda axis: -a.strides[axis])
    back = sorted(range(a.ndim), key=order.__getitem__)
    return empty(tuple([shape[axis] for axis in order]), a.dtype).transpose(back)


def _along(axis, part):
    return (slice(None),) * axis + (part,)


class Pad(Function):
    """Constant padding; negative amounts cut."""

    @staticmethod
    def forward(ctx, x, amounts, value):
        ctx.amounts, a = amounts, x.array
        shape = tuple([n + before + after for n, (before, after) in zip(a.shape, amounts, strict=True)])
        out, into, source = _room(a, shape), [], []
        for axis, (n, (before, after)) in enumerate(zip(a.shape, amounts, strict=True)):
            if before > 0:
                out[_along(axis, slice(before))] = value
            if after > 0:
                out[_along(axis, slice(max(shape[axis] - after, 0), None))] = value
            into.append(slice(max(before, 0), n + before + after - max(after, 0)))
            source.append(slice(max(-before, 0), n - max(-after, 0)))
        out[tuple(into)] = a[tuple(source)]
        return Tensor(out)

    @staticmethod
    def backward(ctx, dy):
        return Pad.apply(dy, tuple([(-before, -after) for before, after in ctx.amounts]), 0.0), None, None


class Mirror(Function):
    """A border of elements of the inside: place k of the padded axis shows place sources[k]."""

    @staticmethod
    def forward(ctx, x, borders):
        """borders: (axis, before, sources (n + before + after,)) of each axis that grows."""
        ctx.borders, a = borders, x.array
        shape, inside = list(a.shape), [slice(None)] * a.ndim
        for axis, before, sources in borders:
            shape[axis], inside[axis] = len(sources), slice(before, before + a.shape[axis])
        out = _room(a, tuple(shape))
        out[tuple(inside)] = a
        for axis, before, sources in borders:  # corners: what a later axis copies includes the border of an earlier one
            for k in _outside(a.shape[axis], before, sources):
                out[_along(axis, k)] = out[_along(axis, before + sources[k])]
        return Tensor(out)

    @staticmethod
    def backward(ctx, dy):
        return Unmirror.apply(dy, ctx.borders), None


class Unmirror(Function):
    """The adjoint of Mirror: the border added to the places that it showed."""

    @staticmethod
    def forward(ctx, y, borders):
        ctx.borders, a = borders, y.array
        for axis, before, sources in reversed(borders):
            n = int(sources.max()) + 1
            inside = a[_along(axis, slice(before, before + n))]
            kept = _room(inside, inside.shape)
            kept[...] = inside
            for k in _outside(n, before, sources):
                kept[_along(axis, sources[k])] += a[_along(axis, k)]
            a = kept
        return Tensor(a)

    @staticmethod
    def backward(ctx, dx):
        return Mirror.apply(dx, ctx.borders), None


def _outside(n, before, sources):
    return [*range(before), *range(before + n, len(sources))]


def pad(input, pad, mode="constant", value=None):
    """Pad the last axes: (before, after) of the last axis first. mode: constant, reflect, replicate or circular."""
    pad = tuple(pad)
    shape = input.array.shape
    if len(pad) % 2 or len(pad) // 2 > len(shape):
        raise RuntimeError(f"pad: {pad} are not pairs for at most the {len(shape)} axes of shape {shape}")
    amounts = [(0, 0)] * (len(shape) - len(pad) // 2) + [pad[i : i + 2] for i in range(len(pad) - 2, -1, -2)]
    for n, (before, after) in zip(shape, amounts, strict=True):
        if n + before + after < 0:
            raise RuntimeError(f"pad: {pad} cuts more than there is of shape {shape}")
    if mode == "constant":
        return Pad.apply(input, tuple([tuple(pair) for pair in amounts]), 0.0 if value is None else value)
    index_of = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}.get(mode)
    if index_of is None:
        raise ValueError(f"pad: mode must be constant, reflect, replicate or circular, not {mode!r}")
    grown = [(axis, n, *pair) for axis, (n, pair) in enumerate(zip(shape, amounts, strict=True)) if any(pair)]
    borders = tuple([(axis, before, index_of(n, before, after)) for axis, n, before, after in grown])
    if all(min(pair) >= 0 for pair in amounts):
        return Mirror.apply(input, borders) if borders else input
    for axis, _, sources in borders:  # one that cuts
        input = input.index_select(axis, Tensor(sources))
    return input


def _reflect(n, before, after):
    if max(before, after) >= n:
        raise RuntimeError(f"pad: reflect can pad an axis of size {n} by at most {n - 1}, not {max(before, after)}")
    i = np.abs(np.arange(-before, n + after))
    return np.where(i >= n, 2 * (n - 1) - i, i)


def _replicate(n, before, after):
    if n == 0:
        raise RuntimeError("pad: replicate has nothing to repeat of an axis of size 0")
    return np.clip(np.arange(-before, n + after), 0, n - 1)


def _circular(n, before, after):
    if max(before, after) > n:
        raise RuntimeError(f"pad: circular can pad an axis of size {n} by at most {n}, not {max(before, after)}")
    return np.arange(-before, n + after) % n
