# cython: annotation_typing=True
"""Arithmetic and comparison of two operands, with broadcasting. Forward and backward of an op stand together.

The gradient of a broadcast operand is the sum over the axes it was repeated along (sum_to_size).
"""

import numpy as np

from fastdl.kernels.arithmetic import arithmetic_forward, arithmetic_into
from fastdl.ops._dtypes import (
    as_float,
    as_operand,
    broadcast_error,
    cast,
    constant,
    float32,
    float64,
    kind_order,
    operands,
    result_type,
)
from fastdl.ops._quiet import quietly
from fastdl.ops._shapes import sum_to_shape
from fastdl.tape import Function, Tensor, TensorBase, is_grad_enabled, unpack, wrap

LARGE = 16384  # elements from which the kernel's threads and recycled memory beat NumPy in spite of its longer call
_UFUNCS = {"add": np.add, "sub": np.subtract, "mul": np.multiply}


def on_arrays(op, a, b):
    """a op b ("add", "sub" or "mul") for arrays of one dtype; by kernels/arithmetic.py where they are large and lie alike."""
    if a.size < LARGE and b.size < LARGE:
        return _UFUNCS[op](a, b)
    if b.size > a.size and op != "sub":
        a, b = b, a
    if a.dtype is float32 and b.dtype is float32 and (lie_alike(a, b) or repeats(b, a)):
        return arithmetic_forward(a, b, op)
    return _UFUNCS[op](a, b)


def repeats(b, a):
    """Is b one number, or does it have the shape of trailing axes of a, so that contiguous a is b over and over?"""
    if b.ndim >= a.ndim or b.shape != a.shape[a.ndim - b.ndim :]:
        return False
    return a.flags.c_contiguous and (b.ndim == 0 or b.size >= 16)


def lie_alike(a, b):
    """Have both the same shape and the same memory layout, without gaps?"""
    if a.shape != b.shape or a.strides != b.strides:
        return False
    return a.flags.c_contiguous or (a.ndim == 4 and a.transpose(0, 2, 3, 1).flags.c_contiguous)


def add_arrays(a, b, out=None):
    """a + b, or with out=a a += b: how backward() adds up gradients."""
    if out is None:
        return on_arrays("add", a, b)
    if a.size < LARGE or a.dtype is not float32 or b.dtype is not float32 or not lie_alike(a, b):
        return np.add(a, b, out=a)
    if a.flags.c_contiguous:
        return arithmetic_into(a, b, "add")
    arithmetic_into(a.transpose(0, 2, 3, 1), b.transpose(0, 2, 3, 1), "add")
    return a


class Binary(Function):
    """An op on two tensors that broadcast."""

    shapes = None  # of the operands, where they differ
    ufunc = None

    @classmethod
    def compute(cls, ctx: Function, x: TensorBase, y: TensorBase):
        a, b = x.array, y.array
        if ctx.recording and a.shape != b.shape:
            ctx.shapes = (a.shape, b.shape)
        try:
            return wrap(quietly(cls.ufunc, a, b))
        except ValueError:
            raise broadcast_error(cls.__name__.lower(), a, b) from None


def fit(ctx, i, grad):
    """The gradient of operand i, summed to its shape."""
    shapes = ctx.shapes
    if shapes is None or grad.array.shape == shapes[i]:
        return grad
    return grad.sum_to_size(shapes[i]) if is_grad_enabled() else wrap(sum_to_shape(grad.array, shapes[i]))


class Add(Binary):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        a, b = x.array, y.array
        if ctx.recording and a.shape != b.shape:
            ctx.shapes = (a.shape, b.shape)
        try:
            return wrap(on_arrays("add", a, b))
        except ValueError:
            raise broadcast_error("add", a, b) from None

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        need_x, need_y = ctx.needs(0), ctx.needs(1)
        return fit(ctx, 0, dy) if need_x else None, fit(ctx, 1, dy) if need_y else None


class Sub(Binary):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        a, b = x.array, y.array
        if ctx.recording and a.shape != b.shape:
            ctx.shapes = (a.shape, b.shape)
        try:
            return wrap(on_arrays("sub", a, b))
        except ValueError:
            raise broadcast_error("sub", a, b) from None

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        need_x, need_y = ctx.needs(0), ctx.needs(1)
        return fit(ctx, 0, dy) if need_x else None, fit(ctx, 1, -dy) if need_y else None


