"""Cases of optim_step: four parameters of different sizes, one of them a number, one empty, one step."""

from contextlib import nullcontext

import numpy as np

from fastdl import kernels
from fastdl.testing import Case

SHAPES = [(3, 5, 7), (), (41,), (0, 2)]
LARGE = [(1000, 1000), (1000,), (24, 1000, 1000)]


class Step(Case):
    """A Case of a kernel that writes into its arguments: it gets copies and the copies are the results."""

    def flops(self, arrays):
        n = sum(array.size for name, array in arrays.items() if name.startswith("params"))
        return (6 if self.entry == "sgd_step" else 14) * n

    def run(self, arrays, rung=None):
        lists = {}
        for name, array in arrays.items():
            stem, _, _ = name.rpartition("_")
            copy = np.array(array, order="K", copy=True)
            lists.setdefault(stem, []).append(copy)
        states = ("momenta",) if self.entry == "sgd_step" else ("means", "squares", "tops")
        with kernels.use(rung) if rung else nullcontext():
            self.function(**dict.fromkeys(states) | lists, **self.params)
        return tuple(a for name in ("params", *states) for a in lists.get(name, ()))


def _case(name, entry, states, params, shapes=SHAPES, bench=False):
    arrays = {}
    for i, shape in enumerate(shapes):
        arrays[f"params_{i}"] = arrays[f"grads_{i}"] = shape
        for state in states:
            arrays[f"{state}_{i}"] = (
                shape if state in ("momenta", "means") else lambda rng, s=shape: np.asarray(0.1 + rng.random(s))
            )
    return Step(name, entry, arrays, params, K=4, kernel="optim_step", bench=bench)


def _sgd(name, momentum=True, bench=False, shapes=SHAPES, **params):
    return _case(
        name,
        "sgd_step",
        ["momenta"] if momentum else [],
        {"lr": 0.1, "momentum": 0.9 * momentum, **params},
        shapes,
        bench,
    )


def _adam(name, amsgrad=False, bench=False, shapes=SHAPES, **params):
    states = ["means", "squares", "tops"] if amsgrad else ["means", "squares"]
    return _case(name, "adam_step", states, {"step": 3, "lr": 0.01, **params}, shapes, bench)


CASES = [
    _sgd("plain", momentum=False),
    _sgd("weight decay", momentum=False, decay=0.1, maximize=True),
    _sgd("momentum", dampening=0.3),
    _sgd("first step", first=True, dampening=0.3),
    _sgd("nesterov", nesterov=True, decay=0.01),
    _adam("plain"),
    _adam("weight decay", decay=0.1, maximize=True),
    _adam("decoupled weight decay", decay=0.1, decoupled=True),
    _adam("amsgrad", amsgrad=True),
    _adam("eps inside the root", eps_inside=True, eps=1e-3),
    _adam("eps inside the root, amsgrad", amsgrad=True, eps_inside=True, eps=1e-3),
    _adam("several chunks", shapes=[(33, 1001), (2,)]),
    _adam("25 million parameters", shapes=LARGE, bench=True),
    _sgd("25 million parameters", shapes=LARGE, bench=True),
]
