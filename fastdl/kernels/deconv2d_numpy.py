"""Deconvolution by NumPy.

Idea: it is the adjoint of a convolution, so its three passes are the convolution's in another order: forward scatters
columns (col2im) as backward_x does there, backward_x gathers (im2col), backward_w exchanges the roles of x and dy.
Faster than loops by BLAS; costs a column buffer, tiled as in the convolution.
"""

import numpy as np

from fastdl.kernels import conv2d_numpy as conv


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
