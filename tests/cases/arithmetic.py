"""Cases of arithmetic: every op; operands of one shape, and one that repeats."""

import numpy as np

from fastdl.kernels.arithmetic import OPS
from fastdl.testing import Case


def _special(rng):
    return np.array([np.nan, np.inf, -np.inf, 1.0, -0.0, 0.0, np.inf])


def _pair(name, x, y, op, **more):
    return Case(name, "arithmetic_forward", {"x": x, "y": y}, {"op": op}, kernel="arithmetic", **more)


CASES = [
    case
    for op in OPS
    for case in (
        _pair(f"{op}, same shape", (3, 5, 7), (3, 5, 7), op),
        _pair(f"{op}, images", (2, 3, 5, 4), (2, 3, 5, 4), op),
        _pair(f"{op}, rows", (5, 3, 19), (19,), op),
        _pair(f"{op}, trailing axes", (4, 3, 70), (3, 70), op),
        _pair(f"{op}, one number", (5, 41), (), op),
        _pair(f"{op}, 0-d", (), (), op),
        _pair(f"{op}, empty", (0, 3), (3,), op),
        _pair(f"{op}, several chunks", (3, 41, 131), (41, 131), op),
        _pair(f"{op}, several chunks of one shape", (33, 1031), (33, 1031), op),
        _pair(f"{op}, NaN and inf", _special, lambda rng: _special(rng)[::-1].copy(), op),
        _pair(f"{op}, 4 MB", (1024, 1024), (1024, 1024), op, bench=True),
        _pair(f"{op}, 2 MB and rows", (1024, 512), (512,), op, bench=True),
    )
]
