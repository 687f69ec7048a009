"""Cases of layer_norm and RMS norm."""

import numpy as np

from fastdl.testing import Case


def _forward(name, x, affine=True, bench=False, residual=False, axes=1, **params):
    shape = x[len(x) - axes :] if isinstance(x, tuple) else x(np.random.default_rng(0)).shape[-axes:]
    arrays = {"x": x, "weight": shape if affine in (True, "weight") else None}
    arrays["bias"] = shape if affine in (True, "bias") else None
    if residual:
        arrays["residual"] = x
    return Case(name, "layer_norm_forward", arrays, {"axes": axes, **params}, K=16, bench=bench)


def _backward(name, x, affine=True, bench=False, axes=1, dsum=False, **params):
    M = int(np.prod(x[: len(x) - axes]))

    def stats(rng):
        return np.stack([0.5 + rng.random(M), 0.5 + rng.random(M), 1e-8 * rng.standard_normal(M)])

    arrays = {"dy": x, "x": x, "weight": x[len(x) - axes :] if affine else None, "stats": stats}
    if dsum:
        arrays["dsum"] = x
    return Case(name, "layer_norm_backward", arrays, {"axes": axes, **params}, K=max(16, M), bench=bench)


def _far_from_zero(rng):
    return 1e4 + rng.standard_normal((5, 77))


def _outlier(rng):
    """In a place that the first guess of the mean takes in, where it is 1e5 / 16 wrong."""
    x = rng.standard_normal((6, 300))
    x[:, 0] = 1e5
    return x


def _constant(rng):
    return np.full((3, 40), -2.5)


def _with_nan(rng):
    x = rng.standard_normal((4, 19))
    x[2, 5] = np.nan
    return x


CASES = [
    _forward("one element", (1, 1)),
    _forward("primes", (7, 13)),
    _forward("three axes", (2, 3, 5)),
    _forward("last two axes", (4, 3, 5), axes=2),
    _forward("all axes", (6, 7), axes=2),
    _forward("no weight", (5, 33), affine=False),
    _forward("weight alone", (5, 33), affine="weight"),
    _forward("bias alone", (5, 33), affine="bias"),
    _forward("residual", (9, 67), residual=True),
    _forward("an outlier in each row", _outlier),
    _forward("no rows", (0, 8)),
    _forward("long row", (2, 4099)),
    _forward("far from zero", _far_from_zero),
    _forward("constant", _constant),
    _forward("NaN", _with_nan),
    _forward("rms", (6, 37), affine="weight", rms=True),
    _forward("rms, residual", (6, 37), affine="weight", rms=True, residual=True),
    _backward("one element", (1, 1)),
    _backward("primes", (7, 13)),
    _backward("last two axes", (4, 3, 5), axes=2),
    _backward("no weight", (5, 33), affine=False),
    _backward("no rows", (0, 8)),
    _backward("many rows", (71, 9)),
    _backward("long row", (2, 4099)),
    _backward("sum used elsewhere", (9, 67), dsum=True),
    _backward("dx alone", (6, 20), with_weight=False, with_bias=False),
    _backward("rms", (6, 37), rms=True, with_bias=False),
    _forward("bert", (1024, 768), bench=True),
    _forward("bert, residual", (1024, 768), residual=True, bench=True),
    _forward("small rows", (8192, 64), bench=True),
    _backward("bert", (1024, 768), bench=True),
    _backward("small rows", (8192, 64), bench=True),
]
