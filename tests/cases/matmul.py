"""Cases of matmul."""

import numpy as np

from fastdl.testing import Case


def _mm(name, a, b, bias=None, K=None, bench=False, **params):
    return Case(name, "matmul_forward", {"a": a, "b": b, "bias": bias}, params, K=K or a[-1], bench=bench)


def _with_nan(rng):
    a = rng.standard_normal((5, 7))
    a[1, 2], a[3, 4] = np.nan, np.inf
    return a


CASES = [
    _mm("one by one", (1, 1), (1, 1)),
    _mm("primes", (7, 13), (13, 5)),
    _mm("no rows", (0, 3), (3, 4)),
    _mm("no columns", (2, 3), (3, 0)),
    _mm("empty sum", (3, 0), (0, 4), (4,), K=1),
    _mm("one row", (1, 33), (33, 67)),
    _mm("one column", (19, 33), (33, 1)),
    _mm("bias and relu", (13, 37), (37, 41), (41,), act="relu"),
    _mm("bias", (9, 16), (16, 64), (64,)),
    _mm("tile plus one", (25, 17), (17, 65)),
    _mm("stack", (3, 4, 9, 5), (5, 6)),
    _mm("stack of both", (2, 3, 5, 7), (2, 3, 7, 4)),
    _mm("broadcast stacks", (3, 1, 5, 7), (4, 7, 6), (6,), act="relu"),
    _mm("empty stack", (0, 4, 3), (3, 2)),
    Case("NaN and inf", "matmul_forward", {"a": _with_nan, "b": (7, 3)}, K=7),
    _mm("128 cubed", (128, 128), (128, 128), bench=True),
    _mm("256 cubed", (256, 256), (256, 256), bench=True),
    _mm("1024 cubed", (1024, 1024), (1024, 1024), bench=True),
    _mm("2048 cubed", (2048, 2048), (2048, 2048), bench=True),
    _mm("mlp layer, batch 64", (64, 784), (784, 1024), bench=True),
    _mm("tall and skinny", (25088, 147), (147, 64), bench=True),
]
