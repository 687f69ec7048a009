"""Cases of softmax and log softmax."""

import numpy as np

from fastdl.testing import Case


def _forward(name, x, axis=-1, bench=False, **params):
    K = max(16, x[axis]) if isinstance(x, tuple) else 16
    return Case(name, "softmax_forward", {"x": x}, {"axis": axis, **params}, K=K, bench=bench)


def _backward(name, shape, axis=-1, bench=False, log=False):
    def y(rng):
        logits = rng.standard_normal(shape)
        p = np.exp(logits)
        p /= p.sum(axis, keepdims=True)
        return np.log(p) if log else p

    params = {"axis": axis, "log": log}
    return Case(name, "softmax_backward", {"dy": shape, "y": y}, params, K=max(16, shape[axis]), bench=bench)


def _huge(rng):
    return 1e4 * rng.choice([-1.0, 1.0], size=(6, 19))


def _infinite(rng):
    x = rng.standard_normal((5, 23))
    x[0, 3] = -np.inf
    x[1, :] = -np.inf
    x[2, 22] = np.inf
    x[3, 7] = np.nan
    return x


CASES = [
    _forward("one element", (1, 1)),
    _forward("rows", (7, 13)),
    _forward("rows, log", (7, 13), log=True),
    _forward("vector", (37,)),
    _forward("middle axis", (3, 5, 33), axis=1),
    _forward("middle axis, log", (3, 5, 33), axis=1, log=True),
    _forward("first axis", (11, 4, 3), axis=0),
    _forward("first axis, log, wide", (3, 131), axis=0, log=True),
    _forward("no rows", (0, 4)),
    _forward("no columns", (4, 0)),
    _forward("long rows", (2, 4100)),
    _forward("long rows, log", (2, 4100), log=True),
    _forward("huge", _huge),
    _forward("huge, log", _huge, log=True),
    _forward("infinite", _infinite),
    _forward("infinite, log", _infinite, log=True),
    _forward("infinite, first axis", lambda rng: _infinite(rng).T, axis=0),
    _backward("rows", (7, 13)),
    _backward("rows, log", (7, 13), log=True),
    _backward("middle axis", (3, 5, 33), axis=1),
    _backward("middle axis, log", (3, 5, 33), axis=1, log=True),
    _backward("long rows", (2, 4100)),
    _backward("no rows", (0, 4)),
    _forward("attention scores", (6144, 128), bench=True),
    _forward("language model", (700, 10000), log=True, bench=True),
    _forward("segmentation", (4, 21, 128, 128), axis=1, bench=True),
    _backward("attention scores", (6144, 128), bench=True),
]
