# cython: annotation_typing=True
"""Shapes, views and the moving of elements. Views share memory with their argument (Function.apply_view)."""

from math import prod

import numpy as np

from fastdl.kernels._memory import concatenate, contiguous, empty_as
from fastdl.ops._dtypes import kind_order, promote_types
from fastdl.ops._shapes import axes_of, axis_of, sizes_of
from fastdl.tape import Function, Tensor, TensorBase, is_grad_enabled, link_view, wrap


def reshaped(a, shape):
    """a.reshape(shape); a large copy that this takes lies in recycled memory."""
    if a.flags.c_contiguous or a.nbytes < 65536:
        return a.reshape(shape)
    try:
        return a.reshape(shape, copy=False)
    except ValueError:
        return contiguous(a).reshape(shape)
    except TypeError:  # NumPy 2.0 has no `copy`
        return a.reshape(shape)


class Reshape(Function):
    __slots__ = ("shape",)

    @staticmethod
    def forward(ctx: Function, x: TensorBase, shape):
        ctx.shape = x.array.shape
        return wrap(reshaped(x.array, shape))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        if is_grad_enabled():
            return reshape(dy, ctx.shape), None
        # not a linked view: that would keep dy, whose memory could then not be handed on
        return wrap(reshaped(dy.array, ctx.shape)), None


def reshape(input, *shape):
    """The elements in another shape, a view where the strides allow it; one size may be -1."""
    shape = sizes_of(shape)
    a = input.array
    if shape.count(-1) > 1:
        raise RuntimeError(f"reshape: only one size can be -1, not {shape}")
    if -1 in shape:
        known = -prod(shape)
        if known == 0 or a.size % known:
            raise RuntimeError(f"reshape: shape {shape} is invalid for {a.size} elements (shape {a.shape})")
    elif prod(shape) != a.size:
        raise RuntimeError(
            f"reshape: shape {shape} has {prod(shape)} elements, the tensor of shape {a.shape} has {a.size}"
        )
    return Reshape.apply_view(input, shape)


def view(input, *shape):
    """reshape (which copies where torch's view would refuse); with a dtype, the bytes read as that type."""
    if len(shape) == 1 and isinstance(shape[0], (np.dtype, type)):
        out = input.detach()
        out.array = input.array.view(shape[0])
        return out
    return reshape(input, *shape)


def view_as(input, other):
    """input in the shape of other."""
    return reshape(input, other.array.shape)


def flatten(input, start_dim=0, end_dim=-1):
    """Merge the axes from start_dim to end_dim into one."""
    shape = input.array.shape
    if not shape:
        return reshape(input, 1)
    start, end = axis_of(start_dim, len(shape), "flatten"), axis_of(end_dim, len(shape), "flatten")
    if start > end:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return reshape(input, shape[:start] + (prod(shape[start : end + 1]),) + shape[end + 1 :])


