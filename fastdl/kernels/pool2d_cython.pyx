"""Pooling in C (csrc/kernels/pool2d.c, averages in csrc/kernels/resize.c).

Idea: vectors along channels, maxima and tap numbers in registers; the backward pass gathers, so dx is written once.
Beats NumPy by one pass over memory instead of one a tap, and by threads.
"""

cimport numpy as cnp

from fastdl._native cimport check, dim, f32, table
from fastdl.kernels._axis_native cimport fd_axis, native_axis

from fastdl.kernels import resize_cython
from fastdl.kernels._memory import channels_last

cnp.import_array()

DTYPES = ("float32",)
avg_forward = resize_cython.forward  # an average is a weighted sum

cdef extern from "fastdl.h" nogil:
    ctypedef struct fd_max_pool2d_args:
        long N, C, kh, kw
        const float *x
        float *out
        void *index
        int wide
        fd_axis rows, cols
    ctypedef struct fd_max_pool2d_route_args:
        long N, C, kw
        const float *x
        const void *index
        float *out
        int wide, scatter
        fd_axis rows, cols
    ctypedef struct fd_kernels:
        int (*max_pool2d)(const fd_max_pool2d_args *) noexcept nogil
        int (*max_pool2d_route)(const fd_max_pool2d_route_args *) noexcept nogil


def max_forward(x, rows, cols, cnp.ndarray out, index):
    cdef cnp.ndarray nhwc = channels_last(x)
    cdef fd_max_pool2d_args g
    g.N = dim(nhwc, 0)
    g.C = dim(nhwc, 1)
    g.kh = rows.taps
    g.kw = cols.taps
    g.x = f32(nhwc)
    g.out = f32(out)
    g.index = NULL
    g.wide = 0
    if index is not None:
        g.index = cnp.PyArray_DATA(index)
        g.wide = cnp.PyArray_ITEMSIZE(index) > 1
    g.rows = native_axis(rows)
    g.cols = native_axis(cols)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.max_pool2d(&g)
    check(code)


cdef route(x, index, rows, cols, long taps, int scatter, cnp.ndarray out):
    cdef cnp.ndarray nhwc = channels_last(x), chosen = channels_last(index)
    cdef fd_max_pool2d_route_args g
    g.N = dim(nhwc, 0)
    g.C = dim(nhwc, 1)
    g.kw = taps
    g.x = f32(nhwc)
    g.index = cnp.PyArray_DATA(chosen)
    g.out = f32(out)
    g.wide = cnp.PyArray_ITEMSIZE(chosen) > 1
    g.scatter = scatter
    g.rows = native_axis(rows)
    g.cols = native_axis(cols)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.max_pool2d_route(&g)
    check(code)


def max_backward_x(dy, index, rows, cols, out):
    route(dy, index, rows.transposed, cols.transposed, cols.taps, 1, out)


def max_backward_dy(ddx, index, rows, cols, out):
    route(ddx, index, rows, cols, cols.taps, 0, out)
