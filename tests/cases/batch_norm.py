"""Cases of batch_norm, group norm and instance norm."""

import numpy as np

from fastdl.testing import Case


def _forward(name, x, affine=True, bench=False, residual=False, **params):
    C = x[1] if isinstance(x, tuple) else x(np.random.default_rng(0)).shape[1]
    arrays = {"x": x, "weight": (C,) if affine else None, "bias": (C,) if affine else None}
    if residual:
        arrays["residual"] = x
    return Case(name, "batch_norm_forward", arrays, params, K=16, bench=bench)


def _stats(B, G):
    def make(rng):
        return np.stack([0.5 + rng.random((B, G)), 0.5 + rng.random((B, G)), 1e-8 * rng.standard_normal((B, G))])

    return make


def _backward(name, x, affine=True, bench=False, y=False, groups=None, **params):
    N, C = x[:2]
    B, G = (1, C) if groups is None else (N, groups)
    arrays = {
        "dy": x,
        "x": x,
        "weight": (C,) if affine else None,
        "bias": (C,) if affine else None,
        "stats": _stats(B, G),
    }
    if y:
        arrays["y"] = x
    K = max(16, int(np.prod(x)) // C)
    return Case(name, "batch_norm_backward", arrays, {"groups": groups, **params}, K=K, bench=bench)


def _far_from_zero(rng):
    """Mean 1e4 and deviation 1: the naive formula E[x^2] - E[x]^2 has no digit left in float32."""
    return 1e4 + rng.standard_normal((6, 5, 7, 3))


def _constant(rng):
    return np.full((4, 3, 5, 2), 7.25)


def _outlier(rng):
    x = rng.standard_normal((40, 20))
    x[0] = 1e5
    return x


def _with_nan(rng):
    x = rng.standard_normal((4, 3, 2, 2))
    x[1, 1, 0, 1] = np.nan
    return x


CASES = [
    _forward("one element a channel", (1, 3)),
    _forward("matrix", (7, 13)),
    _forward("sequence", (3, 5, 11)),
    _forward("image", (2, 5, 3, 7), act="relu"),
    _forward("volume", (2, 3, 2, 3, 2)),
    _forward("no weight", (3, 17, 5), affine=False),
    _forward("residual and relu", (2, 33, 3, 5), residual=True, act="relu"),
    _forward("residual", (2, 64, 2, 3), residual=True),
    _forward("one channel", (3, 1, 9, 5), act="relu"),
    _forward("many rows", (37, 6, 5, 5), act="relu"),
    _forward("many channels", (3, 131, 2, 2)),
    _forward("empty batch", (0, 3, 2, 2)),
    _forward("far from zero", _far_from_zero),
    _forward("constant", _constant),
    _forward("outlier", _outlier),
    _forward("NaN", _with_nan, act="relu"),
    _forward("two groups", (3, 6, 5, 4), groups=2),
    _forward("one group", (2, 5, 3, 3), groups=1, act="relu"),
    _forward("instances", (3, 4, 5, 5), groups=4, affine=False),
    _forward("groups of sequences", (2, 20, 19), groups=5, residual=True),
    Case(
        "given statistics",
        "batch_norm_forward",
        {"x": (3, 10, 4, 5), "weight": (10,), "bias": (10,), "stats": _stats(1, 10)},
        {"act": "relu"},
        K=4,
    ),
    _backward("one element a channel", (1, 3)),
    _backward("matrix", (7, 13)),
    _backward("sequence", (3, 5, 11), act="relu"),
    _backward("image", (2, 5, 3, 7), act="relu"),
    _backward("no weight", (3, 17, 5), affine=False),
    _backward("residual and relu", (2, 33, 3, 5), act="relu", y=True, with_residual=True),
    _backward("residual", (2, 64, 2, 3), with_residual=True),
    _backward("mask of a given y", (3, 7, 4, 3), act="relu", y=True),
    _backward("many rows", (37, 6, 5, 5), act="relu"),
    _backward("many channels", (3, 131, 2, 2)),
    _backward("empty batch", (0, 3, 2, 2)),
    _backward("two groups", (3, 6, 5, 4), groups=2, act="relu"),
    _backward("instances", (3, 4, 5, 5), groups=4, affine=False),
    _backward("given statistics", (3, 10, 4, 5), given=True, act="relu"),
    _forward("resnet stage 1", (32, 64, 56, 56), act="relu", bench=True),
    _forward("resnet stage 4", (8, 2048, 7, 7), act="relu", residual=True, bench=True),
    _forward("lenet", (64, 6, 24, 24), bench=True),
    _forward("group norm", (8, 64, 56, 56), groups=32, bench=True),
    _forward("past the caches, folded rows", (5, 24, 187, 187), residual=True, bench=True),
    _backward("resnet stage 1", (32, 64, 56, 56), act="relu", bench=True),
    _backward("resnet stage 4", (8, 2048, 7, 7), act="relu", y=True, with_residual=True, bench=True),
    _backward("past the caches, folded rows", (5, 24, 187, 187), act="relu", y=True, with_residual=True, bench=True),
    _backward("group norm", (8, 64, 56, 56), groups=32, bench=True),
]
