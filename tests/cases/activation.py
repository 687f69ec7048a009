"""Cases of activation: every kind, both ways."""

import numpy as np

from fastdl.kernels.activation import KINDS
from fastdl.testing import Case

PARAMETERS = {
    "leaky_relu": {"a": 0.2},
    "elu": {"a": 1.67, "b": 1.05},
    "hardtanh": {"a": -0.5, "b": 2.0},
    "softplus": {"a": 2.0, "b": 5.0},
}


def _numbers(kind, shape=(3, 7, 19)):
    """Normal numbers and, in the first places, zero, both sides of every kink, and large ones."""

    def make(rng):
        x = 2 * rng.standard_normal(shape)
        special = [0.0, -3.5, 3.5, 30.0, -30.0, 200.0, -200.0, 1e-3, -1e-3]
        x.reshape(-1)[: len(special)] = special
        return np.abs(x) + 1e-3 if kind == "log" else np.clip(x, None, 80.0) if kind == "exp" else x

    return make


def _kept(kind):
    def make(rng):
        x = _numbers(kind)(rng)
        if kind in ("sigmoid", "exp"):
            return 1 / (1 + np.exp(-x))
        return np.tanh(x) if kind == "tanh" else x

    return make


def _special(rng):
    return np.array([np.nan, np.inf, -np.inf, 1.0, -1.0, 0.0])


CASES = [
    case
    for kind in KINDS
    for case in (
        Case(kind, "activation_forward", {"x": _numbers(kind)}, {"kind": kind, **PARAMETERS.get(kind, {})}, K=4),
        Case(
            kind,
            "activation_backward",
            {"dy": (3, 7, 19), "kept": _kept(kind)},
            {"kind": kind, **PARAMETERS.get(kind, {})},
            K=16,  # exp of a rounded argument of up to 10 loses a digit
        ),
        Case(f"{kind} of NaN and inf", "activation_forward", {"x": _special}, {"kind": kind}, K=4),
    )
]
CASES += [
    Case("empty", "activation_forward", {"x": (0, 3)}, {"kind": "relu"}),
    Case("one number", "activation_forward", {"x": ()}, {"kind": "tanh"}, K=4),
    Case("one element", "activation_backward", {"dy": (1,), "kept": (1,)}, {"kind": "gelu"}, K=4),
    Case("several chunks", "activation_forward", {"x": (16390,)}, {"kind": "relu"}),
]
for kind in ("relu", "gelu", "silu", "tanh", "sigmoid"):
    shape = (32, 64, 56, 56) if kind == "relu" else (1024, 3072)
    CASES.append(Case(f"{kind}, large", "activation_forward", {"x": shape}, {"kind": kind}, K=4, bench=True))
    CASES.append(
        Case(f"{kind}, large", "activation_backward", {"dy": shape, "kept": shape}, {"kind": kind}, K=4, bench=True)
    )
