"""Cases of optim_step: four parameters of different sizes, one of them a number, one empty, one step."""

from contextlib import nullcontext
from functools import partial

import numpy as np

from fastdl import kernels
from fastdl.testing import Case

SHAPES = [(3, 5, 7), (), (41,), (0, 2)]
LARGE = [(1000, 1000), (1000,), (24, 1000, 1000)]
MANY_CHUNKS = [(300, 1000), (1000,), (3, 250, 1000)]  # the same for a test: rows shorter and much longer than a chunk
ROWS = [(3, 5, 7), (19, 33), (41,), (1, 6), (5, 1), (0, 2), ()]  # with output channels, for AdamP and SGDP
# entry -> its states in the order of the arguments, and the FLOPs a parameter
ENTRIES = {
    "sgd_step": (("momenta",), 6),
    "nag_step": (("momenta",), 6),
    "adam_step": (("means", "squares", "tops"), 14),
    "nadam_step": (("means", "squares"), 15),
    "radam_step": (("means", "squares"), 13),
    "adamax_step": (("means", "tops"), 9),
    "adagrad_step": (("sums",), 8),
    "adadelta_step": (("squares", "deltas"), 14),
    "rmsprop_step": (("squares", "means", "momenta"), 14),
    "adamp_step": (("means", "squares"), 22),
    "sgdp_step": (("momenta",), 16),
}
POSITIVE = ("squares", "tops", "sums", "deltas")


class Step(Case):
    """A Case of a kernel that writes into its arguments: it gets copies and the copies are the results."""

    def flops(self, arrays):
        return ENTRIES[self.entry][1] * sum(array.size for name, array in arrays.items() if name.startswith("params"))

    def run(self, arrays, rung=None):
        lists = {}
        for name, array in arrays.items():
            stem, _, _ = name.rpartition("_")
            copy = np.array(array, order="K", copy=True)
            lists.setdefault(stem, []).append(copy)
        states = ENTRIES[self.entry][0]
        with kernels.use(rung) if rung else nullcontext():
            self.function(**dict.fromkeys(states) | lists, **self.params)
        return tuple(a for name in ("params", *states) for a in lists.get(name, ()))


def _step(name, entry, without=(), shapes=SHAPES, bench=False, K=4, test_as=None, **params):
    """`without`: states that are None."""
    arrays = {}
    for i, shape in enumerate(shapes):
        arrays[f"params_{i}"] = arrays[f"grads_{i}"] = shape
        for state in ENTRIES[entry][0]:
            if state not in without:
                arrays[f"{state}_{i}"] = shape
                if state in POSITIVE:  # RMSprop's is above the square of any mean
                    least = 12.0 if entry == "rmsprop_step" else 0.1
                    arrays[f"{state}_{i}"] = lambda rng, s=shape, a=least: np.asarray(a + rng.random(s))
    return Step(name, entry, arrays, params, K=K, kernel="optim_step", bench=bench, test_as=test_as)


def _sgd(name, momentum=True, **params):
    without = () if momentum else ("momenta",)
    return _step(name, "sgd_step", without, **{"lr": 0.1, "momentum": 0.9 * momentum, **params})


def _adam(name, amsgrad=False, **params):
    return _step(name, "adam_step", () if amsgrad else ("tops",), **{"step": 3, "lr": 0.01, **params})


def _moments(name, entry, **params):
    return _step(name, entry, **{"step": 3, "lr": 0.01, **params})


def _rms(name, *without, **params):
    return _step(name, "rmsprop_step", without, **{"lr": 0.01, **params})


CASES = [
    _sgd("plain", momentum=False),
    _sgd("weight decay", momentum=False, decay=0.1, maximize=True),
    _sgd("momentum", dampening=0.3),
    _sgd("first step", first=True, dampening=0.3),
    _sgd("nesterov", nesterov=True, decay=0.01),
    _step("look-ahead", "nag_step", lr=0.1, momentum=0.8),
    _step("look-ahead, weight decay", "nag_step", lr=0.1, decay=0.1, maximize=True),
    _adam("plain"),
    _adam("weight decay", decay=0.1, maximize=True),
    _adam("decoupled weight decay", decay=0.1, decoupled=True),
    _adam("amsgrad", amsgrad=True),
    _adam("eps inside the root", eps_inside=True, eps=1e-3),
    _adam("eps inside the root, amsgrad", amsgrad=True, eps_inside=True, eps=1e-3),
    _adam("several chunks", shapes=[(33, 1001), (2,)]),
    _moments("plain", "nadam_step", mean_weight=0.7, grad_weight=0.2),
    _moments("weight decay", "nadam_step", mean_weight=0.7, grad_weight=0.2, decay=0.1, maximize=True),
    _moments("decoupled weight decay", "nadam_step", mean_weight=0.7, grad_weight=0.2, decay=0.1, decoupled=True),
    _moments("momentum only", "radam_step", decay=0.1, maximize=True),
    _moments("rectified", "radam_step", step=9, decay=0.1, decoupled=True),
    _moments("rectified from 4 on", "radam_step", step=5, threshold=4),
    _moments("no step yet", "radam_step", degenerated_to_sgd=False, decay=0.1),
    _moments("plain", "adamax_step"),
    _moments("weight decay", "adamax_step", decay=0.1, maximize=True),
    _step("plain", "adagrad_step", lr=0.1),
    _step("eps inside the root", "adagrad_step", lr=0.1, eps=1e-2, eps_inside=True, decay=0.1, maximize=True),
    _step("plain", "adadelta_step"),
    _step("weight decay", "adadelta_step", lr=0.5, rho=0.8, eps=1e-3, decay=0.1, maximize=True),
    _rms("plain", "means", "momenta"),
    _rms("weight decay", "means", "momenta", decay=0.1, maximize=True),
    _rms("momentum", "means", momentum=0.9),
    _rms("eps inside the root, momentum", "means", momentum=0.9, eps=1e-2, eps_inside=True),
    _rms("centered", "momenta", alpha=0.9),
    _rms("centered, momentum", alpha=0.9, momentum=0.5, eps=1e-2, eps_inside=True),
    # delta decides: 0 projects nothing, 10 every row, and between them the rows or the whole may be projected
    *(
        _step(f"{kind}, {name}", f"{kind}_step", shapes=ROWS, K=64, lr=0.1, decay=0.1, **states, **more)
        for kind, states in (("adamp", {"step": 3}), ("sgdp", {"momentum": 0.8}))
        for name, more in (
            ("nothing projected", {"delta": 0.0}),
            ("rows projected", {"delta": 100.0}),
            ("nesterov", {"delta": 100.0, "nesterov": True, "maximize": True}),
            ("some projected", {"delta": 0.9}),
        )
    ),
    _step(
        "rows longer than a chunk", "adamp_step", shapes=[(3, 20000), (40, 500)], K=20000, step=3, lr=0.1, delta=100.0
    ),
    *(
        make(
            "25 million parameters",
            shapes=LARGE,
            bench=True,
            test_as=make("many chunks", shapes=MANY_CHUNKS, bench=True),
        )
        for make in (
            _adam,
            _sgd,
            partial(_step, entry="rmsprop_step", without=("means", "momenta"), lr=0.01),
            partial(_step, entry="adamp_step", K=250_000, step=3, lr=0.01, delta=0.1),
        )
    ),
]
