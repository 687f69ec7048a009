"""Rules for element types: what two operands have in common, as in torch.

Three classes decide in this order: tensors with axes, tensors without, Python numbers. A later class counts only where
its kind (bool < integer < float) is higher, so a Python number or a 0-d tensor never widens float32 to float64. An
integer operand of a float operation takes the float's type, or the default type where there is no float.
"""

from functools import reduce
from math import prod

import numpy as np
from numpy import ndarray

from fastdl.tape import Tensor, TensorBase

float16 = half = np.dtype("float16")
float32 = float_ = np.dtype("float32")
float64 = double = np.dtype("float64")
int8 = np.dtype("int8")
int16 = short = np.dtype("int16")
int32 = int_ = np.dtype("int32")
int64 = long = np.dtype("int64")
uint8 = np.dtype("uint8")
bool_ = np.dtype("bool")

_ORDER = {"b": 0, "u": 1, "i": 1, "f": 2}
_default = [float32]


def get_default_dtype():
    """The float type of new tensors; float32 unless changed."""
    return _default[0]


def set_default_dtype(dtype):
    """Choose the float type that Python floats become."""
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"set_default_dtype: only floating point types are supported, not {dtype}")
    _default[0] = dtype


def kind_order(dtype):
    """0 for bool, 1 for integers, 2 for floats."""
    try:
        return _ORDER[dtype.kind]
    except KeyError:
        raise TypeError(
            f"fastdl has no tensors of type {dtype}; it has bool, integers, float16, float32 and float64"
        ) from None


def promote_types(first, second):
    """The smallest type that holds both; an integer and a float give the float."""
    first, second = np.dtype(first), np.dtype(second)
    a, b = kind_order(first), kind_order(second)
    if a == b or min(a, b) == 0:
        return np.promote_types(first, second)
    return first if a > b else second


def result_type(*operands):
    """The element type of an operation on tensors and Python numbers."""
    levels = [[], [], []]
    for x in operands:
        if isinstance(x, Tensor):
            levels[0 if x.array.ndim else 1].append(x.array.dtype)
        elif isinstance(x, bool):
            levels[2].append(bool_)
        elif isinstance(x, int):
            levels[2].append(int64)
        else:
            levels[2].append(_default[0])
    result = None
    for level in levels:
        if level:
            dtype = reduce(promote_types, level)
            if result is None or kind_order(dtype) > kind_order(result):
                result = dtype
    return result


def as_operand(x, op="this operation"):
    """A Tensor or a Python number; NumPy arrays become tensors, NumPy scalars numbers."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, (int, float)):
        return x
    if isinstance(x, ndarray):
        return Tensor(x)
    raise TypeError(f"{op}: expected a Tensor or a number, not {type(x).__name__}")


_constants32, _constants64 = {}, {}


def constant(value, dtype):
    """A Python number as 0-d Tensor. Floats are kept: NumPy takes twice as long for a number as for a 0-d array."""
    if dtype is float32:
        cache = _constants32
    elif dtype is float64:
        cache = _constants64
    else:
        return Tensor(np.array(value, dtype))
    t = cache.get(value)
    if t is None or value == 0:  # 0.0 and -0.0 are one key
        t = Tensor(np.array(value, dtype))
        if len(cache) > 1000:
            cache.clear()
        cache[value] = t
    return t


def operands(x, y, op, floating=False):
    """Both operands as Tensors of their common type."""
    if isinstance(x, TensorBase):
        first = x
        dtype = first.array.dtype
        if isinstance(y, TensorBase):
            second = y
            if dtype is second.array.dtype and (not floating or dtype.kind == "f"):
                return x, y
        elif dtype is float32 and (type(y) is float or type(y) is int):
            return x, constant(y, dtype)
    x, y = as_operand(x, op), as_operand(y, op)
    dtype = result_type(x, y)
    if floating and dtype.kind != "f":
        dtype = _default[0]
    return cast(x, dtype), cast(y, dtype)


def cast(x, dtype):
    """A Tensor of this type from a Tensor or a Python number."""
    if not isinstance(x, Tensor):
        return constant(x, dtype)
    return x if x.array.dtype == dtype else x.to(dtype)


def as_float(x):
    """x itself if it is of a float type, else converted to the default float type."""
    if not isinstance(x, Tensor):
        x = as_operand(x)
        if not isinstance(x, Tensor):
            return constant(x, _default[0])
    return x if x.array.dtype.kind == "f" else x.to(_default[0])


def broadcast_error(op, x, y):
    """What to raise where NumPy could not broadcast x and y."""
    a, b = x.shape, y.shape
    for axis in range(-1, -1 - min(len(a), len(b)), -1):
        if a[axis] != b[axis] and 1 not in (a[axis], b[axis]):
            hint = ""
            if prod(a) == prod(b):
                hint = "; hint: the element counts agree, so perhaps one of them wants a reshape or a transpose"
            elif len(a) != len(b):
                hint = "; hint: shapes are aligned at their last axis, unsqueeze() adds an axis of size 1"
            return RuntimeError(
                f"{op}: shapes {a} and {b} cannot be broadcast: axis {axis} is {a[axis]} in the first "
                f"and {b[axis]} in the second{hint}"
            )
    return RuntimeError(f"{op}: shapes {a} and {b} do not fit")
