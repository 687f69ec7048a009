"""Deconvolution compiled by Numba.

Idea: it is the adjoint of a convolution, so its three passes are the convolution's in another order: forward scatters
as backward_x does there, backward_x gathers, backward_w exchanges the roles of x and dy.
Beats NumPy where the column buffer would be large; no register tiles.
"""

import numpy as np

from fastdl.kernels import conv2d_numba as conv


def forward(x, w, b, stride, padding, dilation, groups, act, out):
    conv.backward_x(x, w, stride, padding, dilation, groups, out)
    if b is not None:
        out += b[:, None, None]
    if act == "relu":
        np.maximum(out, 0, out=out)


def backward_x(dy, w, stride, padding, dilation, groups, dx):
    conv.forward(dy, w, None, stride, padding, dilation, groups, None, dx)


def backward_w(dy, x, stride, padding, dilation, groups, dw, db):
    conv.backward_w(x, dy, stride, padding, dilation, groups, dw, None)
    if db is not None:
        dy.sum(axis=(0, 2, 3), out=db)
