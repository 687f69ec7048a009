"""Which rungs a kernel has, and which one is chosen.

A rung is a module `<kernel>_<rung>` in this folder with the functions of the contract (`forward`, `backward_x`, ...),
`out` last. It may set DTYPES (names; float32 and float64 by default). The chosen rung is FASTDL_BACKEND, or the best
there is; where it is missing, or does not take the dtype, the next rung in FALLBACK serves, with one log line, or an
error under FASTDL_STRICT=1.
"""

import importlib
import importlib.util
import logging
import os
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

RUNGS = ("naive", "numpy", "numba", "cython")
FALLBACK = {"cython": ("numpy", "naive"), "numba": ("numpy", "naive"), "numpy": ("naive",), "naive": ("numpy",)}
DEFAULT = "cython"

log = logging.getLogger("fastdl")
log.addHandler(logging.NullHandler())

_chosen: dict[str, str] = {}  # kernel -> rung; "" is every kernel without an entry of its own
_resolved: dict[tuple, object] = {}  # (kernel, dtype) -> module
_latest: dict[
    str, tuple
] = {}  # kernel -> (dtype, module) of the latest call: asked first, as hashing a dtype takes long


@cache
def names() -> tuple[str, ...]:
    """Every kernel that has a contract in this folder."""
    here = Path(__file__).parent
    files = {p.name.split(".")[0] for p in here.iterdir() if p.suffix in (".py", ".so", ".pyd")}
    return tuple(sorted(f for f in files if not f.startswith("_") and f.rpartition("_")[2] not in RUNGS))


@cache
def _module(kernel: str, rung: str):
    """The module of a rung, or the reason (a string) why there is none."""
    name = f"fastdl.kernels.{kernel}_{rung}"
    if importlib.util.find_spec(name) is None:
        return "no compiled kernels in this install" if rung == "cython" else "not written"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        return f"needs {error.name or error}"


def _takes(module, dtype) -> bool:
    return dtype.name in getattr(module, "DTYPES", ("float32", "float64"))


def implementation(kernel: str, dtype):
    """The module that computes `kernel` for this NumPy dtype under the present choice."""
    latest = _latest.get(kernel)
    if latest is not None and latest[0] is dtype:
        return latest[1]
    module = _resolved.get((kernel, dtype))
    if module is None:
        module = _resolve(kernel, dtype)
    _latest[kernel] = (dtype, module)
    return module


def _resolve(kernel, dtype):
    wanted = backend(kernel)
    for rung in (wanted, *FALLBACK[wanted]):
        module = _module(kernel, rung)
        if isinstance(module, str):
            reason = module
        elif _takes(module, dtype):
            _resolved[kernel, dtype] = module
            return module
        else:
            reason = f"does not take {dtype}"
        message = f"{kernel}: rung {rung!r} {reason}"
        if os.environ.get("FASTDL_STRICT") == "1":
            raise RuntimeError(f"{message} (FASTDL_STRICT=1 forbids using another)")
        log.info("%s; using the next", message)
    raise TypeError(f"{kernel}: no rung takes {dtype}; use float32 or float64")


def backend(kernel: str = "") -> str:
    """The rung chosen for `kernel` (for all, when left out)."""
    rung = _chosen.get(kernel) or _chosen.get("")
    if rung is None:
        rung = os.environ.get("FASTDL_BACKEND") or DEFAULT
        _check(rung, "FASTDL_BACKEND")
    return rung


def _check(rung, where):
    if rung not in RUNGS:
        raise ValueError(f"{where}: unknown rung {rung!r}; choose one of {', '.join(RUNGS)}")


def _forget():
    """What was resolved, as the choice changes."""
    _resolved.clear()
    _latest.clear()


class use(AbstractContextManager):
    """Choose the rung of every kernel, or of one: `use("numba")`, `use("numpy", "conv2d")`.

    It takes effect at once; as a context manager it is undone at the end of the block:

    >>> with use("numpy"):
    ...     backend()
    'numpy'
    """

    def __init__(self, rung: str, kernel: str = ""):
        _check(rung, "use()")
        if kernel and kernel not in names():
            raise ValueError(f"use(): unknown kernel {kernel!r}; there are {', '.join(names())}")
        self._before = dict(_chosen)
        if kernel:
            _chosen[kernel] = rung
        else:
            _chosen.clear()
            _chosen[""] = rung
        _forget()

    def __exit__(self, *exc):
        _chosen.clear()
        _chosen.update(self._before)
        _forget()


class Table(list):
    """Rows of (kernel, rung, state); prints as a table."""

    def __repr__(self):
        rungs = {}
        for kernel, rung, state in self:
            rungs.setdefault(kernel, {})[rung] = state
        lines = [f"{'kernel':<24}" + "".join(f"{r:<12}" for r in RUNGS)]
        for kernel, states in rungs.items():
            cells = ("[" + states[r] + "]" if r == backend(kernel) and states[r] == "yes" else states[r] for r in RUNGS)
            lines.append(f"{kernel:<24}" + "".join(f"{c[:11]:<12}" for c in cells))
        return "\n".join(lines)


def table() -> Table:
    """Every kernel x rung: "yes", or why not. The chosen rung prints in brackets."""
    rows = Table()
    for kernel in names():
        for rung in RUNGS:
            module = _module(kernel, rung)
            rows.append((kernel, rung, module if isinstance(module, str) else "yes"))
    return rows
