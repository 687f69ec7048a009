"""The error of Winograd's algorithm against NumPy in float64, on the 3x3 cases of conv2d for which it is chosen.

Bounds: relative L2 below 3e-5 forward and for the data gradient, 1e-4 for the weight gradient; no result off by more than
2e-4 (weight gradient 1e-3) of the root mean square.
"""

import numpy as np
import pytest
from cases.conv2d import CASES, _three

from fastdl import kernels
from fastdl.kernels._registry import _module

WIDE = [c for c in CASES if c.bench and "3x3" in c.name and "/2" not in c.name and "depthwise" not in c.name]

# Each size is covered by tiles of 4, of 3, or of 4 that reach over the edge: down and across in all combinations.
ODD = [
    *_three("4 and 3", (3, 17, 7, 10), (19, 17, 3, 3), padding=1, act="relu"),
    *_three("3 only, 3 and 4", (2, 18, 11, 15), (33, 18, 3, 3)),
    *_three("4 only, 3 only", (2, 40, 8, 9), (70, 40, 3, 3), padding=1),
    *_three("over the edge", (7, 16, 5, 5), (17, 16, 3, 3), padding=1),
    *_three("four paddings", (2, 33, 13, 9), (16, 33, 3, 3), padding=(0, 2, 1, 0)),
    *_three("few tiles, many channels", (3, 260, 7, 6), (290, 260, 3, 3), padding=1),
]


@pytest.mark.skipif(isinstance(_module("conv2d", "cython"), str), reason="no compiled kernels in this install")
@pytest.mark.parametrize("case", WIDE + ODD, ids=str)
def test_error_bounds(case):
    want = case.run(case.make("float64"), "numpy")[0]
    arrays = case.make("float32")
    got = case.run(arrays, "cython")[0]
    with kernels.set_conv_algorithm("exact"):
        assert not np.array_equal(got, case.run(arrays, "cython")[0]), f"{case}: Winograd was not chosen"
    loose = case.entry.endswith("_w")
    error = got - want
    assert np.linalg.norm(error) < (1e-4 if loose else 3e-5) * np.linalg.norm(want)
    assert np.abs(error).max() < (1e-3 if loose else 2e-4) * np.sqrt(np.mean(want * want))
