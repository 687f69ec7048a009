# cython: annotation_typing=True
"""Indexing and gathering. Backward adds where an index repeats."""

import numpy as np

from fastdl.autograd import assign, check_writable
from fastdl.kernels._memory import empty_as
from fastdl.ops._dtypes import as_operand, constant
from fastdl.ops._shapes import axis_of
from fastdl.tape import Function, Tensor, TensorBase, is_grad_enabled, wrap, wrote


def _to_index(index):
    """An index for NumPy, and True if it is basic (the result is a view, no element twice)."""
    if type(index) is tuple:
        basic = True
        parts = []
        for part in index:
            part, part_basic = _to_index(part)
            basic = basic and part_basic
            parts.append(part)
        return tuple(parts), basic
    if index is None or index is Ellipsis or type(index) is int or type(index) is slice:
        if type(index) is slice and index.step is not None and index.step < 0:
            raise ValueError("negative steps are not supported in an index, as in torch; hint: flip()")
        return index, True
    if isinstance(index, Tensor):
        index = index.array
    elif isinstance(index, (list, range)):
        index = np.asarray([i.item() if isinstance(i, Tensor) else i for i in index])
        if index.size == 0:
            index = index.astype(np.int64)
    if isinstance(index, np.ndarray):
        if index.dtype.kind == "f":
            raise IndexError(
                f"tensors used as indices must be of an integer or bool type, not {index.dtype}; hint: x.long()"
            )
        if index.ndim == 0 and index.dtype.kind != "b":
            return int(index), True
        return index, False
    if isinstance(index, (bool, np.bool_)):
        return np.asarray(index), False
    if hasattr(index, "__index__"):
        return index.__index__(), True
    raise IndexError(
        f"an index must be an int, a slice, ..., None, or an integer or bool tensor, not {type(index).__name__}"
    )


