"""Two-dimensional deconvolution (transposed convolution), the adjoint of conv2d, with an optional bias and ReLU.

Maths     y[n, o, i SH + u DH - top, j SW + v DW - left] += w[c, o, u, v] x[n, c, i, j] for all u, v, i, j and all c of
          o's group; then y = act(y + b[o]). What falls outside y is dropped.
          OH = (H - 1) SH - top - bottom + DH (KH - 1) + output_padding + 1, OW alike.
Shapes    x (N, C, H, W), w (C, O/groups, KH, KW), b (O,) or None: float32 or float64. stride, output_padding, dilation:
          one integer or (height, width); padding: one, (height, width) or (top, bottom, left, right).
          act: None or "relu". Result (N, O, OH, OW).
          4-D results are channels-last in memory; dw has the layout of a plain array.
Backward  dx = conv2d(dy, w) with the same stride, padding, dilation and groups; dw = conv2d's weight gradient with the
          roles of x and dy exchanged; db[o] = sum of dy. The gradient of `act` is the caller's: pass dy * (y > 0).
Cost      2 N C H W (O/groups) KH KW FLOPs for each of the three; every array once.
Errors    ValueError where shapes do not fit or the output would be empty; TypeError for other or unequal dtypes.
Notes     padding is what it takes away from the output, as in PyTorch.
Ref       Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4.
"""

from fastdl.kernels._conv_shapes import check_act, check_bias, check_grad, deconv_geometry
from fastdl.kernels._memory import empty, empty_channels_last, plain
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import same_float_dtype


def deconv2d_forward(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, act=None):
    """act(deconvolution of x with w, plus b); see the top of this file."""
    g = deconv_geometry(x.shape, w.shape, stride, padding, output_padding, dilation, groups)
    dtype = same_float_dtype("deconv2d", x=x, w=w, b=b)
    N, O, OH, OW = g.out_shape
    check_bias("deconv2d", b, O)
    check_act("deconv2d", act)
    out = empty_channels_last(N, O, OH, OW, dtype)
    implementation("deconv2d", dtype).forward(plain(x), plain(w), b, g.stride, g.padding, g.dilation, groups, act, out)
    return out


def deconv2d_backward_x(dy, w, x_shape, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The gradient of x, given that of the output."""
    x_shape = tuple(x_shape)
    g = deconv_geometry(x_shape, w.shape, stride, padding, output_padding, dilation, groups)
    dtype = same_float_dtype("deconv2d_backward_x", dy=dy, w=w)
    check_grad("deconv2d_backward_x", dy, g.out_shape)
    dx = empty_channels_last(*x_shape, dtype)
    implementation("deconv2d", dtype).backward_x(plain(dy), plain(w), g.stride, g.padding, g.dilation, groups, dx)
    return dx


def deconv2d_backward_w(dy, x, w_shape, stride=1, padding=0, output_padding=0, groups=1, dilation=1, want_bias=False):
    """The gradient of w, or (of w, of b) with want_bias."""
    w_shape = tuple(w_shape)
    g = deconv_geometry(x.shape, w_shape, stride, padding, output_padding, dilation, groups)
    dtype = same_float_dtype("deconv2d_backward_w", dy=dy, x=x)
    check_grad("deconv2d_backward_w", dy, g.out_shape)
    dw = empty(w_shape, dtype)
    db = empty((g.out_shape[1],), dtype) if want_bias else None
    implementation("deconv2d", dtype).backward_w(plain(dy), plain(x), g.stride, g.padding, g.dilation, groups, dw, db)
    return (dw, db) if want_bias else dw


def _cost(x_shape, w_shape, itemsize, stride, padding, output_padding, groups, dilation):
    N, O, OH, OW = deconv_geometry(x_shape, w_shape, stride, padding, output_padding, dilation, groups).out_shape
    _, C, H, W = x_shape
    _, Og, KH, KW = w_shape
    return 2 * N * C * H * W * Og * KH * KW, itemsize * (N * C * H * W + C * Og * KH * KW + N * O * OH * OW)


def deconv2d_forward_cost(x, w, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """(FLOPs, bytes) of one call, the bias left out."""
    return _cost(x.shape, w.shape, x.itemsize, stride, padding, output_padding, groups, dilation)


def deconv2d_backward_x_cost(dy, w, x_shape, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """(FLOPs, bytes) of one call."""
    return _cost(tuple(x_shape), w.shape, dy.itemsize, stride, padding, output_padding, groups, dilation)


def deconv2d_backward_w_cost(dy, x, w_shape, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """(FLOPs, bytes) of one call, the bias left out."""
    return _cost(x.shape, tuple(w_shape), dy.itemsize, stride, padding, output_padding, groups, dilation)
