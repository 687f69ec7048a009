"""Convolution in C: indirect matrix products, Winograd, depthwise and planar kernels (csrc/kernels/conv*.c, winograd.c).

Idea: rows of the register tiles are pointers to input pixels, so the column matrix of im2col is never built; the algorithm is
chosen by shape. Beats NumPy by the memory it does not touch, by SIMD and threads. Costs one packed copy of the filters a call.
"""

cimport numpy as cnp

from fastdl._native cimport check, dim, f32, stride as step_of, table

from fastdl.kernels import _conv_algorithm
from fastdl.kernels._memory import contiguous

cnp.import_array()

DTYPES = ("float32",)

cdef extern from "fastdl.h" nogil:
    enum:
        FD_ACT_NONE
        FD_ACT_RELU
    ctypedef struct fd_conv2d_args:
        long N, C, H, W, O, OH, OW, KH, KW, groups
        long stride_h, stride_w, top, left, dilation_h, dilation_w
        float *x
        long x_n, x_c, x_h, x_w
        float *w
        float *y
        long y_n, y_c, y_h, y_w
        const float *bias
        float *db
        int act
        int exact
    ctypedef struct fd_channel_sum_args:
        long N, C, H, W
        const float *x
        long x_n, x_c, x_h, x_w
        float *out
    ctypedef struct fd_kernels:
        int (*conv2d)(const fd_conv2d_args *) noexcept nogil
        int (*conv2d_backward_x)(const fd_conv2d_args *) noexcept nogil
        int (*conv2d_backward_w)(const fd_conv2d_args *) noexcept nogil
        int (*channel_sum)(const fd_channel_sum_args *) noexcept nogil


cdef int run(Pass which, cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, bias, stride, padding, dilation, int groups,
             act, cnp.ndarray db=None) except -1:
    cdef fd_conv2d_args g
    cdef cnp.ndarray filters = w if cnp.PyArray_IS_C_CONTIGUOUS(w) else contiguous(w)
    cdef cnp.ndarray bias_row
    g.N, g.C, g.H, g.W = dim(x, 0), dim(x, 1), dim(x, 2), dim(x, 3)
    g.O, g.OH, g.OW = dim(y, 1), dim(y, 2), dim(y, 3)
    g.KH, g.KW, g.groups = dim(w, 2), dim(w, 3), groups
    g.stride_h, g.stride_w = stride
    g.top, g.left = padding
    g.dilation_h, g.dilation_w = dilation
    g.x, g.w, g.y = f32(x), f32(filters), f32(y)
    g.x_n, g.x_c, g.x_h, g.x_w = step_of(x, 0), step_of(x, 1), step_of(x, 2), step_of(x, 3)
    g.y_n, g.y_c, g.y_h, g.y_w = step_of(y, 0), step_of(y, 1), step_of(y, 2), step_of(y, 3)
    g.bias = NULL
    g.db = NULL if db is None else f32(db)
    if bias is not None:
        bias_row = contiguous(bias)
        g.bias = f32(bias_row)
    g.act = FD_ACT_RELU if act is not None else FD_ACT_NONE
    g.exact = _conv_algorithm.exact
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        if which == FORWARD:
            code = kernels.conv2d(&g)
        elif which == DATA:
            code = kernels.conv2d_backward_x(&g)
        else:
            code = kernels.conv2d_backward_w(&g)
    return check(code)


cdef int channel_sum(cnp.ndarray x, cnp.ndarray out) except -1:
    cdef fd_channel_sum_args g
    g.N, g.C, g.H, g.W = dim(x, 0), dim(x, 1), dim(x, 2), dim(x, 3)
    g.x, g.out = f32(x), f32(out)
    g.x_n, g.x_c, g.x_h, g.x_w = step_of(x, 0), step_of(x, 1), step_of(x, 2), step_of(x, 3)
    cdef int code
    with nogil:
        code = (<const fd_kernels *> table()).channel_sum(&g)
    return check(code)


def forward(cnp.ndarray x, cnp.ndarray w, b, stride, padding, dilation, int groups, act, cnp.ndarray out):
    run(FORWARD, x, w, out, b, stride, padding, dilation, groups, act)


def backward_x(cnp.ndarray dy, cnp.ndarray w, stride, padding, dilation, int groups, cnp.ndarray dx):
    run(DATA, dx, w, dy, None, stride, padding, dilation, groups, None)


def backward_w(cnp.ndarray dy, cnp.ndarray x, stride, padding, dilation, int groups, cnp.ndarray dw, db):
    run(WEIGHT, x, dw, dy, None, stride, padding, dilation, groups, None, db)
