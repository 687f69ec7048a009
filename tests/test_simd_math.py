"""The bounds stated in csrc/simd/math.h, over the whole range of float32, against float64.

FASTDL_ISA chooses the tier; tests/test_isa.py runs this file once for each tier of the machine.
"""

import numpy as np
import pytest

from fastdl import kernels
from fastdl.kernels._registry import _module
from fastdl.kernels._special import erf_array
from fastdl.kernels.activation import activation_forward

pytestmark = pytest.mark.skipif(isinstance(_module("activation", "cython"), str), reason="no compiled kernels here")

TINY = 2.0**-126
HUGE = float(np.finfo(np.float32).max)


@pytest.fixture(scope="module")
def numbers():
    """Every 1601st bit pattern of a finite, normal float32 (2.7 million numbers), and zero."""
    x = np.arange(0, 2**32, 1601, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return np.append(x[np.isfinite(x) & (np.abs(x) >= TINY)], np.float32(0))


def measured(kind, x, *parameters):
    with kernels.use("cython"):
        return activation_forward(x, kind, *parameters).astype(np.float64)


def ulps(got, want):
    """Largest error in units of the last place of the result, where it is a normal float32."""
    normal = (np.abs(want) >= TINY) & (np.abs(want) <= HUGE)
    got, want = got[normal], want[normal]
    return float(np.max(np.abs(got - want) / np.spacing(np.abs(want).astype(np.float32)).astype(np.float64)))


def test_exp(numbers):
    with np.errstate(over="ignore", under="ignore"):
        want = np.exp(numbers.astype(np.float64))
    got = measured("exp", numbers)
    assert ulps(got, want) <= 1.5
    assert np.all(got[want > HUGE * (1 + 2**-24)] == np.inf)
    assert np.all(got[want < TINY / 2] <= TINY)
    assert np.all(got[want < 2.0**-150] == 0)


def test_log(numbers):
    x = numbers[numbers > 0]
    assert ulps(measured("log", x), np.log(x.astype(np.float64))) <= 1
    assert np.all(np.isnan(measured("log", numbers[numbers < 0])))


def test_expm1(numbers):
    x = numbers[numbers < 0]  # what elu uses
    assert ulps(measured("elu", x, 1.0, 1.0), np.expm1(x.astype(np.float64))) <= 2


def test_log1p(numbers):
    """softplus(-|x|) = log1p(exp(-|x|)) as far as exp does not lose digits itself."""
    x = -np.abs(numbers)
    x = x[x > -80]
    assert ulps(measured("softplus", x, 1.0, 100.0), np.log1p(np.exp(x.astype(np.float64)))) <= 3


def test_sigmoid(numbers):
    x = numbers.astype(np.float64)
    with np.errstate(under="ignore"):
        e = np.exp(-np.abs(x))
    assert ulps(measured("sigmoid", numbers), np.where(x >= 0, 1, e) / (1 + e)) <= 3


def test_tanh(numbers):
    assert ulps(measured("tanh", numbers), np.tanh(numbers.astype(np.float64))) <= 2


def test_erf(numbers):
    error = np.abs(measured("erf", numbers) - erf_array(numbers.astype(np.float64)))
    assert error.max() <= 2.5e-7


@pytest.mark.parametrize(
    ("kind", "results"),
    [
        ("exp", [np.inf, 0, 1, 1]),
        ("log", [np.inf, np.nan, -np.inf, -np.inf]),
        ("sigmoid", [1, 0, 0.5, 0.5]),
        ("tanh", [1, -1, 0, -0.0]),
        ("erf", [1, -1, 0, -0.0]),
    ],
)
def test_special_values(kind, results):
    """At inf, -inf, 0, -0; a NaN comes through."""
    np.testing.assert_array_equal(measured(kind, np.array([np.inf, -np.inf, 0, -0.0], np.float32)), results)
    assert np.isnan(measured(kind, np.full(37, np.nan, np.float32))).all()
