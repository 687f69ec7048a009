# cython: annotation_typing=True
"""Activation functions under torch.nn.functional's names.

`inplace` is accepted so that code written for torch runs; the result is returned and the input stays as it is.
"""

import math

import numpy as np

from fastdl.autograd import grad
from fastdl.kernels._special import erf_array
from fastdl.kernels.activation import activation_backward, activation_forward
from fastdl.ops._dtypes import as_float
from fastdl.ops._quiet import quietly
from fastdl.ops.elementwise import where
from fastdl.ops.reduce import amax
from fastdl.ops.unary import evaluate, large, sigmoid_array
from fastdl.random import generator
from fastdl.tape import Function, TensorBase, is_grad_enabled, unpack, wrap

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


_ZEROS = {np.dtype(d): np.zeros((), d) for d in ("float32", "float64")}  # faster than a Python number


class Relu(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase):
        a = x.array
        y = wrap(activation_forward(a, "relu") if large(a) else np.maximum(a, _ZEROS.get(a.dtype, 0)))
        ctx._saved = (y,)
        return y

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        (y,) = unpack(ctx)
        return relu_gradient(dy, y)


def relu_gradient(dy, y):
    """dy where y, the result of a ReLU, is above 0, else 0."""
    if large(y.array) and not is_grad_enabled():
        return wrap(activation_backward(dy.array, y.array, "relu"))
    mask = np.greater(y.array, _ZEROS.get(y.array.dtype, 0))
    return PassWhere.apply(dy, mask) if is_grad_enabled() else wrap(np.multiply(dy.array, mask))


class OnKernel(Function):
    """f(x) by the kernel of kernels/activation.py, for a kind whose backward keeps x; composed: f on tensors."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, kind, a, b, composed):
        ctx._saved = (x,)
        ctx.kind, ctx.composed = (kind, a, b), composed
        return wrap(activation_forward(x.array, kind, a, b))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        (x,) = unpack(ctx)
        if is_grad_enabled():  # a derivative of this one may follow
            return grad(ctx.composed(x), x, dy, create_graph=True)[0], None, None, None, None
        return wrap(activation_backward(dy.array, x.array, *ctx.kind)), None, None, None, None


def _on_kernel(composed, x, kind, a=None, b=None):
    """composed(x), by the kernel where x is large."""
    return OnKernel.apply(x, kind, a, b, composed) if large(x.array) else composed(x)


class PassWhere(Function):
    """x where a mask (a bool array of the same shape) holds, else 0."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, mask):
        ctx.mask = mask
        return wrap(np.multiply(x.array, mask))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        return PassWhere.apply(dy, ctx.mask), None


