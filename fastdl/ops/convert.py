"""Element types, copies, and the ways out of a Tensor: numbers, NumPy, DLPack, text."""

import numpy as np

from fastdl.autograd import Function, Tensor
from fastdl.ops._dtypes import bool_, float16, float32, float64, int8, int16, int32, int64, kind_order, uint8


class To(Function):
    """Another element type."""

    @staticmethod
    def forward(ctx, x, dtype):
        ctx.dtype = x.array.dtype
        return Tensor(x.array.astype(dtype, copy=True))

    @staticmethod
    def backward(ctx, dy):
        return to(dy, ctx.dtype), None


class Clone(Function):
    @staticmethod
    def forward(ctx, x):
        return Tensor(x.array.copy(order="K"))

    @staticmethod
    def backward(ctx, dy):
        return dy


class Contiguous(Function):
    @staticmethod
    def forward(ctx, x):
        return Tensor(np.ascontiguousarray(x.array))

    @staticmethod
    def backward(ctx, dy):
        return dy


def to(input, *args, dtype=None, device=None, copy=False, non_blocking=False, memory_format=None):
    """Another element type; x.to(dtype), x.to("cpu") and x.to(other) as in torch; x itself if nothing changes."""
    for arg in args:
        if isinstance(arg, Tensor):
            dtype = arg.array.dtype
        elif isinstance(arg, (np.dtype, type)) or (
            isinstance(arg, str) and arg not in ("cpu", "cpu:0") and _is_dtype(arg)
        ):
            dtype = arg
        elif isinstance(arg, str) or hasattr(arg, "type"):
            device = arg
        elif arg is not None and not isinstance(arg, bool):
            raise TypeError(f"to: expected a dtype, a tensor or a device, not {arg!r}")
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise RuntimeError(f"fastdl runs on the CPU only; there is no device {device!r}")
    dtype = input.array.dtype if dtype is None else np.dtype(dtype)
    kind_order(dtype)
    if dtype == input.array.dtype and not copy:
        return input
    return To.apply(input, dtype)


def _is_dtype(name):
    try:
        np.dtype(name)
    except TypeError:
        return False
    return True


def _converter(name, dtype):
    def convert(input):
        return to(input, dtype)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The elements as {dtype}."
    return convert


half = _converter("half", float16)
float = _converter("float", float32)
double = _converter("double", float64)
char = _converter("char", int8)
short = _converter("short", int16)
int = _converter("int", int32)
long = _converter("long", int64)
byte = _converter("byte", uint8)
bool = _converter("bool", bool_)


def type_as(input, other):
    """The elements in the type of another tensor."""
    return to(input, other.array.dtype)


def clone(input, *, memory_format=None):
    """A copy with its own memory; gradients flow through it."""
    return Clone.apply(input)


def contiguous(input, *, memory_format=None):
    """The tensor itself if its memory is in row-major order, else a copy that is."""
    return input if input.array.flags.c_contiguous else Contiguous.apply(input)


def is_contiguous(input, *, memory_format=None):
    """True if the memory is in row-major order."""
    return input.array.flags.c_contiguous


def cpu(input):
    """The tensor itself."""
    return input


def device(input):
    """'cpu'."""
    return "cpu"


def numel(input):
    """The number of elements."""
    return input.array.size


def dim(input):
    """The number of axes."""
    return input.array.ndim


def size(input, dim=None):
    """The shape, or the size of one axis."""
    return input.array.shape if dim is None else input.array.shape[dim]


