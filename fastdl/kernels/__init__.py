"""The hot kernels: arrays in, arrays out. Each stands on a ladder of rungs with one signature:

naive   plain loops: the specification and the oracle        numba   the same loops, compiled by Numba (extra)
numpy   whole-array NumPy; float64 too                       cython  C with SIMD and threads, bound by Cython

`matmul.py` is the contract (maths, shapes, checks, allocation); `matmul_naive.py`, `matmul_numpy.py`, `matmul_numba.py`
and `matmul_cython.pyx` are the rungs. `use("numpy")` chooses a rung, `table()` says which exist and which is chosen.
"""

from fastdl.kernels._conv_algorithm import conv_algorithm, set_conv_algorithm
from fastdl.kernels._registry import RUNGS, backend, names, table, use

__all__ = ["RUNGS", "backend", "conv_algorithm", "names", "set_conv_algorithm", "table", "use"]
