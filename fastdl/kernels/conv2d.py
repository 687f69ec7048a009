"""Two-dimensional convolution (cross-correlation, as usual in deep learning), with an optional bias and ReLU.

Maths     y[n, o, i, j] = act(b[o] + sum_{c,u,v} w[o, c, u, v] x[n, g C/G + c, i SH + u DH - top, j SW + v DW - left])
          G groups, g the group of o; x is 0 outside.  OH = (H + top + bottom - DH (KH - 1) - 1) // SH + 1, OW alike.
Shapes    x (N, C, H, W), w (O, C/groups, KH, KW), b (O,) or None: float32 or float64. stride, dilation: one integer or
          (height, width); padding: one, (height, width) or (top, bottom, left, right). act: None or "relu".
          Result (N, O, OH, OW). 4-D results are channels-last in memory; dw has the layout of a plain array.
Backward  dx[n, c, h, w] = sum of w dy over every (o, u, v, i, j) that reads it; dw[o, c, u, v] = sum_{n,i,j} dy x;
          db[o] = sum_{n, i, j} dy. The gradient of `act` is the caller's: pass dy * (y > 0).
Cost      2 N O OH OW (C/groups) KH KW FLOPs for each of the three; every array once.
Errors    ValueError where shapes do not fit or the filter exceeds the padded input; TypeError for unequal dtypes.
Notes     The compiled rung may use Winograd's algorithm for 3x3 filters; `set_conv_algorithm("exact")` forbids it.
Ref       Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
"""

from fastdl.kernels._conv_shapes import check_act, check_bias, check_grad, conv_geometry
from fastdl.kernels._memory import empty, empty_channels_last, plain
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import same_float_dtype


def conv2d_forward(x, w, b=None, stride=1, padding=0, dilation=1, groups=1, act=None):
    """act(convolution of x with w, plus b); see the top of this file."""
    g = conv_geometry(x.shape, w.shape, stride, padding, dilation, groups)
    dtype = same_float_dtype("conv2d", x=x, w=w, b=b)
    check_bias("conv2d", b, w.shape[0])
    check_act("conv2d", act)
    N, O, OH, OW = g.out_shape
    out = empty_channels_last(N, O, OH, OW, dtype)
    implementation("conv2d", dtype).forward(plain(x), plain(w), b, g.stride, g.padding, g.dilation, groups, act, out)
    return out


def conv2d_backward_x(dy, w, x_shape, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of x, given that of the output."""
    x_shape = tuple(x_shape)
    g = conv_geometry(x_shape, w.shape, stride, padding, dilation, groups)
    dtype = same_float_dtype("conv2d_backward_x", dy=dy, w=w)
    check_grad("conv2d_backward_x", dy, g.out_shape)
    dx = empty_channels_last(*x_shape, dtype)
    implementation("conv2d", dtype).backward_x(plain(dy), plain(w), g.stride, g.padding, g.dilation, groups, dx)
    return dx


def conv2d_backward_w(dy, x, w_shape, stride=1, padding=0, dilation=1, groups=1, want_bias=False):
    """The gradient of w, or (of w, of b) with want_bias."""
    w_shape = tuple(w_shape)
    g = conv_geometry(x.shape, w_shape, stride, padding, dilation, groups)
    dtype = same_float_dtype("conv2d_backward_w", dy=dy, x=x)
    check_grad("conv2d_backward_w", dy, g.out_shape)
    dw = empty(w_shape, dtype)
    db = empty(w_shape[:1], dtype) if want_bias else None
    implementation("conv2d", dtype).backward_w(plain(dy), plain(x), g.stride, g.padding, g.dilation, groups, dw, db)
    return (dw, db) if want_bias else dw


def _cost(x_shape, w_shape, itemsize, stride, padding, dilation, groups):
    N, O, OH, OW = conv_geometry(x_shape, w_shape, stride, padding, dilation, groups).out_shape
    _, C, H, W = x_shape
    _, Cg, KH, KW = w_shape
    return 2 * N * O * OH * OW * Cg * KH * KW, itemsize * (N * C * H * W + O * Cg * KH * KW + N * O * OH * OW)


def conv2d_forward_cost(x, w, stride=1, padding=0, dilation=1, groups=1):
    """(FLOPs, bytes) of one call, the bias left out."""
    return _cost(x.shape, w.shape, x.itemsize, stride, padding, dilation, groups)


def conv2d_backward_x_cost(dy, w, x_shape, stride=1, padding=0, dilation=1, groups=1):
    """(FLOPs, bytes) of one call."""
    return _cost(tuple(x_shape), w.shape, dy.itemsize, stride, padding, dilation, groups)


def conv2d_backward_w_cost(dy, x, w_shape, stride=1, padding=0, dilation=1, groups=1):
    """(FLOPs, bytes) of one call, the bias left out."""
    return _cost(x.shape, tuple(w_shape), dy.itemsize, stride, padding, dilation, groups)
