"""NADE: all conditionals of a neural autoregressive density estimator in one walk over the variables.

Maths     a_0 = c,  a_{i+1} = a_i + x_i W[:, i];  h_i = sigmoid(a_i), or with rho max(0, rho_i a_i);
          y[i, o] = sum_k V[i, o, k] h_i[k] + b[i, o]:  y[i] sees x_0 .. x_{i-1} only.
          nade_sample: x_i = 1 where u_i < sigmoid(y[i]), variable by variable.
Shapes    x (B, D) any numbers; w (H, D); v (D, O, H); b (D, O); c (H,); rho (D,) or None: float32 or float64.
          Result y (B, D, O) and, for backward, a_D (B, H). nade_sample: u (B, D) uniform, O = 1 -> x, y (B, D, 1).
Backward  delta_i = (sum_o dy[i, o] V[i, o]) h_i', S_i = sum_{j > i} delta_j:  dW[:, i] = x_i S_i, dx_i = W[:, i] . S_i,
          dV[i, o] = dy[i, o] h_i, db = sum dy, dc = S_{-1}, drho_i = (dy V) a_i where rho_i a_i > 0; sums over the batch.
          The a_i come from a_D, step by step back: nothing of size B D H is kept.
Cost      2 B D H (1 + O) FLOPs forward, twice that backward, and a sigmoid a number of h that changed.
Errors    ValueError for shapes that do not fit, TypeError for dtypes.
Ref       Larochelle and Murray 2011; Uria, Murray, Larochelle 2013 (rho); Uria et al. 2016, arXiv 1605.02226.
"""

from fastdl.kernels._memory import empty, plain
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import need_ndim, same_float_dtype


def nade_forward(x, w, v, b, c, rho=None):
    """(y, a); see the top of this file."""
    (B, D, H, O), dtype = _check(x, w, v, b, c, rho)
    y, a = empty((B, D, O), dtype), empty((B, H), dtype)
    arrays = [None if t is None else plain(t) for t in (x, w, v, b, c, rho)]
    implementation("nade", dtype).forward(*arrays, y, a)
    return y, a


def nade_backward(dy, x, w, v, a, rho=None, need_dx=True):
    """(dx, dw, dv, db, dc, drho); dx is None unless needed, drho None without rho."""
    need_ndim("nade", "v", v, 3, "(D, O, H)")
    (B, D, H, O), dtype = _check(x, w, v, None, None, rho)
    same_float_dtype("nade", x=x, dy=dy, a=a)
    if dy.shape != (B, D, O) or a.shape != (B, H):
        raise ValueError(f"nade: dy must have shape {(B, D, O)} and a {(B, H)}; got {dy.shape} and {a.shape}")
    dx = empty((B, D), dtype) if need_dx else None
    drho = None if rho is None else empty((D,), dtype)
    dw, dv, dc = empty((H, D), dtype), empty((D, O, H), dtype), empty((H,), dtype)
    arrays = [None if t is None else plain(t) for t in (dy, x, w, v, a, rho)]
    implementation("nade", dtype).backward(*arrays, dx, dw, dv, dc, drho)
    return dx, dw, dv, dy.sum(0), dc, drho


def nade_sample(u, w, v, b, c, rho=None):
    """(x, y): binary x (B, D) drawn with the uniform numbers u, and the logits it was drawn by."""
    (B, D, _, O), dtype = _check(u, w, v, b, c, rho)
    if O != 1:
        raise ValueError(f"nade_sample: v must have shape (D, 1, H), one logit a variable; got {v.shape}")
    x, y = empty((B, D), dtype), empty((B, D, 1), dtype)
    arrays = [None if t is None else plain(t) for t in (u, w, v, b, c, rho)]
    implementation("nade", dtype).sample(*arrays, x, y)
    return x, y


def _check(x, w, v, b, c, rho):
    need_ndim("nade", "x", x, 2, "(B, D): batch, variables")
    need_ndim("nade", "v", v, 3, "(D, O, H): variables, outputs, hidden units")
    (B, D), (_, O, H) = x.shape, v.shape
    expected = {"w": (H, D), "v": (D, O, H), "b": (D, O), "c": (H,), "rho": (D,)}
    for name, array in {"w": w, "v": v, "b": b, "c": c, "rho": rho}.items():
        if array is not None and array.shape != expected[name]:
            raise ValueError(
                f"nade: {name} must have shape {expected[name]} for x of shape {x.shape} and v of shape {v.shape}; "
                f"got {array.shape}"
            )
    if 0 in (D, O, H):
        raise ValueError(f"nade: there must be variables, outputs and hidden units; got v of shape {v.shape}")
    return (B, D, H, O), same_float_dtype("nade", x=x, w=w, v=v, b=b, c=c, rho=rho)


def nade_forward_cost(x, v, **_):
    """(FLOPs, bytes) of one call."""
    (B, D), (_, O, H) = x.shape, v.shape
    return 2 * B * D * H * (1 + O), x.itemsize * (D * H * (1 + O) + B * D * (1 + O))


def nade_backward_cost(x, v, **_):
    """(FLOPs, bytes) of one call."""
    flops, moved = nade_forward_cost(x, v)
    return 2 * flops, 2 * moved
