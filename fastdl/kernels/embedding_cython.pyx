"""Embedding in C (csrc/kernels/embedding.c).

Idea: rows move as whole cache lines, with the next ones prefetched; a thread owns a range of the table's gradient.
Beats NumPy by needing no sort and no sorted copy, and by threads.
"""

import numpy as np

cimport numpy as cnp

from fastdl._native cimport check, dim, f32, stride, table

cnp.import_array()

DTYPES = ("float32",)

cdef extern from "fastdl.h" nogil:
    ctypedef struct fd_embedding_args:
        long T, D, weight_row
        const cnp.int64_t *index
        const float *weight
        float *out
    ctypedef struct fd_embedding_backward_args:
        long T, D, V, dy_row, padding_idx
        const cnp.int64_t *index
        const float *dy
        float *dw
    ctypedef struct fd_kernels:
        int (*embedding)(const fd_embedding_args *) noexcept nogil
        int (*embedding_backward)(const fd_embedding_backward_args *) noexcept nogil


cdef cnp.ndarray unit_rows(cnp.ndarray x):
    """x, or a contiguous copy if its rows have gaps between neighbours."""
    return x if stride(x, 1) == 1 else np.ascontiguousarray(x)


def forward(cnp.ndarray index, cnp.ndarray weight, cnp.ndarray out):
    cdef fd_embedding_args g
    weight = unit_rows(weight)
    g.T = dim(out, 0)
    g.D = dim(out, 1)
    g.weight_row = stride(weight, 0)
    g.index = <const cnp.int64_t *> cnp.PyArray_DATA(index)
    g.weight = f32(weight)
    g.out = f32(out)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.embedding(&g)
    check(code)


def backward_w(cnp.ndarray dy, cnp.ndarray index, long padding_idx, cnp.ndarray out):
    cdef fd_embedding_backward_args g
    dy = unit_rows(dy)
    g.T = dim(dy, 0)
    g.D = dim(dy, 1)
    g.V = dim(out, 0)
    g.dy_row = stride(dy, 0)
    g.padding_idx = padding_idx
    g.index = <const cnp.int64_t *> cnp.PyArray_DATA(index)
    g.dy = f32(dy)
    g.dw = f32(out)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.embedding_backward(&g)
    check(code)
