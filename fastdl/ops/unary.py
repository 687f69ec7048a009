# cython: annotation_typing=True
"""Functions of one operand. One line each: the NumPy function, what backward keeps, and the derivative.

`keep` is "x" (the argument), "y" (the result) or None. The derivative is a formula in dy and what was kept, written once:
where a second derivative may follow it is evaluated on tensors (m is the namespace TENSORS), else straight on arrays.
"""

import math
from types import SimpleNamespace

import numpy as np

from fastdl.kernels._special import erf_array, erfc_array, erfinv_array
from fastdl.kernels.activation import activation_backward, activation_forward
from fastdl.ops._dtypes import as_float, as_operand
from fastdl.ops._quiet import quietly
from fastdl.ops.elementwise import minimum, where
from fastdl.tape import Function, Tensor, TensorBase, is_grad_enabled, unpack, wrap


def evaluate(formula, dy, x):
    """formula(m, dy, x) on tensors where recording is on, on their arrays where it is off."""
    if is_grad_enabled():
        return formula(TENSORS, dy, x)
    return wrap(quietly(formula, ARRAYS, dy.array, x.array))


_FLOAT32 = np.dtype("float32")
LARGE = 2048  # elements from which the kernel's one pass beats NumPy's in spite of its longer call


def large(array):
    """Is this an array for the kernel of elementwise functions (kernels/activation.py)?"""
    return array.dtype is _FLOAT32 and array.size >= LARGE


class Unary(Function):
    """Base of the classes that `unary` makes."""

    compute = derivative = keep = kernel = None
    calm = False

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        if ctx.keep is None:
            return ctx.derivative(dy)
        (kept,) = unpack(ctx)
        if ctx.kernel is not None and large(dy.array) and not is_grad_enabled():
            return wrap(activation_backward(dy.array, kept.array, ctx.kernel))
        if ctx.calm and not is_grad_enabled():
            return wrap(ctx.derivative(ARRAYS, dy.array, kept.array))
        return evaluate(ctx.derivative, dy, kept)


def unary(name, compute, derivative, keep="x", doc="", integers=False, calm=False, kernel=None):
    """Make the class of an elementwise op and return its public function.

    integers: integer tensors stay integers (else they are converted to the default float type).
    calm: finite numbers give finite results, so there are no NumPy warnings to keep quiet.
    kernel: the kind of kernels/activation.py that computes the same on large arrays and keeps the same for backward.
    """
    keep_x, keep_y = keep == "x", keep == "y"

    def forward(ctx: Function, x: TensorBase):
        a = x.array
        if kernel is not None and large(a):
            y = wrap(activation_forward(a, kernel))
        else:
            y = wrap(compute(a) if calm else quietly(compute, a))
        if keep_x:
            ctx._saved = (x,)
        elif keep_y:
            ctx._saved = (y,)
        return y

    members = {
        "forward": staticmethod(forward),
        "derivative": staticmethod(derivative),
        "keep": keep,
        "calm": calm,
        "kernel": kernel,
        "__module__": __name__,
    }
    cls = type(name.title().replace("_", ""), (Unary,), members)
    apply = cls.apply

    def op(input):
        if not isinstance(input, Tensor):
            input = as_operand(input, name)
            input = input if isinstance(input, Tensor) else as_float(input)
        if not integers and input.array.dtype.kind != "f":
            input = as_float(input)
        return apply(input)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = doc
    return op


def sigmoid_array(x):
    """1 / (1 + exp(-x)): accurate in both tails, and where exp overflows the result is 0 as it should be."""
    y = np.negative(x, out=np.empty_like(x))
    np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


def rsqrt_array(x):
    """1 / sqrt(x)."""
    return 1 / np.sqrt(x)


def _zero(dy):
    return wrap(np.zeros_like(dy.array))


_SLOPE = 2 / math.sqrt(math.pi)  # of erf at 0

# fmt: off
neg = unary("neg", np.negative, lambda dy: neg(dy), None, "-input.", integers=True, calm=True)
abs = unary("abs", np.abs, lambda m, dy, x: dy * m.sign(x), "x", "|input|; derivative 0 at 0.", integers=True, calm=True)
square = unary("square", np.square, lambda m, dy, x: dy * (2 * x), "x", "input * input.", integers=True)
sign = unary("sign", np.sign, _zero, None, "-1, 0 or 1.", integers=True, calm=True)
floor = unary("floor", np.floor, _zero, None, "The largest integer not above.", integers=True, calm=True)
ceil = unary("ceil", np.ceil, _zero, None, "The smallest integer not below.", integers=True, calm=True)
trunc = unary("trunc", np.trunc, _zero, None, "Without the fraction.", integers=True, calm=True)
frac = unary("frac", lambda a: a - np.trunc(a), lambda dy: dy, None, "The fraction.")

