"""Matrix product of two arrays or stacks of matrices, with an optional bias and ReLU in the same pass.

Maths     out[..., m, n] = act(sum_k a[..., m, k] * b[..., k, n] + bias[n])
Shapes    a (..., M, K), b (..., K, N): float32 or float64; leading axes broadcast as in NumPy. bias (N,) or None.
          act: None or "relu". Result (..., M, N), C-contiguous.
Backward  da = dout b^T, db = a^T dout, dbias = column sums: products again, so there is no kernel of their own.
Cost      2 B M N K FLOPs; 4 (B M K + B K N + B M N) bytes in float32.
Errors    ValueError where the inner or leading axes do not fit, TypeError for other or unequal dtypes.
Ref       Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008.
"""

import numpy as np

from fastdl.kernels._memory import empty, plain
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import FLOATS, same_float_dtype


def matmul_forward(a, b, bias=None, act=None):
    """act(a @ b + bias); see the top of this file."""
    shape_a, shape_b = a.shape, b.shape
    if len(shape_a) < 2 or len(shape_b) < 2 or shape_a[-1] != shape_b[-2]:
        raise ValueError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit: the last axis of the first {a.shape[-1:]} must equal "
            f"the second-last of the second {b.shape[-2:-1]}; is a .T missing?"
        )
    dtype = a.dtype
    if dtype is not b.dtype or dtype not in FLOATS or (bias is not None and bias.dtype is not dtype):
        dtype = same_float_dtype("matmul", a=a, b=b, bias=bias)
    M, N = shape_a[-2], shape_b[-1]
    if bias is not None and bias.shape != (N,):
        raise ValueError(f"matmul: bias must have shape ({N},), one for each column of the result; got {bias.shape}")
    if act is not None and act != "relu":
        raise ValueError(f"matmul: act must be None or 'relu'; got {act!r}")
    if len(shape_a) == 2 and len(shape_b) == 2:
        batch = ()
    else:
        try:
            batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ValueError(f"matmul: leading axes of {a.shape} and {b.shape} do not broadcast") from None
    out = empty((*batch, M, N), dtype)
    implementation("matmul", dtype).forward(plain(a), plain(b), None if bias is None else plain(bias), act, out)
    return out


def matmul_cost(a, b, bias=None, act=None):
    """(FLOPs, bytes) of one call."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (M, K), N = a.shape[-2:], b.shape[-1]
    out = int(np.prod(batch)) * M * N
    return 2 * out * K, a.itemsize * (a.size + b.size + out)
