"""Deconvolution in C: the convolution's three passes in another order (csrc/kernels/conv.c).

Idea: forward is the convolution's data gradient, which splits the output into stride x stride dense phases, so no zero is
ever inserted or multiplied; bias and ReLU happen before the store. backward_x is a convolution; backward_w exchanges the
roles of x and dy.
"""

cimport numpy as cnp

from fastdl.kernels.conv2d_cython cimport DATA, FORWARD, WEIGHT, channel_sum, run

cnp.import_array()

DTYPES = ("float32",)


def forward(cnp.ndarray x, cnp.ndarray w, b, stride, padding, dilation, int groups, act, cnp.ndarray out):
    run(DATA, out, w, x, b, stride, padding, dilation, groups, act)


def backward_x(cnp.ndarray dy, cnp.ndarray w, stride, padding, dilation, int groups, cnp.ndarray dx):
    run(FORWARD, dy, w, dx, None, stride, padding, dilation, groups, None)


def backward_w(cnp.ndarray dy, cnp.ndarray x, stride, padding, dilation, int groups, cnp.ndarray dw, db):
    run(WEIGHT, dy, dw, x, None, stride, padding, dilation, groups, None)
    if db is not None:
        channel_sum(dy, db)
