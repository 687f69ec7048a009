"""Batch and group norm in C: channels in the vector lanes, fused ReLU and residual.

csrc/kernels/batch_norm.c, csrc/kernels/batch_norm_backward.c

Idea: one pass for the statistics, one for the result, both along memory; the mask of ReLU is computed again in backward.
Beats NumPy by three passes instead of nine and no temporaries; memory-bound.
"""

cimport numpy as cnp

from fastdl._native cimport check, dim, f32, table

cnp.import_array()

DTYPES = ("float32",)

cdef extern from "fastdl.h" nogil:
    enum:
        FD_ACT_NONE
        FD_ACT_RELU
    ctypedef struct fd_batch_norm_args:
        long B, S, C, G
        const float *x
        const float *residual
        const float *weight
        const float *bias
        float *stats
        float *y
        double eps
        int act, given
    ctypedef struct fd_batch_norm_backward_args:
        long B, S, C, G
        const float *dy
        const float *x
        const float *y
        const float *weight
        const float *bias
        const float *stats
        float *dx
        float *dresidual
        float *dweight
        float *dbias
        double eps
        int act, given
    ctypedef struct fd_kernels:
        int (*batch_norm)(const fd_batch_norm_args *) noexcept nogil
        int (*batch_norm_backward)(const fd_batch_norm_backward_args *) noexcept nogil


cdef inline float *optional(object x):
    return NULL if x is None else f32(<cnp.ndarray> x)


def forward(cnp.ndarray x, weight, bias, double eps, long G, residual, act, bint given, cnp.ndarray stats, cnp.ndarray y):
    cdef fd_batch_norm_args g
    g.B, g.S, g.C, g.G = dim(x, 0), dim(x, 1), dim(x, 2), G
    g.x = f32(x)
    g.residual = optional(residual)
    g.weight = optional(weight)
    g.bias = optional(bias)
    g.stats = f32(stats)
    g.y = f32(y)
    g.eps = eps
    g.act = FD_ACT_NONE if act is None else FD_ACT_RELU
    g.given = given
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.batch_norm(&g)
    check(code)


def backward(cnp.ndarray dy, cnp.ndarray x, weight, bias, cnp.ndarray stats, double eps, long G, bint given, act, y,
             cnp.ndarray dx, cnp.ndarray dweight, cnp.ndarray dbias, dresidual):
    cdef fd_batch_norm_backward_args g
    g.B, g.S, g.C, g.G = dim(x, 0), dim(x, 1), dim(x, 2), G
    g.dy = f32(dy)
    g.x = f32(x)
    g.y = optional(y)
    g.weight = optional(weight)
    g.bias = optional(bias)
    g.stats = f32(stats)
    g.dx = f32(dx)
    g.dresidual = optional(dresidual)
    g.dweight = f32(dweight)
    g.dbias = f32(dbias)
    g.eps = eps
    g.act = FD_ACT_NONE if act is None else FD_ACT_RELU
    g.given = given
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.batch_norm_backward(&g)
    check(code)
