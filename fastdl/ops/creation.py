"""New tensors. float32 unless a dtype says otherwise; shapes as f(2, 3) or f((2, 3))."""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.ops._dtypes import bool_, get_default_dtype, int64, kind_order
from fastdl.ops._shapes import sizes_of


def _check_device(device):
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise RuntimeError(f"fastdl runs on the CPU only; there is no device {device!r}")


def _made(array, requires_grad, device=None):
    _check_device(device)
    return Tensor(array, requires_grad)


def _native(array):
    """A NumPy array in the byte order of this machine and of a type that tensors have."""
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"fastdl has no tensors of type {array.dtype}; it has bool, integers, float16, float32 and float64"
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _unwrap(data):
    """Tensors inside nested lists as arrays."""
    if isinstance(data, Tensor):
        return data.array
    if isinstance(data, (list, tuple)):
        return [_unwrap(x) for x in data]
    return data


def _has_own_type(data):
    """True where nested lists hold tensors or NumPy values: their type counts, not the default."""
    if isinstance(data, (list, tuple)):
        return bool(data) and _has_own_type(data[0])
    return isinstance(data, (Tensor, np.ndarray, np.generic))


def _array_of(data, dtype):
    own = _has_own_type(data)
    try:
        array = np.asarray(_unwrap(data), dtype)
    except ValueError as error:
        raise ValueError(f"tensor: the nested lists do not form a rectangle of numbers ({error})") from None
    if dtype is None and not own:
        if array.size == 0 or array.dtype.kind == "f":
            return array.astype(get_default_dtype())
        if array.dtype.kind in "iu":
            return array.astype(int64)
    return _native(array)


def tensor(data, *, dtype=None, device=None, requires_grad=False):
    """A tensor with a copy of data: numbers, nested lists, NumPy arrays, tensors. Python floats become float32."""
    return _made(np.array(_array_of(data, dtype)), requires_grad, device)


def as_tensor(data, dtype=None, device=None):
    """data as a tensor, without a copy where possible; a tensor of the right type is returned itself."""
    _check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    return Tensor(_array_of(data, dtype))


asarray = as_tensor


def from_numpy(ndarray):
    """A tensor that shares memory with a NumPy array."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(
            f"from_numpy: expected a NumPy array, not {type(ndarray).__name__}; hint: tensor() takes lists and numbers"
        )
    if not ndarray.dtype.isnative:
        raise ValueError(
            "from_numpy: the array is not in this machine's byte order; hint: tensor() copies and converts it"
        )
    kind_order(ndarray.dtype)
    return Tensor(np.asarray(ndarray))


def empty(*size, dtype=None, device=None, requires_grad=False):
    """A tensor whose elements are not set."""
    return _made(np.empty(sizes_of(size), dtype or get_default_dtype()), requires_grad, device)


def zeros(*size, dtype=None, device=None, requires_grad=False):
    """A tensor of zeros."""
    return _made(np.zeros(sizes_of(size), dtype or get_default_dtype()), requires_grad, device)


def ones(*size, dtype=None, device=None, requires_grad=False):
    """A tensor of ones."""
    return _made(np.ones(sizes_of(size), dtype or get_default_dtype()), requires_grad, device)


def full(size, fill_value, *, dtype=None, device=None, requires_grad=False):
    """A tensor filled with one value."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    if dtype is None:
        dtype = bool_ if isinstance(fill_value, bool) else int64 if isinstance(fill_value, int) else get_default_dtype()
    return _made(np.full(sizes_of((size,)), fill_value, dtype), requires_grad, device)


def empty_like(input, *, dtype=None, device=None, requires_grad=False):
    """empty with the shape, type and memory layout of input."""
    return _made(np.empty_like(input.array, dtype), requires_grad, device)


def zeros_like(input, *, dtype=None, device=None, requires_grad=False):
    """zeros with the shape, type and memory layout of input."""
    return _made(np.zeros_like(input.array, dtype), requires_grad, device)


def ones_like(input, *, dtype=None, device=None, requires_grad=False):
    """ones with the shape, type and memory layout of input."""
    return _made(np.ones_like(input.array, dtype), requires_grad, device)


def full_like(input, fill_value, *, dtype=None, device=None, requires_grad=False):
    """full with the shape, type and memory layout of input."""
    return _made(np.full_like(input.array, fill_value, dtype), requires_grad, device)


def new_zeros(input, *size, dtype=None, device=None, requires_grad=False):
    """zeros of input's type."""
    return _made(np.zeros(sizes_of(size), dtype or input.array.dtype), requires_grad, device)


def new_ones(input, *size, dtype=None, device=None, requires_grad=False):
    """ones of input's type."""
    return _made(np.ones(sizes_of(size), dtype or input.array.dtype), requires_grad, device)


def new_empty(input, *size, dtype=None, device=None, requires_grad=False):
    """empty of input's type."""
    return _made(np.empty(sizes_of(size), dtype or input.array.dtype), requires_grad, device)


def new_full(input, size, fill_value, *, dtype=None, device=None, requires_grad=False):
    """full of input's type."""
    return _made(np.full(sizes_of((size,)), fill_value, dtype or input.array.dtype), requires_grad, device)


def new_tensor(input, data, *, dtype=None, device=None, requires_grad=False):
    """tensor(data) of input's type."""
    return tensor(data, dtype=dtype or input.array.dtype, device=device, requires_grad=requires_grad)


def arange(start, end=None, step=1, *, dtype=None, device=None, requires_grad=False):
    """Numbers from start (0 if one bound is given) up to, not including, end; integers give int64."""
    if end is None:
        start, end = 0, start
    start, end, step = [x.item() if isinstance(x, Tensor) else x for x in (start, end, step)]
    if step == 0:
        raise RuntimeError("arange: the step must not be 0")
    if (end - start) * step < 0:
        raise RuntimeError(f"arange: from {start} to {end} does not go with a step of {step}")
    if dtype is None:
        whole = all(isinstance(x, (int, np.integer)) for x in (start, end, step))
        dtype = int64 if whole else get_default_dtype()
    count = int(np.ceil((end - start) / step))
    return _made((start + step * np.arange(count)).astype(dtype, copy=False), requires_grad, device)


def linspace(start, end, steps, *, dtype=None, device=None, requires_grad=False):
    """`steps` numbers from start to end, both included."""
    return _made(np.linspace(start, end, steps, dtype=dtype or get_default_dtype()), requires_grad, device)


def logspace(start, end, steps, base=10.0, *, dtype=None, device=None, requires_grad=False):
    """Powers of base, with exponents evenly from start to end."""
    return _made(np.logspace(start, end, steps, base=base, dtype=dtype or get_default_dtype()), requires_grad, device)


def eye(n, m=None, *, dtype=None, device=None, requires_grad=False):
    """The unit matrix."""
    return _made(np.eye(n, m, dtype=dtype or get_default_dtype()), requires_grad, device)


def tril_indices(row, col=None, offset=0):
    """The coordinates of the lower triangle, 2 rows."""
    return Tensor(np.stack(np.tril_indices(row, offset, col)).astype(int64))


def triu_indices(row, col=None, offset=0):
    """The coordinates of the upper triangle, 2 rows."""
    return Tensor(np.stack(np.triu_indices(row, offset, col)).astype(int64))
