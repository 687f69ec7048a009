"""Cases: one list per kernel (tests/cases/<kernel>.py) that tests, `fastdl study` and the benchmarks all read.

A Case names an entry point of the contract, the arrays it takes and its other parameters:

    CASES = [
        Case("stride 2", "conv2d_forward", {"x": (2, 3, 9, 8), "w": (4, 3, 3, 3), "b": (4,)}, {"stride": 2}, K=27),
        Case("large", "conv2d_forward", {"x": (8, 64, 56, 56), "w": (64, 64, 3, 3), "b": None}, K=576, bench=True),
    ]

An array is a shape (standard normal numbers), an array, a function of a numpy Generator, or None.
"""

import hashlib
import importlib.util
import math
import sys
import tracemalloc
import zlib
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from fastdl import kernels


@dataclass(frozen=True)
class Case:
    """One call of a contract's entry point."""

    name: str
    entry: str  # function of fastdl.kernels.<kernel>, e.g. "conv2d_backward_w"
    arrays: dict
    params: dict = field(default_factory=dict)
    K: int = 1  # length of the longest sum behind one result: the tolerance is c * eps * sqrt(K)
    factor: float = 4.0  # the c of the tolerance
    bench: bool = False  # too large for the naive rung in a test; for study and benchmarks
    kernel: str = ""  # left out: the entry without its _forward / _backward...
    test_as: "Case | None" = (
        None  # a smaller one of the same class, which the tests run in place of a case for benchmarks
    )

    def __post_init__(self):
        if not self.kernel:
            kernel = self.entry.partition("_forward")[0].partition("_backward")[0]
            object.__setattr__(self, "kernel", kernel)

    def __str__(self):
        return f"{self.entry}[{self.name}]"

    @property
    def function(self):
        return getattr(import_module(f"fastdl.kernels.{self.kernel}"), self.entry)

    def make(self, dtype="float64", seed=0) -> dict:
        """The keyword arguments of the call: floating arrays in `dtype`, all others as they are."""
        rng = np.random.default_rng(seed)
        made = {}
        for name, spec in self.arrays.items():
            if isinstance(spec, tuple):
                spec = np.asarray(rng.standard_normal(spec))  # an array for shape () too
            elif callable(spec):
                spec = spec(rng)
            if spec is not None and np.issubdtype(spec.dtype, np.floating):
                spec = spec.astype(np.float32).astype(dtype)  # the same numbers in both precisions
            made[name] = spec
        return made

    def run(self, arrays, rung=None):
        """Results of the call as a tuple of arrays, on one rung (None: the chosen one); None results are left out."""
        if rung is None:
            result = self.function(**arrays, **self.params)
        else:
            with kernels.use(rung):
                result = self.function(**arrays, **self.params)
        return tuple(r for r in result if r is not None) if isinstance(result, tuple) else (result,)


def cases(kernel: str) -> list[Case]:
    """The case list of a kernel: installed as fastdl._cases, in a checkout the folder tests/cases."""
    if "fastdl._cases" not in sys.modules and importlib.util.find_spec("fastdl._cases") is None:
        package = ModuleType("fastdl._cases")
        package.__path__ = [str(Path(__file__).parents[1] / "tests" / "cases")]
        sys.modules["fastdl._cases"] = package
    try:
        return import_module(f"fastdl._cases.{kernel}").CASES
    except ModuleNotFoundError as error:
        if error.name != f"fastdl._cases.{kernel}":
            raise
        raise ValueError(f"{kernel} has no case list (tests/cases/{kernel}.py)") from None


def channels_last(shape):
    """An array of a Case: standard normal numbers of shape (N, C, H, W), channels-last in memory as activations are."""
    N, C, H, W = shape
    return lambda rng: rng.standard_normal((N, H, W, C)).transpose(0, 3, 1, 2)


# How the same numbers may lie in memory. Each function returns an array equal to x.
def _reversed_axes(x):
    return x.T.copy().T


def _sliced(x):
    big = np.zeros([2 * n + 1 for n in x.shape], x.dtype)
    view = big[(..., *(slice(1, 2 * n + 1, 2) for n in x.shape))]
    view[...] = x
    return view


def _negative_stride(x):
    back = (..., *[slice(None, None, -1)] * x.ndim)
    return x[back].copy()[back]


def _offset(x):
    flat = np.zeros(x.size + 3, x.dtype)
    flat[3:] = x.reshape(-1)
    return flat[3:].reshape(x.shape)


def _unaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype) if x.size else np.zeros(0, x.dtype)
    view[...] = x.reshape(-1)
    return view.reshape(x.shape)


