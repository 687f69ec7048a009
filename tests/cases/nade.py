"""Cases of nade: binary and real inputs, one and several outputs, sigmoid and scaled ReLU, sizes off every tile."""

import numpy as np

from fastdl.testing import Case


def _bits(B, D):
    return lambda rng: (rng.random((B, D)) < 0.3).astype(np.float64)


def _forward(name, B, D, H, O=1, rho=False, real=False, bench=False):
    arrays = {"x": (B, D) if real else _bits(B, D), "w": (H, D), "v": (D, O, H), "b": (D, O), "c": (H,)}
    if rho:
        arrays["rho"] = lambda rng: 0.5 + rng.random(D)
    return Case(name, "nade_forward", arrays, K=8 * H + D, bench=bench)


def _backward(name, B, D, H, O=1, rho=False, real=False, bench=False):
    def last(rng):  # a_D, such that no a_i is near 0: relu's kink is no place to compare
        return np.sign(rng.standard_normal((B, H))) * (0.4 * D + rng.random((B, H)) if rho else rng.random((B, H)))

    arrays = {
        "dy": (B, D, O),
        "x": (B, D) if real else _bits(B, D),
        "w": lambda rng: rng.uniform(-0.1, 0.1, (H, D)) if rho else rng.uniform(-1, 1, (H, D)),
        "v": (D, O, H),
        "a": last,
    }
    if rho:
        arrays["rho"] = lambda rng: 0.5 + rng.random(D)
    return Case(name, "nade_backward", arrays, K=8 * B * D * O, factor=8.0, bench=bench, kernel="nade")


CASES = [
    _forward("one of everything", 1, 1, 1),
    _forward("bits", 3, 7, 5),
    _forward("two tiles of rows, two blocks of units", 11, 5, 70),
    _forward("real numbers, six outputs, relu", 9, 4, 13, O=6, rho=True, real=True),
    _forward("no rows", 0, 3, 4),
    Case(
        "bits", "nade_sample", {"u": lambda rng: rng.random((5, 6)), "w": (9, 6), "v": (6, 1, 9), "b": (6, 1), "c": (9,)}, K=64,
        kernel="nade",
    ),
    _backward("one of everything", 1, 1, 1),
    _backward("bits", 3, 7, 5),
    _backward("two tiles of rows, two blocks of units", 35, 4, 70),
    _backward("real numbers, six outputs, relu", 9, 4, 13, O=6, rho=True, real=True),
    _backward("no rows", 0, 3, 4),
    _forward("28x28 digits, 500 units", 100, 784, 500, bench=True),
    _backward("28x28 digits, 500 units", 100, 784, 500, bench=True),
]  # fmt: skip