class PiecewiseLinear(Function):
    """A function whose slope is constant between its kinks; value and slope are functions of the array."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, value, slope):
        ctx._saved = (x,)
        ctx.slope = slope
        return wrap(value(x.array).astype(x.array.dtype, copy=False))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        (x,) = unpack(ctx)
        return dy * wrap(ctx.slope(x.array).astype(dy.array.dtype, copy=False)), None, None


def relu(input, inplace=False):
    """max(input, 0)."""
    return Relu.apply(input)


class LeakyRelu(Function):
    @staticmethod
    def forward(ctx: Function, x: TensorBase, slope):
        ctx._saved = (x,)
        ctx.slope = slope
        a = x.array
        return wrap(np.maximum(a, a * slope) if slope <= 1 else np.minimum(a, a * slope))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        (x,) = unpack(ctx)
        slope = ctx.slope
        return evaluate(lambda m, dy, x: m.where(x > 0, dy, dy * slope), dy, x), None


def leaky_relu(input, negative_slope=0.01, inplace=False):
    """input where positive, else negative_slope * input."""
    return _on_kernel(lambda x: LeakyRelu.apply(x, negative_slope), as_float(input), "leaky_relu", negative_slope)


def relu6(input, inplace=False):
    """min(max(input, 0), 6)."""
    return hardtanh(input, 0.0, 6.0)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """input limited to [min_val, max_val]."""

    def composed(x):
        return PiecewiseLinear.apply(x, lambda a: np.clip(a, min_val, max_val), lambda a: (a > min_val) & (a < max_val))

    return _on_kernel(composed, input, "hardtanh", min_val, max_val)


def threshold(input, threshold, value, inplace=False):
    """input where above the threshold, else value."""
    return PiecewiseLinear.apply(
        input, lambda a: np.where(a > threshold, a, a.dtype.type(value)), lambda a: a > threshold
    )


def hardsigmoid(input, inplace=False):
    """input / 6 + 1/2, limited to [0, 1]."""

    def composed(x):
        return PiecewiseLinear.apply(x, lambda a: np.clip(a / 6 + 0.5, 0, 1), lambda a: ((a > -3) & (a < 3)) / 6)

    return _on_kernel(composed, as_float(input), "hardsigmoid")


def hardswish(input, inplace=False):
    """input * hardsigmoid(input)."""
    return _on_kernel(lambda x: x * hardsigmoid(x), as_float(input), "hardswish")


def hardshrink(input, lambd=0.5):
    """input outside [-lambd, lambd], else 0."""
    return PiecewiseLinear.apply(input, lambda a: a * (np.abs(a) > lambd), lambda a: np.abs(a) > lambd)


def softshrink(input, lambd=0.5):
    """input moved towards 0 by lambd, and 0 within it."""
    return PiecewiseLinear.apply(
        input, lambda a: np.sign(a) * np.maximum(np.abs(a) - lambd, 0), lambda a: np.abs(a) > lambd
    )


def prelu(input, weight):
    """input where positive, else weight * input; one weight, or one for each channel (axis 1)."""
    if weight.numel() != 1:
        if input.ndim < 2 or input.shape[1] != weight.numel():
            raise RuntimeError(
                f"prelu: a weight of shape {weight.shape} needs as many channels in axis 1 of the input, "
                f"whose shape is {input.shape}"
            )
        weight = weight.reshape((-1,) + (1,) * (input.ndim - 2))
    return where(input > 0, input, weight * input)


class Elu(Function):
    """x where positive, else alpha (exp(x / s) - 1)."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, alpha, s):
        ctx._saved = (x,)
        ctx.alpha, ctx.s = alpha, s
        a = x.array
        return wrap(np.where(a > 0, a, alpha * np.expm1(np.minimum(a, 0) / s)))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        (x,) = unpack(ctx)
        slope, s = ctx.alpha / ctx.s, ctx.s
        return (
            evaluate(lambda m, dy, x: m.where(x > 0, dy, dy * (m.exp(m.minimum(x, 0.0) / s) * slope)), dy, x),
            None,
            None,
        )


def elu(input, alpha=1.0, inplace=False):
    """input where positive, else alpha * (exp(input) - 1)."""
    return _on_kernel(lambda x: Elu.apply(x, alpha, 1.0), as_float(input), "elu", alpha, 1.0)


def celu(input, alpha=1.0, inplace=False):
    """elu with a continuous derivative for every alpha."""
    return Elu.apply(as_float(input), alpha, alpha)


def selu(input, inplace=False):
    """The self-normalising elu of Klambauer et al., 2017."""
    alpha, scale = _SELU_ALPHA, _SELU_SCALE
    return _on_kernel(lambda x: elu(x, alpha) * scale, as_float(input), "elu", alpha * scale, scale)


def _gelu_slope(m, dy, x):
    return dy * (0.5 + 0.5 * m.erf(x * math.sqrt(0.5)) + x * (m.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))))