class GetItem(Function):
    __slots__ = ("basic", "index", "shape")

    @staticmethod
    def forward(ctx: Function, x: TensorBase, index, basic):
        a = x.array
        ctx.shape, ctx.index, ctx.basic = a.shape, index, basic
        y = a[index]
        if basic and type(y) is not np.ndarray:  # NumPy hands out a number where all axes are indexed: ask for the view
            y = a[(*index, ...) if type(index) is tuple else (index, ...)]
        return wrap(y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return AddAt.apply(dy, ctx.shape, ctx.index, ctx.basic), None, None


class AddAt(Function):
    """Zeros to which x is added at an index; repeated places add up."""

    __slots__ = ("basic", "index")

    @staticmethod
    def forward(ctx: Function, x: TensorBase, shape, index, basic):
        ctx.index, ctx.basic = index, basic
        y = empty_as(shape, x.array)  # recycled memory, which np.zeros is not
        y.fill(0)
        if basic:
            y[index] = x.array
        else:
            add_at(y, index, x.array)
        return wrap(y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        if ctx.basic:
            return GetItem.apply_view(dy, ctx.index, True), None, None, None
        return GetItem.apply(dy, ctx.index, False), None, None, None


def add_at(y, index, values):
    """y[index] += values, adding up where places repeat.

    One integer array along the first axis, the gradient of an embedding, goes by sorting: the rows of one place are
    summed by one reduceat, several times faster than np.add.at.
    """
    if type(index) is tuple and len(index) == 1:
        index = index[0]
    if not isinstance(index, np.ndarray) or index.dtype.kind == "b" or y.ndim < 2 or index.size < 32:
        np.add.at(y, index, values)
        return
    flat = index.reshape(-1)
    if not flat.size:
        return
    rows = values.reshape(flat.size, *y.shape[1:])
    flat = np.where(flat < 0, flat + y.shape[0], flat)
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    y[ordered[starts]] += np.add.reduceat(rows[order], starts, axis=0)


def getitem(input, index):
    """input[index]: a view for ints, slices, ... and None; a copy for integer and bool tensors."""
    index, basic = _to_index(index)
    try:
        if basic:
            return GetItem.apply_view(input, index, True)
        return GetItem.apply(input, index, False)
    except IndexError as error:
        raise IndexError(f"{error} (the tensor has shape {input.array.shape})") from None


class SetItem(Function):
    """The history of x after x[index] = value. The memory is written by setitem; here nothing is copied."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, value, index):
        ctx.index, ctx.shape = index, value.array.shape
        return wrap(x.array)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        need_x, need_value, _ = ctx.needs_input_grad
        return (
            ZeroAt.apply(dy, ctx.index) if need_x else None,
            getitem(dy, ctx.index).sum_to_size(ctx.shape) if need_value else None,
            None,
        )


class ZeroAt(Function):
    """A copy of x with zeros at an index."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, index):
        ctx.index = index
        y = x.array.copy(order="K")
        y[index] = 0
        return wrap(y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return ZeroAt.apply(dy, ctx.index), None


def setitem(input, index, value):
    """input[index] = value, in place."""
    index, _ = _to_index(index)
    check_writable(input, "x[...] = value")
    array = input.array
    value = as_operand(value, "x[...] = value")
    if isinstance(value, Tensor) and (value.requires_grad or input.requires_grad) and is_grad_enabled():
        if value.array.dtype != array.dtype:
            value = value.to(array.dtype)
        target = array[index].shape
        if value.array.ndim > len(target) and value.array.size == np.prod(target):
            value = value.reshape(target)  # leading axes of size 1
        if input._base is not None:  # input is itself a view: its base gets the history
            new = input.clone()
            setitem(new, index, value)
            assign(input, new, "x[...] = value")
            return
        new = SetItem.apply(input, value, index)
        array[index] = value.array
        wrote(input, "x[...] = value")
        input.grad_fn, input.output_nr, input._tracked = new.grad_fn, new.output_nr, new._tracked
        return
    if not isinstance(value, Tensor) and input.requires_grad and is_grad_enabled():
        setitem(input, index, constant(value, array.dtype))
        return
    try:
        array[index] = value.array if isinstance(value, Tensor) else value
    except ValueError:
        raise RuntimeError(
            f"x[...] = value: a value of shape {value.shape} does not fit into the shape {array[index].shape} "
            "of the indexed part"
        ) from None
    wrote(input, "x[...] = value")


def check_index(index, op):
    """The array of a tensor of integers."""
    if not isinstance(index, Tensor):
        raise TypeError(f"{op}: the index must be a tensor, not {type(index).__name__}")
    if index.array.dtype.kind not in "iu":
        raise TypeError(f"{op}: the index must be of an integer type, not {index.dtype}; hint: index.long()")
    return index.array


def _grid(index, axis, shape):
    """The full index that reaches, along `axis`, the places of an index array, as gather does."""
    grid = list(np.ogrid[tuple([slice(n) for n in index.shape])]) if index.ndim else []
    if index.ndim:
        grid[axis] = index
    return tuple(grid)


def _check_gather(x, index, axis, op):
    if index.ndim != x.ndim:
        raise RuntimeError(f"{op}: the index has {index.ndim} dimensions and the tensor {x.ndim}")
    for i in range(x.ndim):
        if i != axis and index.shape[i] > x.shape[i]:
            raise RuntimeError(f"{op}: index of shape {index.shape} exceeds the tensor's {x.shape} in axis {i}")
    if index.size and (index.min() < 0 or index.max() >= x.shape[axis]):
        worst = index.min() if index.min() < 0 else index.max()
        raise IndexError(f"{op}: an index of {worst} is out of range for axis {axis} of shape {x.shape}")


def gather(input, dim, index):
    """result[i][j] = input[index[i][j]][j] for dim 0, and so on."""
    a, places = input.array, check_index(index, "gather")
    if a.ndim == 0:
        return input.clone()
    axis = axis_of(dim, a.ndim, "gather")
    _check_gather(a, places, axis, "gather")
    return GetItem.apply(input, _grid(places, axis, a.shape), False)


class ScatterAdd(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, src, index):
        ctx.index = index
        y = x.array.copy(order="K")
        np.add.at(y, index, src.array)
        return wrap(y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return dy, GetItem.apply(dy, ctx.index, False), None


class Scatter(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, src, index):
        ctx.index = index
        y = x.array.copy(order="K")
        y[index] = src.array
        return wrap(y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return ZeroAt.apply(dy, ctx.index), GetItem.apply(dy, ctx.index, False), None


def _scatter(cls, input, dim, index, src, op):
    a, places = input.array, check_index(index, op)
    axis = axis_of(dim, a.ndim, op)
    _check_gather(a, places, axis, op)
    src = as_operand(src, op)
    if not isinstance(src, Tensor):
        src = constant(src, a.dtype).expand(places.shape)
    for i in range(places.ndim):
        if places.shape[i] > src.array.shape[i]:
            raise RuntimeError(f"{op}: index of shape {places.shape} exceeds src of shape {src.shape} in axis {i}")
    if src.array.dtype != a.dtype:
        raise RuntimeError(f"{op}: the tensor is {a.dtype} and src {src.dtype}; hint: src.to({a.dtype})")
    if src.array.shape != places.shape:
        src = getitem(src, tuple([slice(n) for n in places.shape]))
    return cls.apply(input, src, _grid(places, axis, a.shape))


def scatter(input, dim, index, src=None, *, value=None, reduce=None):
    """A copy of input with src written to result[index[i][j]][j] for dim 0, and so on; reduce="add" adds."""
    if reduce not in (None, "add"):
        raise ValueError(f"scatter: reduce must be None or 'add', not {reduce!r}")
    cls = Scatter if reduce is None else ScatterAdd
    return _scatter(cls, input, dim, index, value if src is None else src, "scatter")


def scatter_add(input, dim, index, src):
    """A copy of input with src added at result[index[i][j]][j] for dim 0, and so on; repeated places add up."""
    return _scatter(ScatterAdd, input, dim, index, src, "scatter_add")


def take_along_dim(input, indices, dim=None):
    """The elements at indices along an axis, with broadcasting of the other axes."""
    if dim is None:
        return input.reshape(-1).gather(0, indices.reshape(-1))
    axis = axis_of(dim, input.array.ndim, "take_along_dim")
    shape, places = list(input.array.shape), list(indices.array.shape)
    shape[axis] = places[axis] = 1
    common = list(np.broadcast_shapes(tuple(shape), tuple(places)))
    x = input.expand(common[:axis] + [input.array.shape[axis]] + common[axis + 1 :])
    return gather(x, axis, indices.expand(common[:axis] + [indices.array.shape[axis]] + common[axis + 1 :]))


def index_select(input, dim, index):
    """The slices of an axis at the places of an index vector."""
    places = check_index(index, "index_select")
    if places.ndim > 1:
        raise RuntimeError(f"index_select: the index must be a vector, not of shape {places.shape}")
    if input.array.ndim == 0:
        return input.clone()
    axis = axis_of(dim, input.array.ndim, "index_select")
    n = input.array.shape[axis]
    if places.size and (places.min() < 0 or places.max() >= n):
        raise IndexError(f"index_select: an index is out of range for axis {axis} of shape {input.shape}")
    return GetItem.apply(input, (slice(None),) * axis + (places.reshape(-1),), False)


def index_add(input, dim, index, source, *, alpha=1):
    """A copy of input with the slices of source added at the places of an index vector; repeated places add up."""
    places = check_index(index, "index_add")
    axis = axis_of(dim, input.array.ndim, "index_add")
    if alpha != 1:
        source = source * alpha
    expected = input.array.shape[:axis] + (places.size,) + input.array.shape[axis + 1 :]
    if source.array.shape != expected:
        raise RuntimeError(f"index_add: source must have shape {expected}, not {source.shape}")
    return ScatterAdd.apply(input, source, (slice(None),) * axis + (places,))


def index_copy(input, dim, index, source):
    """A copy of input with the slices at the places of an index vector taken from source."""
    places = check_index(index, "index_copy")
    axis = axis_of(dim, input.array.ndim, "index_copy")
    return Scatter.apply(input, source, (slice(None),) * axis + (places,))


def index_fill(input, dim, index, value):
    """A copy of input with the slices at the places of an index vector filled with a number."""
    places = check_index(index, "index_fill")
    axis = axis_of(dim, input.array.ndim, "index_fill")
    full = (slice(None),) * axis + (places,)
    return Scatter.apply(input, constant(value, input.array.dtype).expand(input.array[full].shape), full)


class MaskedFill(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, mask, value):
        ctx.mask = mask
        return wrap(np.where(mask, value, x.array))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        zero = np.zeros((), dy.array.dtype)
        return MaskedFill.apply(dy, ctx.mask, zero), None, None


def _check_mask(mask, op):
    mask = as_operand(mask, op)
    if not isinstance(mask, Tensor) or mask.array.dtype.kind != "b":
        raise TypeError(
            f"{op}: the mask must be a bool tensor, not {getattr(mask, 'dtype', type(mask))}; hint: mask != 0"
        )
    return mask.array


def masked_fill(input, mask, value):
    """input with `value` where the mask holds."""
    places = _check_mask(mask, "masked_fill")
    if isinstance(value, Tensor):
        if value.array.ndim:
            raise RuntimeError(f"masked_fill: the value must be a number or a 0-d tensor, not of shape {value.shape}")
        return value.to(input.array.dtype).where(mask, input)
    if np.broadcast_shapes(places.shape, input.array.shape) != input.array.shape:
        input = input.expand(np.broadcast_shapes(places.shape, input.array.shape))
    return MaskedFill.apply(input, places, np.asarray(value).astype(input.array.dtype))


def masked_select(input, mask):
    """The elements where the mask holds, as a vector."""
    places = _check_mask(mask, "masked_select")
    shape = np.broadcast_shapes(places.shape, input.array.shape)
    return GetItem.apply(input.expand(shape), np.broadcast_to(places, shape), False)


def take(input, index):
    """Elements of the flattened tensor."""
    return GetItem.apply(input.reshape(-1), check_index(index, "take"), False)


def nonzero(input, *, as_tuple=False):
    """The indices of the nonzero elements, one a row; as_tuple: one vector an axis."""
    places = np.nonzero(np.atleast_1d(input.array)) if input.array.ndim == 0 else np.nonzero(input.array)
    if as_tuple:
        return tuple([wrap(p) for p in places])
    return wrap(np.stack(places, axis=-1).reshape(-1, input.array.ndim))


def one_hot(tensor, num_classes=-1):
    """Class numbers as int64 vectors with a one."""
    places = check_index(tensor, "one_hot")
    if places.size == 0 and num_classes <= 0:
        raise RuntimeError("one_hot: the number of classes of an empty tensor is unknown; hint: pass num_classes")
    low, high = (places.min(), places.max()) if places.size else (0, -1)
    if low < 0:
        raise RuntimeError(f"one_hot: class numbers must not be negative, found {low}")
    if num_classes == -1:
        num_classes = int(high) + 1
    elif high >= num_classes:
        raise RuntimeError(f"one_hot: class number {high} needs more than num_classes={num_classes}")
    y = np.zeros((*places.shape, num_classes), np.int64)
    np.put_along_axis(y, places[..., None].astype(np.int64), 1, -1)
    return wrap(y)
