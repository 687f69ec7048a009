"""Lecture 2: activations. Derivatives, saturation, and what the kernels save."""

import time

import numpy as np

from fastdl import kernels, nn
from fastdl.autograd import Tensor
from fastdl.gates import Claim, gate

SMOOTH = {
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
    "Softplus": nn.Softplus,
    "GELU": nn.GELU,
    "GELU (tanh)": lambda: nn.GELU("tanh"),
    "SiLU": nn.SiLU,
    "Mish": nn.Mish,
    "LogSigmoid": nn.LogSigmoid,
    "Tanhshrink": nn.Tanhshrink,
}
KINKED = {  # a derivative of some order jumps
    "ELU": nn.ELU,
    "CELU": nn.CELU,
    "SELU": nn.SELU,
    "Softsign": nn.Softsign,
    "ReLU": nn.ReLU,
    "ReLU6": nn.ReLU6,
    "LeakyReLU": nn.LeakyReLU,
    "PReLU": nn.PReLU,
    "Hardtanh": nn.Hardtanh,
    "Hardsigmoid": nn.Hardsigmoid,
    "Hardswish": nn.Hardswish,
    "Hardshrink": nn.Hardshrink,
    "Softshrink": nn.Softshrink,
    "Threshold": lambda: nn.Threshold(0.1, 0.0),
    "Maxout": lambda: nn.Maxout(2),
    "GLU": lambda: nn.GLU(1),
}
# the slope at 10 and at -10, to three digits: what saturates, and on which side
SATURATION = {
    "Sigmoid": (4.54e-5, 4.54e-5),
    "Tanh": (8.24e-9, 8.24e-9),
    "ReLU": (1.0, 0.0),
    "LeakyReLU": (1.0, 0.01),
    "ELU": (1.0, 4.54e-5),
    "SELU": (1.05, 7.98e-5),
    "Softplus": (1.0, 4.54e-5),
    "GELU": (1.0, 0.0),
    "SiLU": (1.0, -4.09e-4),
    "Mish": (1.0, -4.09e-4),
    "Softsign": (8.26e-3, 8.26e-3),
}


@gate(entry=9, name="activations")
def activations(seed=0, smoke=False):
    """The slope of every activation against central differences in float64, at +-10 against the table of saturation, at 0 for
    ReLU, at +-1e4 for finiteness; GELU forward and backward on the C kernel against NumPy, in time."""
    every = {**SMOOTH, **KINKED}
    errors = {name: _slope_error(make(), seed, name in KINKED) for name, make in every.items()}
    table = max(
        abs(_slope(every[name](), at, np.float64) - want) / (abs(want) or 1)
        for name, pair in SATURATION.items()
        for at, want in zip((10.0, -10.0), pair, strict=True)
    )
    of_one = [make for name, make in every.items() if name not in ("Maxout", "GLU")]  # those take two numbers for one
    huge = sum(not np.isfinite(_slope(make(), at)) for make in of_one for at in (1e4, -1e4))
    seconds = {rung: _seconds(rung, 100_000 if smoke else 2_000_000) for rung in ("numpy", "cython")}
    return [
        Claim(
            f"largest error of a slope against differences, {len(every)} activations", max(errors.values()), "<", 1e-8
        ),
        Claim("largest relative error of the table of slopes at +-10 (three digits)", table, "<", 5e-3),
        Claim("slope of ReLU at 0", _slope(nn.ReLU(), 0.0), "==", 0.0),
        Claim("slopes that are not finite at +-1e4", huge, "==", 0),
        Claim(
            "GELU forward and backward, how many times as fast as the NumPy rung",
            seconds["numpy"] / seconds["cython"],
            ">=",
            2.0,
            ("NumPy rung, ns a number", 1e9 * seconds["numpy"] / (100_000 if smoke else 2_000_000)),
        ),
    ]


def _slope(layer, at, dtype=np.float32):
    """The derivative at a number."""
    x = Tensor(np.full((1, 1), at, dtype), requires_grad=True)
    layer.to(dtype)(x).sum().backward()
    return float(x.grad.array[0, 0])


def _slope_error(layer, seed, kinked):
    """Differences of fourth order; numbers that lie next to a kink of any of them are left out."""
    rng = np.random.default_rng(seed)
    a = rng.uniform(-5, 5, (200, 4))
    if kinked:
        a = np.round(a, 1) + 0.05 * rng.uniform(0.4, 0.6, a.shape)  # kinks lie at multiples of 0.1
        a[:, 1::2] = a[:, ::2] - 0.3 * rng.choice([-1, 1], (200, 2))  # nor are two neighbours equal
    x = Tensor(a, requires_grad=True)
    layer = layer.double()
    layer(x).sum().backward()
    h = 1e-3
    difference = np.zeros_like(a)
    for k, weight in ((1, 2 / 3), (2, -1 / 12)):
        for c in range(4):
            moved = [a.copy(), a.copy()]
            moved[0][:, c] += k * h
            moved[1][:, c] -= k * h
            up, down = (layer(Tensor(m)).array.sum(1) for m in moved)
            difference[:, c] += weight * (up - down) / h
    return float(np.abs(difference - x.grad.array).max())


def _seconds(rung, size):
    """The best of some runs of GELU and its backward on `size` numbers."""
    x = Tensor(np.linspace(-4, 4, size, dtype=np.float32), requires_grad=True)
    weight = Tensor(np.ones(size, np.float32))
    best = np.inf
    with kernels.use(rung, "activation"):
        for _ in range(4):
            x.grad = None
            began = time.perf_counter()
            nn.functional.gelu(x).backward(weight)
            best = min(best, time.perf_counter() - began)
    return best
