"""What every entry of the course must prove: a number on data that was not learned from, beside a baseline and a bound.

One file a topic, lecture<N>_<topic>.py; each function in it that is marked with `gate` trains or measures something and
returns its claims:

    @gate(entry=10, name="mlp_digits")
    def mlp_digits(seed=0, smoke=False):
        "A perceptron 784-256-128-10 on MNIST 5k, judged on its test part."
        ...
        return [Claim("test accuracy", accuracy, ">=", 0.925, baseline=("logistic regression", 0.906))]

`fastdl gate mlp_digits` runs one, `fastdl report lectures 1-3` all of these lectures. With smoke=True a gate is cut to some
seconds and makes weaker claims, which can fail all the same; the tests run these.
"""

import importlib
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Claim", "Gate", "Outcome", "find", "gate", "gates"]

COMPARE = {
    ">=": lambda value, bound: value >= bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    "<": lambda value, bound: value < bound,
    "==": lambda value, bound: value == bound,
}


@dataclass(frozen=True)
class Claim:
    """`what` is `value`, which must stand in `relation` (>=, <=, >, <, ==) to `bound`; baseline is (its name, its value)."""

    what: str
    value: float
    relation: str
    bound: float
    baseline: tuple[str, float] | None = None

    def __post_init__(self):
        if self.relation not in COMPARE:
            raise ValueError(
                f"Claim {self.what!r}: relation must be one of {', '.join(COMPARE)}; got {self.relation!r}"
            )

    @property
    def holds(self) -> bool:
        """A value that is not a number never holds."""
        return not math.isnan(self.value) and COMPARE[self.relation](self.value, self.bound)

    def __str__(self):
        beside = f"; {self.baseline[0]}: {self.baseline[1]:.4g}" if self.baseline else ""
        return f"{self.what}: {self.value:.4g} ({self.relation} {self.bound:.4g}{beside})"


@dataclass(frozen=True)
class Gate:
    """A function that proves an entry of the course."""

    entry: int
    name: str
    lecture: int
    function: Callable

    @property
    def about(self) -> str:
        return " ".join((self.function.__doc__ or "").split())

    def run(self, seed: int = 0, smoke: bool = False) -> "Outcome":
        from fastdl.random import manual_seed

        manual_seed(seed)
        began, began_cpu = time.perf_counter(), time.process_time()
        claims = list(self.function(seed=seed, smoke=smoke))
        if not claims:
            raise RuntimeError(f"gate {self.name} claims nothing")
        return Outcome(self, claims, seed, time.perf_counter() - began, time.process_time() - began_cpu)


@dataclass(frozen=True)
class Outcome:
    """What a run of a gate found, in how many seconds: of the clock, and of the CPU, which a busy machine does not stretch."""

    gate: Gate
    claims: list[Claim]
    seed: int
    seconds: float
    cpu_seconds: float

    @property
    def holds(self) -> bool:
        return all(claim.holds for claim in self.claims)


_found: dict[str, Gate] = {}


def gate(entry: int, name: str):
    """Marks a function(seed, smoke) -> claims as the proof of an entry; `name` is its name on the command line."""

    def mark(function):
        lecture = re.search(r"\.lecture(\d+)_\w+$", function.__module__)
        if lecture is None:
            raise ValueError(f"gate {name}: its file must be called lecture<N>_<topic>.py, not {function.__module__}")
        other = _found.get(name)
        if other is not None and other.function.__module__ != function.__module__:
            raise ValueError(f"two gates are called {name}: {other.function.__module__} and {function.__module__}")
        _found[name] = Gate(entry, name, int(lecture[1]), function)
        return function

    return mark


def gates(lectures=None) -> list[Gate]:
    """All gates (of the given lectures), by lecture and entry."""
    for file in sorted(Path(__file__).parent.glob("lecture*_*.py")):
        importlib.import_module(f"fastdl.gates.{file.stem}")
    chosen = (g for g in _found.values() if lectures is None or g.lecture in lectures)
    return sorted(chosen, key=lambda g: (g.lecture, g.entry, g.name))


def find(what: str) -> list[Gate]:
    """The gate of that name, or all gates of the entry of that number."""
    everything = gates()
    chosen = [g for g in everything if what in (g.name, str(g.entry))]
    if not chosen:
        names = ", ".join(g.name for g in everything)
        raise ValueError(f"no gate is called {what!r} and no entry has that number; there are: {names}")
    return chosen
