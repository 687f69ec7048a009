"""Elementwise functions of one array, and their derivatives.

Maths     relu max(x, 0)                     leaky_relu  x > 0 ? x : a x            elu   x > 0 ? b x : a (e^x - 1)
          hardtanh  x limited to [a, b]      hardsigmoid x / 6 + 1/2 in [0, 1]      hardswish  x hardsigmoid(x)
          sigmoid  1 / (1 + e^-x)            tanh                                   silu  x sigmoid(x)
          gelu  x Phi(x)                     gelu_tanh  x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
          softplus  log(1 + e^(a x)) / a, x itself where a x > b                    mish  x tanh(log(1 + e^x))
          exp, log, erf
Shapes    x of any shape, float32 or float64; the result has its shape and, where x has no gaps, its memory layout.
Backward  dx = dy f'(x); KINDS says whether it is computed from x or from the result y ("kept").
Cost      8 n FLOPs (piecewise linear), 20 n (the others); 2 n elements moved, 3 n backward (n = size of x).
Errors    ValueError for an unknown kind or shapes that differ, TypeError for dtypes.
Notes     The derivative at a kink is PyTorch's: relu and hardtanh 0, leaky_relu a. The float32 kernel counts denormals
          as 0.
"""

from typing import NamedTuple

from fastdl.kernels._memory import contiguous, dense, empty, restore
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import same_float_dtype


class Kind(NamedTuple):
    kept: str  # what backward is computed from: "x" or "y"
    a: float = 0.0
    b: float = 0.0
    flops: int = 20


KINDS = {
    "relu": Kind("y", flops=8),
    "leaky_relu": Kind("x", 0.01, flops=8),
    "elu": Kind("x", 1.0, 1.0),
    "hardtanh": Kind("x", -1.0, 1.0, flops=8),
    "hardsigmoid": Kind("x", flops=8),
    "hardswish": Kind("x", flops=8),
    "sigmoid": Kind("y"),
    "tanh": Kind("y"),
    "silu": Kind("x"),
    "gelu": Kind("x"),
    "gelu_tanh": Kind("x"),
    "softplus": Kind("x", 1.0, 20.0),
    "mish": Kind("x"),
    "exp": Kind("y"),
    "log": Kind("x"),
    "erf": Kind("x"),
}


def activation_forward(x, kind, a=None, b=None):
    """f(x); a and b default to the values in KINDS. See the top of this file."""
    dtype = same_float_dtype("activation", x=x)
    default = _kind(kind)
    flat, order = dense(x)
    out = empty(flat.shape, dtype)
    if x.size:
        implementation("activation", dtype).forward(
            flat.reshape(-1), kind, default.a if a is None else a, default.b if b is None else b, out.reshape(-1)
        )
    return restore(out, order)


def activation_backward(dy, kept, kind, a=None, b=None):
    """dy f'; kept is x or y of forward, as KINDS[kind].kept says. See the top of this file."""
    dtype = same_float_dtype("activation", dy=dy, kept=kept)
    default = _kind(kind)
    if dy.shape != kept.shape:
        raise ValueError(f"activation: dy has shape {dy.shape} but {default.kept} {kept.shape}")
    flat, order = dense(kept)
    out = empty(flat.shape, dtype)
    if kept.size:
        dy = contiguous(dy if order is None else dy.transpose(order))
        implementation("activation", dtype).backward(
            dy.reshape(-1),
            flat.reshape(-1),
            kind,
            default.a if a is None else a,
            default.b if b is None else b,
            out.reshape(-1),
        )
    return restore(out, order)


def _kind(kind):
    try:
        return KINDS[kind]
    except KeyError:
        raise ValueError(f"activation: unknown kind {kind!r}; there are {', '.join(KINDS)}") from None


def activation_forward_cost(x, kind, a=None, b=None):
    """(FLOPs, bytes) of one call."""
    return KINDS[kind].flops * x.size, 2 * x.nbytes


def activation_backward_cost(dy, kept, kind, a=None, b=None):
    """(FLOPs, bytes) of one call."""
    return KINDS[kind].flops * dy.size, 3 * dy.nbytes
