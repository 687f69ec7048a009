"""Every case of every kernel on every rung, against the naive rung in float64; any memory layout, any thread count.

FASTDL_ISA chooses the tier of the cython rung; tests/test_isa.py runs this file once for each tier of the machine.
"""

import importlib
import os
from pathlib import Path

import numpy as np
import pytest
from _references import reference

from fastdl import kernels, threads
from fastdl.kernels._registry import _module
from fastdl.testing import LAYOUTS, assert_close, broadcast

CASES = [
    case.test_as or case
    for file in sorted(Path(__file__).parent.joinpath("cases").glob("[a-z]*.py"))
    for case in importlib.import_module(f"cases.{file.stem}").CASES
]
SMALL = [case for case in CASES if not case.bench]
COMPILED = not isinstance(_module("matmul", "cython"), str)


def rungs_of(case):
    """The rungs that have been written for the case's kernel; one that cannot run here is skipped, visibly, in its test."""
    return [r for r in kernels.RUNGS if _module(case.kernel, r) != "not written"]


def takes(case, rung, dtype):
    module = _module(case.kernel, rung)
    return isinstance(module, str) or dtype in getattr(module, "DTYPES", ("float32", "float64"))


FAST = [
    pytest.param(c, r, id=f"{c}-{r}") for c in SMALL for r in rungs_of(c) if r != "naive" and takes(c, r, "float32")
]
TYPED = [
    pytest.param(case, rung, dtype, id=f"{case}-{rung}-{dtype}")
    for case in SMALL
    for rung in rungs_of(case)
    for dtype in ("float32", "float64")
    if takes(case, rung, dtype)
]

LOWER_TIER = "FASTDL_ISA" in os.environ  # a run of test_isa.py, where large cases are slow
NUMBER = {id(case): n for n, case in enumerate(CASES)}


def oracle(case, made=None, rung="naive"):
    """A rung's results in float64, on case.make() or on what made() gives; computed once in a run of the tests."""
    key = f"{rung} {NUMBER[id(case)]} {case} {made.__name__ if made else ''}"
    return reference(key, lambda: case.run(made(case) if made else case.make("float64"), rung))


def made_broadcast(case):
    """case.make(), its floating arrays with stride-0 axes."""
    return {
        k: broadcast(v) if v is not None and v.size and np.issubdtype(v.dtype, np.floating) else v
        for k, v in case.make("float64").items()
    }


def module_or_skip(case, rung, dtype):
    module = _module(case.kernel, rung)
    if isinstance(module, str):
        pytest.skip(f"{case.kernel} has no {rung} rung here: {module}")
    if dtype not in getattr(module, "DTYPES", ("float32", "float64")):
        pytest.skip(f"{case.kernel} on {rung} does not take {dtype}")


@pytest.mark.parametrize("case, rung, dtype", TYPED)
def test_rung_equals_naive(case, rung, dtype):
    module_or_skip(case, rung, dtype)
    for got, want in zip(case.run(case.make(dtype), rung), oracle(case), strict=True):
        assert_close(got, want, dtype, case.K, case.factor, what=f"{case} on {rung}")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case, rung", FAST)
def test_any_memory_layout(case, rung, layout):
    module_or_skip(case, rung, "float32")
    arrays = {k: v if v is None else LAYOUTS[layout](v) for k, v in case.make("float32").items()}
    before = {k: v if v is None else v.copy() for k, v in arrays.items()}
    results = case.run(arrays, rung)
    for got, want in zip(results, oracle(case), strict=True):
        assert_close(got, want, "float32", case.K, case.factor, what=f"{case} on {rung}, {layout}")
    for name, array in arrays.items():
        if array is not None:
            np.testing.assert_array_equal(array, before[name], err_msg=f"{case} on {rung} wrote to its input {name}")


@pytest.mark.parametrize("case, rung", FAST)
def test_broadcast_input(case, rung):
    """Floating inputs with stride-0 axes, as expand() makes them."""
    module_or_skip(case, rung, "float32")
    made = made_broadcast(case)
    want = oracle(case, made_broadcast)
    narrow = {
        k: np.broadcast_to(v, v.shape) if v is None or not np.issubdtype(v.dtype, np.floating) else _narrow(v)
        for k, v in made.items()
        if v is not None
    }
    narrow.update({k: None for k, v in made.items() if v is None})
    for got, expected in zip(case.run(narrow, rung), want, strict=True):
        assert_close(got, expected, "float32", case.K, case.factor, what=f"{case} on {rung}, broadcast")


def _narrow(x):
    """x in float32 with its stride-0 axes kept."""
    first = tuple(slice(0, 1) if s == 0 else slice(None) for s in x.strides)
    return np.broadcast_to(x[first].astype(np.float32), x.shape)


@pytest.mark.skipif(not COMPILED, reason="no compiled kernels in this install")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_bits_for_any_number_of_threads(case):
    module_or_skip(case, "cython", "float32")
    arrays = case.make("float32")
    counts = (1, 3) if case.bench and LOWER_TIER else (1, 2, 3, 5)
    before = threads.get_num_threads()
    try:
        results = []
        for n in counts:
            threads._set(n)
            results.append(case.run(arrays, "cython"))
    finally:
        threads._set(before)
    for n, other in zip(counts[1:], results[1:], strict=True):
        for one, many in zip(results[0], other, strict=True):
            assert one.tobytes() == many.tobytes(), f"{case}: 1 and {n} threads give different bits"


@pytest.mark.skipif(not COMPILED, reason="no compiled kernels in this install")
@pytest.mark.parametrize("case", [c for c in CASES if c.bench], ids=str)
def test_large_cases_on_the_compiled_rung(case):
    """The sizes people use, against NumPy in float64. Winograd's bounds are its own: tests/test_winograd.py."""
    module_or_skip(case, "cython", "float32")
    want = oracle(case, rung="numpy")
    with kernels.set_conv_algorithm("exact"):
        results = case.run(case.make("float32"), "cython")
    for got, expected in zip(results, want, strict=True):
        assert_close(got, expected, "float32", case.K, case.factor, what=str(case))
