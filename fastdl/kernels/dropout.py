"""Dropout: zeroes elements at random and scales the others up; the mask is a function of (seed, offset, position).

Maths     out[i] = x[i] / (1 - p) where number i of the sequence (seed, offset) is at least p * 2^32, else 0
Shapes    x any shape, float32 or float64; i counts in C order. p in [0, 1] (1: all 0); seed and offset unsigned 64 bits.
          Result of x's shape, C-contiguous.
Backward  dx is the same function of dout with the same p, seed and offset: no mask is stored.
Cost      1 FLOP and 8 bytes an element in float32, and about 100 integer operations per 64 elements and lane.
Errors    ValueError for p, seed or offset out of range, TypeError for other dtypes.
Notes     The bits of the mask are the same on every rung and for both dtypes; torch's are others.
Ref       Srivastava et al., "Dropout", 2014; Philox: _philox.py.
"""

from fastdl.kernels._memory import empty, plain
from fastdl.kernels._philox import check_dropout
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import same_float_dtype


def dropout_forward(x, p, seed, offset=0):
    """x with dropout; see the top of this file."""
    dtype = same_float_dtype("dropout", x=x)
    check_dropout("dropout", p, seed)
    if not 0 <= offset < 2**64:
        raise ValueError(f"dropout: offset must be an integer in [0, 2**64); got {offset!r}")
    out = empty(x.shape, dtype)
    if p == 1:
        out[...] = 0
    else:
        implementation("dropout", dtype).forward(plain(x), float(p), int(seed), int(offset), out)
    return out


def dropout_cost(x, p, seed, offset=0):
    """(FLOPs, bytes) of one call."""
    return x.size, 2 * x.nbytes
