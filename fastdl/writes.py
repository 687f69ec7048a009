"""In-place writes that are recorded: the history of a tensor, or of the base of a view, after it was overwritten."""

import numpy as np

from fastdl.tape import Function, Tensor, is_grad_enabled, refresh, take_view, wrote


def check_writable(t, op):
    """Raise if an in-place op on t could not be recorded (or the memory is read-only)."""
    if not t.array.flags.writeable:
        raise RuntimeError(
            f"{op}: the memory of this tensor of shape {t.shape} is read-only (an expanded tensor, or a read-only "
            "array); hint: x.clone() first"
        )
    root = t if t._base is None else t._base
    if root._tracked and root.grad_fn is None and is_grad_enabled():
        what = "a leaf tensor" if root is t else "a view of a leaf tensor"
        raise RuntimeError(
            f"{op}: {what} that requires grad is being used in an in-place operation; "
            "hint: write under `with fastdl.no_grad():`, or use an out-of-place operation"
        )


def assign(t, new, op):
    """Give t the values of `new`, in place, and its history where recording is on. Returns t."""
    check_writable(t, op)
    array, value = t.array, new.array
    if value.shape != array.shape:
        raise RuntimeError(
            f"{op}: the result has shape {value.shape}, which does not fit into the tensor's {array.shape}"
        )
    if not np.can_cast(value.dtype, array.dtype, "same_kind"):
        raise RuntimeError(f"{op}: result type {value.dtype} can't be cast to the tensor's type {array.dtype}")
    root = t if t._base is None else t._base
    if (new._tracked or root._tracked) and is_grad_enabled():
        if new._tracked and value.dtype != array.dtype:
            new = new.to(array.dtype)
        if new.grad_fn is not None:
            keep_old(new.grad_fn, t)
        if root is not t:
            new = OverwriteView.apply(root, new, t._replay)
        np.copyto(array, value, casting="same_kind")
        wrote(root, op)
        root.grad_fn, root.output_nr, root._tracked = new.grad_fn, new.output_nr, new._tracked
        if root is not t:
            refresh(t)
    else:
        np.copyto(array, value, casting="same_kind")
        wrote(t, op)
    return t


def keep_old(node, t):
    """The op saved t itself, which is about to be overwritten: let it keep a copy, with the history t has now."""
    if node._saved is None or not any(s is t for s in node._saved):
        return
    old = Tensor(t.array.copy(order="K"))
    old.grad_fn, old.output_nr, old._tracked = t.grad_fn, t.output_nr, t._tracked
    node._versions = tuple(0 if s is t else v for s, v in zip(node._saved, node._versions or (0,) * len(node._saved)))
    node._saved = tuple(old if s is t else s for s in node._saved)


class OverwriteView(Function):
    """The history of a base tensor after the view given by `replay` has been overwritten with `new`."""

    @staticmethod
    def forward(ctx, base, new, replay):
        ctx.replay, ctx.layout = replay, base.array
        return Tensor(base.array)

    @staticmethod
    def backward(ctx, dy):
        return ZeroView.apply(dy, ctx.replay, ctx.layout), take_view(dy, ctx.replay), None


class ZeroView(Function):
    """A copy of x in which the elements of a view are zero."""

    @staticmethod
    def forward(ctx, x, replay, layout):
        ctx.replay, ctx.layout = replay, layout
        array = np.empty_like(layout, dtype=x.dtype)
        array[...] = x.array
        take_view(Tensor(array), replay).array[...] = 0
        return Tensor(array)

    @staticmethod
    def backward(ctx, dy):
        return ZeroView.apply(dy, ctx.replay, ctx.layout), None, None