def unflatten(input, dim, sizes):
    """Split one axis into several."""
    shape = input.array.shape
    axis = axis_of(dim, len(shape), "unflatten")
    sizes = tuple(sizes)
    if -1 in sizes:
        rest = -prod(sizes)
        sizes = tuple([shape[axis] // rest if n == -1 else n for n in sizes])
    if prod(sizes) != shape[axis]:
        raise RuntimeError(f"unflatten: sizes {sizes} do not multiply to axis {axis} of shape {shape}")
    return reshape(input, shape[:axis] + sizes + shape[axis + 1 :])


def squeeze(input, dim=None):
    """Without the axes of size 1, or without those of them named by dim."""
    shape = input.array.shape
    axes = axes_of(dim, len(shape), "squeeze")
    return reshape(input, tuple([n for i, n in enumerate(shape) if n != 1 or i not in axes]))


def unsqueeze(input, dim):
    """With an axis of size 1 inserted at dim."""
    shape = input.array.shape
    axis = axis_of(dim, len(shape), "unsqueeze", extra=1)
    return reshape(input, shape[:axis] + (1,) + shape[axis:])


class Permute(Function):
    __slots__ = ("axes",)

    @staticmethod
    def forward(ctx: Function, x: TensorBase, axes):
        ctx.axes = axes
        return wrap(x.array.transpose(axes))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        inverse = [0] * len(ctx.axes)
        for i, axis in enumerate(ctx.axes):
            inverse[axis] = i
        if not is_grad_enabled():
            return wrap(dy.array.transpose(inverse)), None
        return Permute.apply_view(dy, tuple(inverse)), None


def permute(input, *dims):
    """The axes in another order."""
    dims = sizes_of(dims)
    ndim = input.array.ndim
    if len(dims) != ndim:
        raise RuntimeError(f"permute: {len(dims)} axes {dims} given for a tensor of {ndim} dimensions")
    axes = tuple([axis_of(d, ndim, "permute") for d in dims])
    if len(set(axes)) != ndim:
        raise RuntimeError(f"permute: an axis is named twice in {dims}")
    return Permute.apply_view(input, axes)


def transpose(input, dim0, dim1):
    """Two axes exchanged."""
    ndim = input.array.ndim
    i, j = axis_of(dim0, ndim, "transpose"), axis_of(dim1, ndim, "transpose")
    axes = list(range(ndim))
    if ndim:
        axes[i], axes[j] = axes[j], axes[i]
    return Permute.apply_view(input, tuple(axes))


def t(input):
    """The transpose of a matrix; vectors stay."""
    if input.array.ndim > 2:
        raise RuntimeError(f"t: expected at most 2 dimensions, not {input.array.ndim}; hint: transpose(-2, -1)")
    return Permute.apply_view(input, tuple(range(input.array.ndim))[::-1])


def mT(input):
    """The last two axes exchanged."""
    if input.array.ndim < 2:
        raise RuntimeError("mT: expected at least 2 dimensions")
    return transpose(input, -2, -1)


def T(input):
    """All axes in reverse order."""
    return Permute.apply_view(input, tuple(range(input.array.ndim))[::-1])


def movedim(input, source, destination):
    """Axes moved to other places, the others in their order."""
    ndim = input.array.ndim
    source = axes_of(source, ndim, "movedim")
    destination = axes_of(destination, ndim, "movedim")
    order = [axis for axis in range(ndim) if axis not in source]
    for to, axis in sorted(zip(destination, source)):
        order.insert(to, axis)
    return Permute.apply_view(input, tuple(order))


class Expand(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, shape):
        ctx.shape = x.array.shape
        return wrap(np.broadcast_to(x.array, shape))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return dy.sum_to_size(ctx.shape), None


def expand(input, *sizes):
    """A read-only view with axes of size 1 repeated; -1 keeps a size."""
    sizes, shape = sizes_of(sizes), input.array.shape
    if sizes == shape:
        return Reshape.apply_view(input, shape)
    lead = len(sizes) - len(shape)
    full = (1,) * lead + shape
    target = tuple([full[i] if n == -1 else n for i, n in enumerate(sizes)])
    for i in range(max(len(sizes), 0)):
        if lead < 0 or (full[i] != target[i] and full[i] != 1):
            raise RuntimeError(
                f"expand: a tensor of shape {shape} cannot be expanded to {sizes}; only axes of size 1 can grow"
            )
    if lead < 0:
        raise RuntimeError(f"expand: a tensor of shape {shape} cannot be expanded to {sizes}, which has fewer axes")
    return Expand.apply_view(input, target)


def expand_as(input, other):
    """input expanded to the shape of other."""
    return expand(input, other.array.shape)


def broadcast_to(input, shape):
    """expand."""
    return expand(input, tuple(shape))


def broadcast_tensors(*tensors):
    """All tensors expanded to their common shape."""
    shape = np.broadcast_shapes(*[t.array.shape for t in tensors])
    return tuple([expand(t, shape) for t in tensors])


def repeat(input, *sizes):
    """The tensor repeated along every axis, as tiles."""
    sizes = sizes_of(sizes)
    shape = input.array.shape
    lead = len(sizes) - len(shape)
    if lead < 0:
        raise RuntimeError(f"repeat: {len(sizes)} counts {sizes} for a tensor of {len(shape)} dimensions")
    full = (1,) * lead + shape
    if sizes.count(1) == len(sizes):
        return reshape(input.clone(), full)
    # (n, m) repeated (a, b) times: (1, n, 1, m) -> (a, n, b, m) -> (a n, b m)
    apart = reshape(input, tuple([m for n in full for m in (1, n)]))
    spread = expand(apart, tuple([m for count, n in zip(sizes, full) for m in (count, n)]))
    return reshape(spread, tuple([count * n for count, n in zip(sizes, full)]))


def tile(input, dims):
    """repeat, where missing leading counts are 1."""
    dims = tuple(dims)
    return repeat(input, (1,) * (input.array.ndim - len(dims)) + dims)


def repeat_interleave(input, repeats, dim=None):
    """Every element along dim repeated, next to itself."""
    if dim is None:
        input, dim = reshape(input, -1), 0
    axis = axis_of(dim, input.array.ndim, "repeat_interleave")
    counts = repeats.array if isinstance(repeats, Tensor) else repeats
    index = np.repeat(np.arange(input.array.shape[axis]), counts)
    return input.index_select(axis, wrap(index))


class Cat(Function):
    @staticmethod
    def forward(ctx, axis, *tensors):
        arrays = [t.array for t in tensors]
        ctx.axis, ctx.sizes = axis, [a.shape[axis] for a in arrays]
        return wrap(concatenate(arrays, axis))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        grads, start = [None], 0
        for size, needed in zip(ctx.sizes, ctx.needs_input_grad[1:]):
            grads.append(narrow(dy, ctx.axis, start, size) if needed else None)
            start += size
        return tuple(grads)


def _common(tensors, op):
    """The tensors in one element type."""
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError(f"{op}: expected at least one tensor")
    dtype = tensors[0].array.dtype
    for x in tensors:
        kind_order(x.array.dtype)
        dtype = promote_types(dtype, x.array.dtype)
    return [x if x.array.dtype == dtype else x.to(dtype) for x in tensors]


def cat(tensors, dim=0):
    """Join tensors along an axis they have."""
    tensors = _common(tensors, "cat")
    some = [x for x in tensors if x.array.shape != (0,)] or tensors[:1]  # torch lets an empty vector join anything
    first = some[0].array.shape
    if not first:
        raise RuntimeError("cat: 0-d tensors cannot be joined; hint: stack")
    axis = axis_of(dim, len(first), "cat")
    for i, x in enumerate(some):
        shape = x.array.shape
        if len(shape) != len(first) or shape[:axis] != first[:axis] or shape[axis + 1 :] != first[axis + 1 :]:
            raise RuntimeError(
                f"cat: shapes must agree except in axis {axis}, but tensor 0 has {first} and tensor {i} has {shape}"
            )
    return Cat.apply(axis, *some)


def stack(tensors, dim=0):
    """Join tensors of one shape along a new axis."""
    tensors = _common(tensors, "stack")
    first = tensors[0].array.shape
    for i, x in enumerate(tensors):
        if x.array.shape != first:
            raise RuntimeError(f"stack: shapes must agree, but tensor 0 has {first} and tensor {i} has {x.array.shape}")
    axis = axis_of(dim, len(first), "stack", extra=1)
    return Cat.apply(axis, *[unsqueeze(x, axis) for x in tensors])


def hstack(tensors):
    """Join along axis 1, vectors along axis 0."""
    tensors = [reshape(x, 1) if x.ndim == 0 else x for x in tensors]
    return cat(tensors, 0 if tensors[0].array.ndim == 1 else 1)


def vstack(tensors):
    """Join along axis 0, vectors as rows."""
    return cat([reshape(x, 1, -1) if x.array.ndim < 2 else x for x in tensors], 0)


class Narrow(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, axis, start, length):
        ctx.shape, ctx.axis, ctx.start = x.array.shape, axis, start
        return wrap(x.array[(slice(None),) * axis + (slice(start, start + length),)])

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return Embed.apply(dy, ctx.shape, ctx.axis, ctx.start), None, None, None


class Embed(Function):
    """Zeros with x from `start` on along an axis."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, shape, axis, start):
        ctx.axis, ctx.start, ctx.length = axis, start, x.array.shape[axis]
        y = empty_as(shape, x.array)
        y.fill(0)
        y[(slice(None),) * axis + (slice(start, start + ctx.length),)] = x.array
        return wrap(y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return narrow(dy, ctx.axis, ctx.start, ctx.length), None, None, None


def narrow(input, dim, start, length):
    """The part of an axis from start on, a view."""
    shape = input.array.shape
    axis = axis_of(dim, len(shape), "narrow")
    if start < 0:
        start += shape[axis]
    if start < 0 or length < 0 or start + length > shape[axis]:
        raise RuntimeError(f"narrow: start {start} and length {length} exceed axis {axis} of shape {shape}")
    return Narrow.apply_view(input, axis, start, length)


class Split(Function):
    """Consecutive parts of an axis; their gradients are joined in one pass."""

    __slots__ = ("axis",)

    @staticmethod
    def forward(ctx: Function, x: TensorBase, axis, sizes):
        ctx.axis = axis
        parts, start = [], 0
        for size in sizes:
            parts.append(wrap(x.array[(slice(None),) * axis + (slice(start, start + size),)]))
            start += size
        return tuple(parts)

    @staticmethod
    def backward(ctx: Function, *grads):
        if is_grad_enabled():
            return cat(grads, ctx.axis), None, None
        return wrap(concatenate([dy.array for dy in grads], ctx.axis)), None, None


def split(input, split_size_or_sections, dim=0):
    """Views of consecutive parts of an axis: of one size (the last may be smaller), or of given sizes."""
    axis = axis_of(dim, input.array.ndim, "split")
    n = input.array.shape[axis]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size <= 0:
            raise RuntimeError(f"split: the size must be positive, not {size}")
        sizes = [min(size, n - start) for start in range(0, n, size)] or [0]
    else:
        sizes = list(split_size_or_sections)
        if sum(sizes) != n:
            raise RuntimeError(f"split: sizes {sizes} do not sum to axis {axis} of shape {input.array.shape}")
        if min(sizes, default=0) < 0:
            raise RuntimeError(f"split: sizes must not be negative; got {sizes}")
    if len(sizes) < 2:
        return tuple([narrow(input, axis, 0, size) for size in sizes])
    parts, start = Split.apply(input, axis, tuple(sizes)), 0
    for part, size in zip(parts, sizes):
        link_view(part, input, Narrow, (axis, start, size))
        start += size
    return parts


def chunk(input, chunks, dim=0):
    """At most `chunks` views of equal parts of an axis (the last may be smaller)."""
    n = input.array.shape[axis_of(dim, input.array.ndim, "chunk")]
    return split(input, max(1, -(-n // chunks)), dim)


def unbind(input, dim=0):
    """The slices along an axis, as views without it."""
    axis = axis_of(dim, input.array.ndim, "unbind")
    shape = input.array.shape
    rest = shape[:axis] + shape[axis + 1 :]
    return tuple([reshape(narrow(input, axis, i, 1), rest) for i in range(shape[axis])])


def select(input, dim, index):
    """One slice along an axis, a view without it."""
    shape = input.array.shape
    axis = axis_of(dim, len(shape), "select")
    if not -shape[axis] <= index < shape[axis]:
        raise IndexError(f"select: index {index} is out of range for axis {axis} of shape {shape}")
    return reshape(narrow(input, axis, index % shape[axis], 1), shape[:axis] + shape[axis + 1 :])


class Flip(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, axes):
        ctx.axes = axes
        return wrap(np.flip(x.array, axes).copy())

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return Flip.apply(dy, ctx.axes), None


def flip(input, *dims):
    """The order of elements reversed along the axes."""
    dims = sizes_of(dims)
    axes = tuple([axis_of(d, input.array.ndim, "flip") for d in dims])
    return Flip.apply(input, axes)


class Roll(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, shifts, axes):
        ctx.shifts, ctx.axes = shifts, axes
        return wrap(np.roll(x.array, shifts, axes))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        back = -ctx.shifts if isinstance(ctx.shifts, int) else tuple([-s for s in ctx.shifts])
        return Roll.apply(dy, back, ctx.axes), None, None


def roll(input, shifts, dims=None):
    """Elements shifted along axes, the last ones entering at the start; over the flattened tensor without dims."""
    if isinstance(shifts, list):
        shifts = tuple(shifts)
    return Roll.apply(input, shifts, tuple(dims) if isinstance(dims, list) else dims)


class Triangle(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, diagonal, cut):
        ctx.diagonal, ctx.cut = diagonal, cut
        return wrap(cut(x.array, diagonal))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return Triangle.apply(dy, ctx.diagonal, ctx.cut), None, None


def _triangle(input, diagonal, cut, op):
    if input.array.ndim < 2:
        raise RuntimeError(f"{op}: expected at least 2 dimensions, not {input.array.ndim}")
    return Triangle.apply(input, diagonal, cut)


def tril(input, diagonal=0):
    """The lower triangle, zeros above the diagonal."""
    return _triangle(input, diagonal, np.tril, "tril")


def triu(input, diagonal=0):
    """The upper triangle, zeros below the diagonal."""
    return _triangle(input, diagonal, np.triu, "triu")


class Diagonal(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, offset, axis1, axis2):
        ctx.shape, ctx.args = x.array.shape, (offset, axis1, axis2)
        return wrap(np.diagonal(x.array, offset, axis1, axis2))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return DiagonalEmbed.apply(dy, ctx.shape, *ctx.args), None, None, None


class DiagonalEmbed(Function):
    """Zeros with x on a diagonal."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, shape, offset, axis1, axis2):
        ctx.args = (offset, axis1, axis2)
        y = np.zeros(shape, x.array.dtype)
        line = np.diagonal(y, offset, axis1, axis2)
        line.flags.writeable = True  # NumPy hands diagonals out read-only
        line[...] = x.array
        return wrap(y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return Diagonal.apply(dy, *ctx.args), None, None, None, None


def diagonal(input, offset=0, dim1=0, dim2=1):
    """A diagonal of two axes, as the last axis of the result."""
    ndim = input.array.ndim
    return Diagonal.apply_view(input, offset, axis_of(dim1, ndim, "diagonal"), axis_of(dim2, ndim, "diagonal"))


def diag(input, diagonal=0):
    """The diagonal of a matrix, or the matrix with this diagonal."""
    if input.array.ndim == 2:
        return Diagonal.apply_view(input, diagonal, 0, 1)
    if input.array.ndim != 1:
        raise RuntimeError(f"diag: expected 1 or 2 dimensions, not {input.array.ndim}")
    n = input.array.shape[0] + abs(diagonal)
    return DiagonalEmbed.apply(input, (n, n), diagonal, 0, 1)


class Unfold(Function):
    """Windows of an axis; the place in the window becomes the last axis."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, axis, size, step):
        ctx.shape, ctx.args = x.array.shape, (axis, size, step)
        windows = np.lib.stride_tricks.sliding_window_view(x.array, size, axis)
        return wrap(windows[(slice(None),) * axis + (slice(None, None, step),)])

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return Fold.apply(dy, ctx.shape, *ctx.args), None, None, None


class Fold(Function):
    """The transpose of Unfold: windows added where they came from."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, shape, axis, size, step):
        ctx.args = (axis, size, step)
        y = np.zeros(shape, x.array.dtype)
        count = x.array.shape[axis]
        for k in range(size):
            y[(slice(None),) * axis + (slice(k, k + (count - 1) * step + 1, step),)] += x.array[..., k]
        return wrap(y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return Unfold.apply(dy, *ctx.args), None, None, None, None


def unfold(input, dimension, size, step):
    """Windows of `size` elements of an axis, `step` apart; the last axis of the result runs inside the window."""
    shape = input.array.shape
    axis = axis_of(dimension, len(shape), "unfold")
    if size > shape[axis] or size < 0 or step <= 0:
        raise RuntimeError(f"unfold: size {size} and step {step} do not fit axis {axis} of shape {shape}")
    return Unfold.apply_view(input, axis, size, step)


def ravel(input):
    """The elements as a vector."""
    return reshape(input, -1)


def meshgrid(*tensors, indexing="ij"):
    """The coordinates of a grid, one tensor an axis; indexing "xy" exchanges the first two axes."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tensors[0]
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: indexing must be 'ij' or 'xy', not {indexing!r}")
    places = list(range(len(tensors)))
    if indexing == "xy" and len(tensors) > 1:
        places[0], places[1] = 1, 0
    shape = [0] * len(tensors)
    for x, place in zip(tensors, places):
        shape[place] = x.array.size
    lines = [reshape(x, [-1 if i == place else 1 for i in range(len(shape))]) for x, place in zip(tensors, places)]
    return tuple([expand(line, shape) for line in lines])