exp = unary("exp", np.exp, lambda m, dy, y: dy * y, "y", "e to the power of input.", kernel="exp")
exp2 = unary("exp2", np.exp2, lambda m, dy, y: dy * (y * math.log(2)), "y", "2 to the power of input.")
expm1 = unary("expm1", np.expm1, lambda m, dy, y: dy * (y + 1), "y", "exp(input) - 1, accurate near 0.")
log = unary("log", np.log, lambda m, dy, x: dy / x, "x", "The natural logarithm.")
log2 = unary("log2", np.log2, lambda m, dy, x: dy / (x * math.log(2)), "x", "The logarithm to base 2.")
log10 = unary("log10", np.log10, lambda m, dy, x: dy / (x * math.log(10)), "x", "The logarithm to base 10.")
log1p = unary("log1p", np.log1p, lambda m, dy, x: dy / (x + 1), "x", "log(1 + input), accurate near 0.")
sqrt = unary("sqrt", np.sqrt, lambda m, dy, y: dy / (2 * y), "y", "The square root.")
rsqrt = unary("rsqrt", rsqrt_array, lambda m, dy, y: dy * (-0.5 * y * y * y), "y", "1 / sqrt(input).")
reciprocal = unary("reciprocal", np.reciprocal, lambda m, dy, y: -dy * (y * y), "y", "1 / input.")

sin = unary("sin", np.sin, lambda m, dy, x: dy * m.cos(x), "x", "The sine.")
cos = unary("cos", np.cos, lambda m, dy, x: -dy * m.sin(x), "x", "The cosine.")
tan = unary("tan", np.tan, lambda m, dy, y: dy * (1 + y * y), "y", "The tangent.")
asin = unary("asin", np.arcsin, lambda m, dy, x: dy * m.rsqrt(1 - x * x), "x", "The inverse sine.")
acos = unary("acos", np.arccos, lambda m, dy, x: -dy * m.rsqrt(1 - x * x), "x", "The inverse cosine.")
atan = unary("atan", np.arctan, lambda m, dy, x: dy / (1 + x * x), "x", "The inverse tangent.", calm=True)
sinh = unary("sinh", np.sinh, lambda m, dy, x: dy * m.cosh(x), "x", "The hyperbolic sine.")
cosh = unary("cosh", np.cosh, lambda m, dy, x: dy * m.sinh(x), "x", "The hyperbolic cosine.")
tanh = unary("tanh", np.tanh, lambda m, dy, y: dy - dy * y * y, "y", "The hyperbolic tangent.", calm=True, kernel="tanh")
asinh = unary("asinh", np.arcsinh, lambda m, dy, x: dy * m.rsqrt(x * x + 1), "x", "The inverse hyperbolic sine.")
acosh = unary("acosh", np.arccosh, lambda m, dy, x: dy * m.rsqrt(x * x - 1), "x", "The inverse hyperbolic cosine.")
atanh = unary("atanh", np.arctanh, lambda m, dy, x: dy / (1 - x * x), "x", "The inverse hyperbolic tangent.")

sigmoid = unary("sigmoid", sigmoid_array, lambda m, dy, y: dy * (y - y * y), "y", "1 / (1 + exp(-input)).", kernel="sigmoid")
erf = unary("erf", erf_array, lambda m, dy, x: dy * (m.exp(-x * x) * _SLOPE), "x", "The error function.", kernel="erf")
erfc = unary("erfc", erfc_array, lambda m, dy, x: dy * (m.exp(-x * x) * -_SLOPE), "x", "1 - erf(input).")
erfinv = unary("erfinv", erfinv_array, lambda m, dy, y: dy * (m.exp(y * y) / _SLOPE), "y", "erf inverted.")
# fmt: on


# What derivatives are written with: the same names on arrays and on tensors.
ARRAYS = SimpleNamespace(
    cos=np.cos, cosh=np.cosh, erf=erf_array, exp=np.exp, minimum=np.minimum, rsqrt=rsqrt_array, sigmoid=sigmoid_array,
    sign=np.sign, sin=np.sin, sinh=np.sinh, where=np.where,
)  # fmt: skip
TENSORS = SimpleNamespace(
    cos=cos, cosh=cosh, erf=erf, exp=exp, minimum=minimum, rsqrt=rsqrt, sigmoid=sigmoid,
    sign=sign, sin=sin, sinh=sinh, where=where,
)  # fmt: skip


def logit(input, eps=None):
    """log(p / (1 - p)); with eps, p is limited to [eps, 1 - eps] first."""
    p = as_float(input)
    if eps is not None:
        p = p.clamp(eps, 1 - eps)
    return log(p) - log1p(-p)


def round(input, *, decimals=0):
    """The nearest integer, halves to even; or to a number of decimals. The derivative is 0."""
    if decimals:
        scale = 10.0**decimals
        return _round(input * scale) / scale
    return _round(input)


_round = unary("round", np.rint, _zero, None, "The nearest integer.", integers=True)


def isnan(input):
    """True where input is NaN."""
    return wrap(np.isnan(input.array))


def isinf(input):
    """True where input is an infinity."""
    return wrap(np.isinf(input.array))


def isfinite(input):
    """True where input is neither NaN nor an infinity."""
    return wrap(np.isfinite(input.array))


def nan_to_num(input, nan=0.0, posinf=None, neginf=None):
    """Replace NaN and the infinities (None: by the largest and smallest numbers of the type)."""
    info = np.finfo(input.dtype)
    x = input.array
    out = input.masked_fill(wrap(np.isnan(x)), nan)
    out = out.masked_fill(wrap(np.isposinf(x)), float(info.max) if posinf is None else posinf)
    return out.masked_fill(wrap(np.isneginf(x)), float(info.min) if neginf is None else neginf)
