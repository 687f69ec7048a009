"""The conditionals of NADE and RNADE as one differentiable function; the kernel is fastdl/kernels/nade.py."""

from fastdl.autograd import Function, Tensor, grad, is_grad_enabled
from fastdl.kernels.nade import nade_backward, nade_forward
from fastdl.ops.activation import relu
from fastdl.ops.matmul import matmul
from fastdl.ops.shape import stack
from fastdl.ops.unary import sigmoid


class Nade(Function):
    """x (B, D), w (H, D), v (D, O, H), b (D, O), c (H,), rho (D,) or None -> y (B, D, O)."""

    @staticmethod
    def forward(ctx, x, w, v, b, c, rho):
        y, a = nade_forward(*(None if t is None else t.array for t in (x, w, v, b, c, rho)))
        if ctx.recording:
            ctx.save_for_backward(x, w, v, b, c, rho)
            ctx.a = a
        return Tensor(y)

    @staticmethod
    def steps(x, w, v, b, c, rho):
        """The same with recorded ops."""
        a, ys = c.expand(x.shape[0], c.shape[0]), []
        for i in range(x.shape[1]):
            h = sigmoid(a) if rho is None else relu(a * rho[i])
            ys.append(matmul(h, v[i].T) + b[i])  # (B, O)
            a = a + x[:, i : i + 1] * w[:, i]
        return stack(ys, 1)

    @staticmethod
    def backward(ctx, dy):
        inputs = ctx.saved_tensors
        x, w, v, _, _, rho = inputs
        if is_grad_enabled():  # to be differentiated again: recorded ops, slower and right to any order
            clones = [None if t is None else t.clone() for t in inputs]
            wanted = [i for i in range(6) if ctx.needs_input_grad[i]]
            found = grad(Nade.steps(*clones), [clones[i] for i in wanted], dy, create_graph=True, allow_unused=True)
            result = [None] * 6
            for i, d in zip(wanted, found, strict=True):
                result[i] = d
            return tuple(result)
        arrays = (dy.array, x.array, w.array, v.array, ctx.a, None if rho is None else rho.array)
        return tuple(None if d is None else Tensor(d) for d in nade_backward(*arrays, need_dx=ctx.needs_input_grad[0]))


def nade(x, w, v, b, c, rho=None):
    """y[:, i] = V[i] h_i + b[i], where h_i sees x[:, :i] only; shapes and formulas in fastdl/kernels/nade.py.

    v of shape (D, H) and b of shape (D,) give one output a variable: y (B, D).
    """
    if v.ndim == 2:
        return Nade.apply(x, w, v.unsqueeze(1), b.unsqueeze(1), c, rho).squeeze(2)
    return Nade.apply(x, w, v, b, c, rho)
