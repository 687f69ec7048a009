"""Cases of dropout."""

import numpy as np

from fastdl.testing import Case


def _drop(name, x, p, seed=11, bench=False, **params):
    return Case(name, "dropout_forward", {"x": x}, {"p": p, "seed": seed, **params}, bench=bench)


def _with_nan(rng):
    x = rng.standard_normal(70)
    x[[1, 65]], x[[2, 66]] = np.nan, np.inf
    return x


CASES = [
    _drop("one element", (1,), 0.5),
    _drop("no axes", (), 0.5, seed=0),
    _drop("empty", (0, 3), 0.5),
    _drop("half a group", (5, 7), 0.5),
    _drop("groups and a bit", (3, 5, 17), 0.3, seed=2**63 + 5, offset=2**33 + 1),
    _drop("nothing", (4, 33), 0.0),
    _drop("everything", (4, 33), 1.0),
    _drop("rarely", (2, 70), 0.01),
    Case("NaN and inf", "dropout_forward", {"x": _with_nan}, {"p": 0.4, "seed": 1}),
    _drop("32x64x28x28", (32, 64, 28, 28), 0.5, bench=True),
]
