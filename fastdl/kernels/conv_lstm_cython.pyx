"""LSTM over lines in C: an image at a time through all its steps (csrc/kernels/conv_lstm.c).

Idea: the line of states stays in L1; the convolution is a product of overlapping rows with weights packed once; gates follow while
hot. Beats NumPy by the calls and passes of each step, Numba by register tiles; costs one packing of the weights a call.
"""

import numpy as np

cimport numpy as cnp

from fastdl._native cimport check, dim, f32, table

cnp.import_array()

DTYPES = ("float32",)

cdef extern from "fastdl.h" nogil:
    ctypedef struct fd_conv_lstm_args:
        long S, B, R, H, K, left
        const float *w
        float *gates
        float *y
        float *cells
        const float *dy
        float *dgates
    ctypedef struct fd_kernels:
        int (*conv_lstm)(const fd_conv_lstm_args *) noexcept nogil
        int (*conv_lstm_backward)(const fd_conv_lstm_args *) noexcept nogil


cdef void shape(fd_conv_lstm_args *g, cnp.ndarray y, long K, long left) noexcept:
    g.S, g.B, g.R, g.H, g.K, g.left = dim(y, 0), dim(y, 1), dim(y, 2), dim(y, 3), K, left


def forward(x, w, long left, cnp.ndarray y, cnp.ndarray gates, cnp.ndarray cells):
    cdef fd_conv_lstm_args g
    gates[...] = x
    cdef cnp.ndarray matrix = np.ascontiguousarray(w.transpose(2, 1, 0))  # (K, H, 4H)
    shape(&g, y, w.shape[2], left)
    g.w, g.gates, g.y, g.cells = f32(matrix), f32(gates), f32(y), f32(cells)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.conv_lstm(&g)
    check(code)


def backward(dy, w, long left, y, gates, cells, cnp.ndarray dx):
    cdef fd_conv_lstm_args g
    cdef cnp.ndarray matrix = np.ascontiguousarray(w.transpose(0, 2, 1))  # (4H, K, H)
    cdef cnp.ndarray d = np.ascontiguousarray(dy), v = np.ascontiguousarray(gates), c = np.ascontiguousarray(cells)
    shape(&g, y, w.shape[2], left)
    g.w, g.gates, g.cells, g.dy, g.dgates = f32(matrix), f32(v), f32(c), f32(d), f32(dx)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.conv_lstm_backward(&g)
    check(code)