def stride(input, dim=None):
    """The steps of the axes in elements."""
    strides = tuple([s // input.array.itemsize for s in input.array.strides])
    return strides if dim is None else strides[dim]


def element_size(input):
    """Bytes of one element."""
    return input.array.itemsize


def nbytes(input):
    """Bytes of all elements."""
    return input.array.nbytes


def is_floating_point(input):
    """True for float types."""
    return input.array.dtype.kind == "f"


def is_tensor(obj):
    """True for a Tensor."""
    return isinstance(obj, Tensor)


def item(input):
    """The only element as a Python number."""
    if input.array.size != 1:
        raise RuntimeError(
            f"a tensor of shape {input.array.shape} cannot be converted to one number; hint: tolist(), or reduce it"
        )
    return input.array.item()


def tolist(input):
    """Nested lists of Python numbers."""
    return input.array.tolist()


def numpy(input, *, force=False):
    """The ndarray, sharing memory. A tensor that requires grad must be detached first (or force=True)."""
    if input.requires_grad and not force:
        raise RuntimeError("can't call numpy() on a tensor that requires grad; hint: x.detach().numpy()")
    return input.array


def to_array(input, dtype=None, copy=None):
    """NumPy's __array__ protocol."""
    if input.requires_grad:
        raise RuntimeError("can't convert a tensor that requires grad to a NumPy array; hint: x.detach().numpy()")
    array = input.array
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise ValueError(f"a conversion from {array.dtype} to {dtype} needs a copy")
        return array.astype(dtype)
    return array.copy() if copy else array


def to_dlpack(input, *, stream=None, max_version=None, dl_device=None, copy=None):
    """The DLPack protocol's capsule."""
    if input.requires_grad:
        raise BufferError("can't export a tensor that requires grad; hint: x.detach()")
    if stream is not None:
        raise BufferError("a CPU tensor has no stream")
    options = {}
    if max_version is not None:
        options["max_version"] = max_version
    if dl_device is not None:
        options["dl_device"] = dl_device
    if copy is not None:
        options["copy"] = copy
    try:
        return input.array.__dlpack__(**options)
    except TypeError:  # NumPy before 2.1 knows no options
        return (input.array.copy() if copy else input.array).__dlpack__()


def dlpack_device(input):
    """The DLPack protocol's (device type, number)."""
    return input.array.__dlpack_device__()


def from_dlpack(ext_tensor):
    """A tensor that shares memory with any object of the DLPack protocol."""
    return Tensor(np.from_dlpack(ext_tensor))


def truth(input):
    """bool(x) of a tensor with one element."""
    if input.array.size != 1:
        raise RuntimeError(
            f"the truth value of a tensor of shape {input.array.shape} is ambiguous; hint: x.any() or x.all()"
        )
    return input.array.item() != 0


def as_float(input):
    """float(x) of a tensor with one element."""
    return item(input).__float__()


def as_int(input):
    """int(x) of a tensor with one element."""
    return item(input).__int__()


def as_index(input):
    """A 0-d integer tensor as an index."""
    if input.array.dtype.kind not in "iub" or input.array.size != 1:
        raise TypeError(
            f"only integer tensors of one element can be an index, not {input.dtype} of shape {input.shape}"
        )
    return item(input).__int__()


def length(input):
    """The size of the first axis."""
    if not input.array.ndim:
        raise TypeError("len() of a 0-d tensor")
    return input.array.shape[0]


def iterate(input):
    """The slices along the first axis."""
    if not input.array.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(input.unbind(0))


def contains(input, value):
    """value in x."""
    return (input.array == (value.array if isinstance(value, Tensor) else value)).any().item()


def representation(input):
    """tensor([1., 2.], requires_grad=True)."""
    name = "tensor" if type(input) is Tensor else type(input).__name__ + " tensor"
    array = input.array
    body = np.array2string(
        array, separator=", ", precision=4, threshold=1000, edgeitems=3, prefix="tensor(", max_line_width=100
    )
    parts = [body]
    if array.size == 0 and array.shape != (0,):
        parts.append(f"size={array.shape}")
    if array.dtype not in (float32, int64, bool_):
        parts.append(f"dtype={array.dtype}")
    if input.grad_fn is not None:
        parts.append(f"grad_fn={input.grad_fn!r}")
    elif input.requires_grad:
        parts.append("requires_grad=True")
    return f"{name}({', '.join(parts)})"


def formatted(input, spec):
    """f"{x:.3f}" of a tensor with one element."""
    return format(input.item() if input.array.ndim == 0 else representation(input), spec)
