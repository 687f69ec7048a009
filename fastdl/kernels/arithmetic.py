"""Sum, difference and product of two arrays.

Maths     out[i] = x[i] op y[i], op one of "add", "sub", "mul"
Shapes    x of any shape, float32 or float64; y of the same shape, or of the shape of x's trailing axes (a bias, positions),
          along whose leading axes it repeats. The result has x's shape and, where x has no gaps, its memory layout.
Backward  in fastdl/ops/elementwise.py: the same operations.
Cost      n FLOPs; 3 n elements moved (n = size of x).
Errors    ValueError for shapes that do not fit or an unknown op, TypeError for other or unequal dtypes.
Notes     A gradient is added up in place (arithmetic_into). The float32 kernel counts denormals as 0.
"""

from fastdl.kernels._memory import contiguous, dense, empty, restore
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import same_float_dtype

OPS = ("add", "sub", "mul")


def arithmetic_forward(x, y, op):
    """x op y; see the top of this file."""
    dtype = same_float_dtype("arithmetic", x=x, y=y)
    _check(x, y, op)
    if x.shape == y.shape:
        flat, order = dense(x)
        y = contiguous(y if order is None else y.transpose(order))
    else:
        flat, order, y = contiguous(x), None, contiguous(y)
    out = empty(flat.shape, dtype)
    if x.size:
        implementation("arithmetic", dtype).forward(flat.reshape(-1), y.reshape(-1), op, out.reshape(-1))
    return restore(out, order)


def arithmetic_into(x, y, op):
    """x op y, written into x (C-contiguous, aligned, writable); returns x."""
    dtype = same_float_dtype("arithmetic", x=x, y=y)
    _check(x, y, op)
    if not (x.flags.c_contiguous and x.flags.aligned and x.flags.writeable):
        raise ValueError("arithmetic_into: x must be C-contiguous, aligned and writable")
    if x.size:
        implementation("arithmetic", dtype).forward(x.reshape(-1), contiguous(y).reshape(-1), op, x.reshape(-1))
    return x


def _check(x, y, op):
    if op not in OPS:
        raise ValueError(f"arithmetic: unknown op {op!r}; there are {', '.join(OPS)}")
    if y.ndim > x.ndim or y.shape != x.shape[x.ndim - y.ndim :]:
        raise ValueError(f"arithmetic: y of shape {y.shape} must have the shape of x {x.shape} or of its trailing axes")


def arithmetic_cost(x, y, op):
    """(FLOPs, bytes) of one call."""
    return x.size, x.itemsize * (2 * x.size + y.size)