def _times(dy, y):
    """dy * y; straight on the arrays where nothing is recorded."""
    return dy * y if is_grad_enabled() else wrap(on_arrays("mul", dy.array, y.array))


class Mul(Binary):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        a, b = x.array, y.array
        if ctx.recording:
            ctx._saved = (x, y)
            if a.shape != b.shape:
                ctx.shapes = (a.shape, b.shape)
        try:
            return wrap(on_arrays("mul", a, b))
        except ValueError:
            raise broadcast_error("mul", a, b) from None

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        need_x, need_y = ctx.needs(0), ctx.needs(1)
        return fit(ctx, 0, _times(dy, y)) if need_x else None, fit(ctx, 1, _times(dy, x)) if need_y else None


class Div(Binary):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        a, b = x.array, y.array
        if ctx.recording:
            ctx._saved = (x, y)
            if a.shape != b.shape:
                ctx.shapes = (a.shape, b.shape)
        try:
            return wrap(quietly(np.true_divide, a, b))
        except ValueError:
            raise broadcast_error("div", a, b) from None

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        need_x, need_y = ctx.needs(0), ctx.needs(1)
        dx = dy / y
        return fit(ctx, 0, dx) if need_x else None, fit(ctx, 1, -dx * (x / y)) if need_y else None


class Pow(Binary):
    ufunc = np.power

    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        ctx._saved = (x, y)
        return Pow.compute(ctx, x, y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        need_x, need_y = ctx.needs(0), ctx.needs(1)
        dx = dz = None
        if need_x:  # y x^(y-1), which is 0 for y = 0 even at x = 0
            dx = fit(ctx, 0, where(y == 0, 0.0, dy * y * pow(x, y - 1)))
        if need_y:  # x^y log x, which is 0 where x = 0 and y >= 0
            flat = (x == 0) & (y >= 0)
            dz = fit(ctx, 1, where(flat, 0.0, dy * pow(x, y) * where(flat, 1.0, x).log()))
        return dx, dz


class PowNumber(Function):
    """x to the power of a Python number."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, exponent):
        ctx._saved = (x,)
        ctx.exponent = exponent
        return wrap(quietly(np.power, x.array, exponent))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        (x,) = unpack(ctx)
        n = ctx.exponent
        if n == 0:
            return dy * 0.0, None
        return dy * (n * pow(x, n - 1)), None


class Maximum(Binary):
    """The larger operand; equal operands share the gradient."""

    ufunc = np.maximum

    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        ctx._saved = (x, y)
        return Maximum.compute(ctx, x, y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        return _share(ctx, dy, x > y, x == y)


class Minimum(Binary):
    """The smaller operand; equal operands share the gradient."""

    ufunc = np.minimum

    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        ctx._saved = (x, y)
        return Minimum.compute(ctx, x, y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        return _share(ctx, dy, x < y, x == y)


def _share(ctx, dy, wins, ties):
    part = wrap((wins.array + 0.5 * ties.array).astype(dy.dtype))
    return fit(ctx, 0, dy * part), fit(ctx, 1, dy * (1.0 - part))


class Atan2(Binary):
    ufunc = np.arctan2

    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        ctx._saved = (x, y)
        return Atan2.compute(ctx, x, y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        scale = dy / (x * x + y * y)
        return fit(ctx, 0, scale * y), fit(ctx, 1, -scale * x)


class Fmod(Binary):
    """The remainder with the sign of the dividend."""

    ufunc = np.fmod

    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        ctx._saved = (x, y)
        return Fmod.compute(ctx, x, y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        return fit(ctx, 0, dy), fit(ctx, 1, -dy * (x / y).detach().trunc())


class Remainder(Binary):
    """The remainder with the sign of the divisor, as Python's %."""

    ufunc = np.remainder

    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        ctx._saved = (x, y)
        return Remainder.compute(ctx, x, y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        return fit(ctx, 0, dy), fit(ctx, 1, -dy * (x / y).detach().floor())


class LogAddExp(Binary):
    ufunc = np.logaddexp

    @staticmethod
    def forward(ctx: Function, x: TensorBase, y: TensorBase):
        ctx._saved = (x, y)
        return LogAddExp.compute(ctx, x, y)

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        x, y = unpack(ctx)
        weight = (x - y).sigmoid()
        return fit(ctx, 0, dy * weight), fit(ctx, 1, dy * (1.0 - weight))


class Where(Function):
    @staticmethod
    def forward(ctx, condition, x, y):
        ctx.condition = condition
        ctx.shapes = (x.array.shape, y.array.shape)
        try:
            return wrap(np.where(condition.array, x.array, y.array))
        except ValueError:
            raise broadcast_error("where", x.array, y.array) from None

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        need_x, need_y = ctx.needs(1), ctx.needs(2)
        zero = cast(0.0, dy.dtype)
        dx = where(ctx.condition, dy, zero).sum_to_size(ctx.shapes[0]) if need_x else None
        dz = where(ctx.condition, zero, dy).sum_to_size(ctx.shapes[1]) if need_y else None
        return None, dx, dz


class Clamp(Function):
    """Limits; the gradient passes where the value is inside them, both ends included."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, low, high):
        a = x.array
        if ctx.recording:
            inside = np.ones(a.shape, bool) if low is None else a >= low
            ctx.inside = inside if high is None else inside & (a <= high)
        return wrap(np.clip(a, low, high))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return dy * wrap(ctx.inside.astype(dy.dtype)), None, None


def add(input, other, *, alpha=1):
    """input + alpha * other."""
    if alpha != 1:
        other = mul(other, alpha)
    x, y = operands(input, other, "add")
    return Add.apply(x, y)


def sub(input, other, *, alpha=1):
    """input - alpha * other."""
    if alpha != 1:
        other = mul(other, alpha)
    x, y = operands(input, other, "sub")
    if x.array.dtype.kind == "b":
        raise RuntimeError("sub: bool tensors cannot be subtracted; hint: logical_xor, or ~mask for an inversion")
    return Sub.apply(x, y)


def mul(input, other):
    """input * other, element by element."""
    x, y = operands(input, other, "mul")
    return Mul.apply(x, y)


def div(input, other, *, rounding_mode=None):
    """input / other; integers give floats. rounding_mode: None, "trunc" or "floor"."""
    if rounding_mode is None:
        x, y = operands(input, other, "div", True)
        return Div.apply(x, y)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode != "trunc":
        raise ValueError(f"div: rounding_mode must be None, 'trunc' or 'floor', not {rounding_mode!r}")
    x, y = operands(input, other, "div")
    return div(x, y).trunc().to(x.dtype)


def floor_divide(input, other):
    """The largest integer not above input / other (no gradient)."""
    x, y = operands(input, other, "floor_divide")
    if x.array.dtype.kind != "f" and not np.all(y.array):
        raise ZeroDivisionError("floor_divide: integer division by zero")
    try:
        return wrap(quietly(np.floor_divide, x.array, y.array))
    except ValueError:
        raise broadcast_error("floor_divide", x, y) from None


def fmod(input, other):
    """The remainder of input / other with the sign of input."""
    x, y = operands(input, other, "fmod")
    return Fmod.apply(x, y)


def remainder(input, other):
    """The remainder of input / other with the sign of other, as Python's %."""
    x, y = operands(input, other, "remainder")
    return Remainder.apply(x, y)


def pow(input, exponent):
    """input ** exponent; either may be a number."""
    if isinstance(input, Tensor) and not isinstance(exponent, Tensor) and isinstance(exponent, (int, float)):
        if input.array.dtype.kind == "b":
            input = cast(input, result_type(input, exponent))
        if exponent == 2:
            return input.square()
        if input.array.dtype.kind != "f":
            if isinstance(exponent, float):
                input = as_float(input)
            elif exponent < 0:
                raise RuntimeError("pow: integers to negative integer powers are not allowed; hint: x.float() ** n")
        return PowNumber.apply(input, exponent)
    x, y = operands(input, exponent, "pow")
    return Pow.apply(x, y)


def maximum(input, other):
    """The larger of two elements; NaN wins."""
    x, y = operands(input, other, "maximum")
    return Maximum.apply(x, y)


def minimum(input, other):
    """The smaller of two elements; NaN wins."""
    x, y = operands(input, other, "minimum")
    return Minimum.apply(x, y)


def atan2(input, other):
    """The angle of the point (other, input)."""
    x, y = operands(input, other, "atan2", True)
    return Atan2.apply(x, y)


def logaddexp(input, other):
    """log(exp(input) + exp(other)) without overflow."""
    x, y = operands(input, other, "logaddexp", True)
    return LogAddExp.apply(x, y)


def where(condition, input=None, other=None):
    """input where condition holds, else other. With the condition alone: the indices of its nonzero elements."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    condition = as_operand(condition, "where")
    if not isinstance(condition, Tensor) or condition.array.dtype.kind != "b":
        raise TypeError(
            f"where: the condition must be a bool tensor, not {getattr(condition, 'dtype', type(condition))}"
        )
    x, y = operands(input, other, "where")
    return Where.apply(condition, x, y)


def clamp(input, min=None, max=None):
    """Limit the elements to [min, max]; either limit may be None, a number or a tensor."""
    if min is None and max is None:
        raise RuntimeError("clamp: at least one of min and max must be given")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        x = input if min is None else maximum(input, min)
        return x if max is None else minimum(x, max)
    dtype = result_type(input, *[limit for limit in (min, max) if limit is not None])
    return Clamp.apply(cast(input, dtype), min, max)


def lerp(input, end, weight):
    """input + weight * (end - input)."""
    return add(input, mul(weight, sub(end, input)))


def addcmul(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 * tensor2."""
    return add(input, mul(tensor1, tensor2), alpha=value)


def addcdiv(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 / tensor2."""
    return add(input, div(tensor1, tensor2), alpha=value)


# Reflected operators: number - tensor and the like.


def rsub(input, other):
    """other - input."""
    return sub(other, input)


def rdiv(input, other):
    """other / input."""
    return div(other, input)


def rpow(input, other):
    """other ** input."""
    return pow(other, input)


def rfloordiv(input, other):
    """other // input."""
    return floor_divide(other, input)


def rmod(input, other):
    """other % input."""
    return remainder(other, input)


# Comparison and logic: bool results, no gradients.


def _comparison(name, ufunc, doc):
    def compare(input, other):
        if type(other) is float or type(other) is int:
            dtype = input.array.dtype
            if dtype is float32 or dtype is float64:
                other = constant(other, dtype).array
            return wrap(ufunc(input.array, other))
        x, y = operands(input, other, name)
        try:
            return wrap(ufunc(x.array, y.array))
        except ValueError:
            raise broadcast_error(name, x, y) from None

    compare.__name__ = compare.__qualname__ = name
    compare.__doc__ = doc
    return compare


eq = _comparison("eq", np.equal, "input == other, element by element.")
ne = _comparison("ne", np.not_equal, "input != other, element by element.")
lt = _comparison("lt", np.less, "input < other, element by element.")
le = _comparison("le", np.less_equal, "input <= other, element by element.")
gt = _comparison("gt", np.greater, "input > other, element by element.")
ge = _comparison("ge", np.greater_equal, "input >= other, element by element.")
logical_and = _comparison("logical_and", np.logical_and, "Both are nonzero.")
logical_or = _comparison("logical_or", np.logical_or, "At least one is nonzero.")
logical_xor = _comparison("logical_xor", np.logical_xor, "Exactly one is nonzero.")


def _bitwise(name, ufunc, doc):
    def bitwise(input, other):
        x, y = operands(input, other, name)
        if kind_order(x.array.dtype) == 2:
            raise TypeError(
                f"{name}: expected bool or integer tensors, not {x.dtype}; hint: compare first, as in (x > 0) & (y > 0)"
            )
        try:
            return wrap(ufunc(x.array, y.array))
        except ValueError:
            raise broadcast_error(name, x, y) from None

    bitwise.__name__ = bitwise.__qualname__ = name
    bitwise.__doc__ = doc
    return bitwise


bitwise_and = _bitwise("bitwise_and", np.bitwise_and, "input & other.")
bitwise_or = _bitwise("bitwise_or", np.bitwise_or, "input | other.")
bitwise_xor = _bitwise("bitwise_xor", np.bitwise_xor, "input ^ other.")
bitwise_left_shift = _bitwise("bitwise_left_shift", np.left_shift, "input << other.")
bitwise_right_shift = _bitwise("bitwise_right_shift", np.right_shift, "input >> other.")


def logical_not(input):
    """True where input is zero."""
    return wrap(np.logical_not(input.array))


def bitwise_not(input):
    """~input."""
    if input.array.dtype.kind == "f":
        raise TypeError("bitwise_not: expected a bool or integer tensor; hint: logical_not")
    return wrap(np.invert(input.array))


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """|input - other| <= atol + rtol * |other|."""
    return wrap(np.isclose(input.array, other.array, rtol, atol, equal_nan))


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """True if isclose holds for every element."""
    return bool(np.allclose(input.array, other.array, rtol, atol, equal_nan))


def equal(input, other):
    """True if both have the same shape and the same elements."""
    return bool(np.array_equal(input.array, other.array))
