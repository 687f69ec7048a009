"""Elementwise functions in plain loops.

Idea: the formulas, one number at a time, in float64. It is the specification: nothing here is clever.
"""

import math

import numpy as np

PHI = {  # the density of the normal distribution and its integral
    "density": lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    "distribution": lambda x: math.erfc(-x / math.sqrt(2)) / 2,
}


def _exp(x):
    return float(np.exp(x))  # inf where math.exp would raise


def _sigmoid(x):
    return 1 / (1 + _exp(-x))


def _log(x):
    return math.log(x) if 0 < x < math.inf else -math.inf if x == 0 else math.inf if x > 0 else math.nan


def _softplus(x, a, b):
    return x if a * x > b else math.log1p(_exp(a * x)) / a


def _hardsigmoid(x):
    return x if x != x else min(max(x / 6 + 0.5, 0.0), 1.0)


def _cubic(x):
    return 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def _cubic_slope(x):
    return 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)


def _silu_slope(x):
    s = _sigmoid(x)
    return s * (1 + x * (1 - s))


def _gelu_tanh_slope(x):
    s = _sigmoid(_cubic(x))
    return s + x * s * (1 - s) * _cubic_slope(x)


def _mish_slope(x):
    t = math.tanh(_softplus(x, 1.0, 20.0))
    return t + x * _sigmoid(x) * (1 - t * t)


FUNCTIONS = {
    "relu": lambda x, a, b: x if x != x else max(x, 0.0),
    "leaky_relu": lambda x, a, b: x if x > 0 else a * x,
    "elu": lambda x, a, b: b * x if x > 0 else a * math.expm1(x),
    "hardtanh": lambda x, a, b: x if x != x else min(max(x, a), b),
    "hardsigmoid": lambda x, a, b: _hardsigmoid(x),
    "hardswish": lambda x, a, b: x * _hardsigmoid(x),
    "sigmoid": lambda x, a, b: _sigmoid(x),
    "tanh": lambda x, a, b: math.tanh(x),
    "silu": lambda x, a, b: x * _sigmoid(x),
    "gelu": lambda x, a, b: x * PHI["distribution"](x),
    "gelu_tanh": lambda x, a, b: x * _sigmoid(_cubic(x)),
    "softplus": _softplus,
    "mish": lambda x, a, b: x * math.tanh(_softplus(x, 1.0, 20.0)),
    "exp": lambda x, a, b: _exp(x),
    "log": lambda x, a, b: _log(x),
    "erf": lambda x, a, b: math.erf(x),
}

# of k: x or y, see KINDS
DERIVATIVES = {
    "relu": lambda k, a, b: 0.0 if k <= 0 else 1.0,
    "leaky_relu": lambda k, a, b: 1.0 if k > 0 else a,
    "elu": lambda k, a, b: b if k > 0 else a * _exp(k),
    "hardtanh": lambda k, a, b: 0.0 if k <= a or k >= b else 1.0,
    "hardsigmoid": lambda k, a, b: 1 / 6 if -3 < k < 3 else 0.0,
    "hardswish": lambda k, a, b: 0.0 if k <= -3 else 1.0 if k >= 3 else k / 3 + 0.5,
    "sigmoid": lambda k, a, b: k * (1 - k),
    "tanh": lambda k, a, b: 1 - k * k,
    "silu": lambda k, a, b: _silu_slope(k),
    "gelu": lambda k, a, b: PHI["distribution"](k) + k * PHI["density"](k),
    "gelu_tanh": lambda k, a, b: _gelu_tanh_slope(k),
    "softplus": lambda k, a, b: 1.0 if a * k > b else _sigmoid(a * k),
    "mish": lambda k, a, b: _mish_slope(k),
    "exp": lambda k, a, b: k,
    "log": lambda k, a, b: float(np.divide(1.0, k)),
    "erf": lambda k, a, b: 2 / math.sqrt(math.pi) * math.exp(-k * k),
}


def forward(x, kind, a, b, y):
    for i in range(x.size):
        y[i] = FUNCTIONS[kind](float(x[i]), a, b)


def backward(dy, kept, kind, a, b, dx):
    for i in range(kept.size):
        dx[i] = float(dy[i]) * DERIVATIVES[kind](float(kept[i]), a, b)