class Gelu(Function):
    """x Phi(x), with the normal distribution function Phi."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase):
        ctx._saved = (x,)
        a = x.array
        return wrap(activation_forward(a, "gelu") if large(a) else a * (0.5 * (1 + erf_array(a * math.sqrt(0.5)))))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        (x,) = unpack(ctx)
        if large(x.array) and not is_grad_enabled():
            return wrap(activation_backward(dy.array, x.array, "gelu"))
        return evaluate(_gelu_slope, dy, x)


def gelu(input, approximate="none"):
    """input * Phi(input); approximate="tanh" is the formula of GPT-2."""
    x = as_float(input)
    if approximate == "none":
        return Gelu.apply(x)
    if approximate != "tanh":
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', not {approximate!r}")
    return _on_kernel(_gelu_tanh, x, "gelu_tanh")


def _gelu_tanh(x):
    return 0.5 * x * (1 + ((x + 0.044715 * (x * x * x)) * math.sqrt(2 / math.pi)).tanh())


def _silu_slope(m, dy, x):
    s = m.sigmoid(x)
    return dy * (s * (1 + x * (1 - s)))


class Silu(Function):
    """x sigmoid(x)."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase):
        ctx._saved = (x,)
        a = x.array
        return wrap(activation_forward(a, "silu") if large(a) else a * quietly(sigmoid_array, a))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        (x,) = unpack(ctx)
        if large(x.array) and not is_grad_enabled():
            return wrap(activation_backward(dy.array, x.array, "silu"))
        return evaluate(_silu_slope, dy, x)


def silu(input, inplace=False):
    """input * sigmoid(input)."""
    return Silu.apply(as_float(input))


class Softplus(Function):
    """log(1 + exp(beta x)) / beta; x itself above the threshold, where the difference is below rounding."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase, beta, threshold):
        ctx._saved = (x,)
        ctx.beta, ctx.threshold = beta, threshold
        a = x.array * beta
        y = (np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))) / beta
        return wrap(np.where(a > threshold, x.array, y))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        (x,) = unpack(ctx)
        beta, threshold = ctx.beta, ctx.threshold
        formula = lambda m, dy, x: m.where(x * beta > threshold, dy, dy * m.sigmoid(x * beta))  # noqa: E731
        return evaluate(formula, dy, x), None, None


def softplus(input, beta=1.0, threshold=20.0):
    """log(1 + exp(beta * input)) / beta, a smooth relu."""
    return _on_kernel(lambda x: Softplus.apply(x, beta, threshold), as_float(input), "softplus", beta, threshold)


class LogSigmoid(Function):
    """-log(1 + exp(-x)) without overflow."""

    @staticmethod
    def forward(ctx: Function, x: TensorBase):
        ctx._saved = (x,)
        a = x.array
        return wrap(np.minimum(a, 0) - np.log1p(quietly(np.exp, -np.abs(a))))

    @staticmethod
    def backward(ctx: Function, dy: TensorBase):
        (x,) = unpack(ctx)
        return evaluate(lambda m, dy, x: dy * m.sigmoid(-x), dy, x)


def logsigmoid(input):
    """log(sigmoid(input)), accurate for large negative input."""
    return LogSigmoid.apply(as_float(input))


def mish(input, inplace=False):
    """input * tanh(softplus(input))."""
    return _on_kernel(lambda x: x * softplus(x).tanh(), as_float(input), "mish")


def softsign(input):
    """input / (1 + |input|)."""
    return input / (1 + input.abs())


def tanhshrink(input):
    """input - tanh(input)."""
    return input - input.tanh()


def glu(input, dim=-1):
    """The first half along dim times the sigmoid of the second."""
    if input.shape[dim] % 2:
        raise RuntimeError(f"glu: axis {dim} of shape {input.shape} cannot be halved")
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


def rrelu(input, lower=1 / 8, upper=1 / 3, training=False, inplace=False):
    """input where not negative, else input times a slope: drawn for each element from [lower, upper], or their mean."""
    if not lower <= upper:
        raise ValueError(f"rrelu: lower must not exceed upper; got {lower} and {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    x = as_float(input)
    slope = generator().uniform(lower, upper, x.array.shape).astype(x.array.dtype)
    slope[x.array >= 0] = 1
    return x * wrap(slope)


def maxout(input, pieces, dim=1):
    """The largest of every `pieces` neighbours along dim: (..., n pieces, ...) -> (..., n, ...)."""
    size = input.shape[dim]
    if pieces < 1 or size % pieces:
        raise ValueError(f"maxout: axis {dim} of shape {input.shape} does not divide into groups of {pieces}")
    dim = dim % input.ndim
    return amax(input.unflatten(dim, (size // pieces, pieces)), dim + 1)