def _read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {
    "reversed axes": _reversed_axes,
    "sliced": _sliced,
    "negative stride": _negative_stride,
    "offset": _offset,
    "unaligned": _unaligned,
    "read-only": _read_only,
}


def broadcast(x):
    """An array of x's shape, all of whose axes longer than 1 but the last have stride 0 (other numbers than x)."""
    return np.broadcast_to(x[tuple(slice(0, 1) if n > 1 else slice(None) for n in x.shape[:-1])], x.shape)


def assert_close(got, want, dtype, K: int = 1, factor: float = 4.0, what: str = "") -> None:
    """got equals want up to the rounding of a sum of K terms; NaN and inf must agree, integers be equal.

    |got - want| <= factor * eps * sqrt(K) * (root mean square of want + |want|), eps of `dtype`
    """
    want = np.asarray(want)
    got = np.asarray(got)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    if not np.issubdtype(want.dtype, np.floating):
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want), err_msg=f"{what}: NaN in other places")
    np.testing.assert_array_equal(got[~finite & ~np.isnan(want)], want[~finite & ~np.isnan(want)], err_msg=what)
    if not finite.any():
        return
    g, w = got[finite].astype(np.float64), want[finite]
    eps = factor * float(np.finfo(dtype).eps) * max(1.0, float(K)) ** 0.5
    bound = eps * (float(np.sqrt(np.mean(w * w))) + np.abs(w)) + float(np.finfo(dtype).tiny)
    worst = int(np.argmax(np.abs(g - w) - bound))
    assert np.all(np.abs(g - w) <= bound), (
        f"{what}: {g[worst]} instead of {w[worst]}, off by {abs(g[worst] - w[worst]):.3g} (allowed {bound[worst]:.3g})"
    )


# ------------------------------------------------------------------------------------ reference weights without a file


def hashed(key: str, shape) -> np.ndarray:
    """Numbers in [-1, 1), float32 of this shape, that depend on the key and the index alone.

    Element i (C order) is h(i) / 2^31 - 1, where h starts as crc32(key) xor (i * 0x9E3779B1 mod 2^32) and goes through the
    last steps of MurmurHash3: h ^= h >> 16, h *= 0x85EBCA6B, h ^= h >> 13, h *= 0xC2B2AE35, h ^= h >> 16 (mod 2^32).
    """
    h = np.arange(math.prod(shape), dtype=np.uint32)
    h *= np.uint32(0x9E3779B1)
    h ^= np.uint32(zlib.crc32(key.encode()))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    values = h.astype(np.float32)
    values *= np.float32(2.0**-31)
    values -= np.float32(1)
    return values.reshape(shape)


def hashed_weights(shapes: dict) -> dict:
    """{key: array} for {key: shape}: weights that need no file, so that outputs can be stored and compared.

    u = hashed(key, shape): two and more axes u sqrt(6 / prod(shape[1:])) (He's variance); of one axis "weight" 1 + u/10,
    "running_var" 1 + u/2, all others (biases, means) u/10; "num_batches_tracked" 0.
    """
    values = {}
    for key, shape in shapes.items():
        name = key.rpartition(".")[2]
        if name == "num_batches_tracked":
            values[key] = np.zeros(shape, np.int64)
            continue
        u = hashed(key, shape)
        if len(shape) >= 2:
            u *= np.float32(math.sqrt(6 / math.prod(shape[1:])))
        elif name == "weight":
            u = 1 + u / 10
        else:
            u = 1 + u / 2 if name == "running_var" else u / 10
        values[key] = u
    return values


def fill_hashed(module):
    """Give a module the hashed_weights of its state_dict's keys; returns it."""
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    module.load_state_dict(hashed_weights(shapes))
    return module


def keys_hash(state_dict) -> str:
    """SHA-256 (first 16 hex digits) of the sorted lines "key (shape)"; num_batches_tracked does not count."""
    lines = [
        f"{key} {tuple(map(int, value.shape))}"
        for key, value in state_dict.items()
        if not key.endswith("num_batches_tracked")
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


class PeakMemory:
    """`with PeakMemory() as peak: ...`, then peak.bytes: the most that NumPy, Python and fastdl's pool took meanwhile.

    The sum of the two peaks, which may lie at different moments.
    """

    def __enter__(self):
        tracemalloc.start()
        self._pool(begin=True)
        return self

    def __exit__(self, *error):
        self.bytes = tracemalloc.get_traced_memory()[1] + self._pool()
        tracemalloc.stop()

    def _pool(self, begin=False):
        try:
            from fastdl._native import pool_stats, pool_take_peak
        except ImportError:  # no compiled kernels: NumPy has all
            return 0
        peak = pool_take_peak()
        if begin:
            self._before = pool_stats()["used"]
            return 0
        return peak - self._before
