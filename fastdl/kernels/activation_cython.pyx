"""Elementwise functions in C: one pass, the function inlined into a loop over vectors (csrc/kernels/activation.c).

Idea: no temporaries, and exp, tanh, ... are polynomials in vector registers (csrc/simd/math.h). Beats NumPy by the passes over
memory that it saves, by recycled memory, and by threads.
"""

cimport numpy as cnp

from fastdl._native cimport check, dim, f32, table

cnp.import_array()

DTYPES = ("float32",)

cdef extern from "fastdl.h" nogil:
    enum:
        FD_RELU, FD_LEAKY_RELU, FD_ELU, FD_HARDTANH, FD_HARDSIGMOID, FD_HARDSWISH
        FD_SIGMOID, FD_TANH, FD_SILU, FD_GELU, FD_GELU_TANH, FD_SOFTPLUS, FD_MISH, FD_EXP, FD_LOG, FD_ERF
    ctypedef struct fd_activation_args:
        long n
        int kind
        float a, b
        const float *x
        float *y
    ctypedef struct fd_activation_backward_args:
        long n
        int kind
        float a, b
        const float *dy
        const float *kept
        float *dx
    ctypedef struct fd_kernels:
        int (*activation)(const fd_activation_args *) noexcept nogil
        int (*activation_backward)(const fd_activation_backward_args *) noexcept nogil

cdef dict NUMBERS = {
    "relu": FD_RELU, "leaky_relu": FD_LEAKY_RELU, "elu": FD_ELU, "hardtanh": FD_HARDTANH, "hardsigmoid": FD_HARDSIGMOID,
    "hardswish": FD_HARDSWISH, "sigmoid": FD_SIGMOID, "tanh": FD_TANH, "silu": FD_SILU, "gelu": FD_GELU,
    "gelu_tanh": FD_GELU_TANH, "softplus": FD_SOFTPLUS, "mish": FD_MISH, "exp": FD_EXP, "log": FD_LOG, "erf": FD_ERF,
}


def forward(cnp.ndarray x, kind, float a, float b, cnp.ndarray y):
    cdef fd_activation_args g
    g.n = dim(x, 0)
    g.kind = NUMBERS[kind]
    g.a, g.b = a, b
    g.x = f32(x)
    g.y = f32(y)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.activation(&g)
    check(code)


def backward(cnp.ndarray dy, cnp.ndarray kept, kind, float a, float b, cnp.ndarray dx):
    cdef fd_activation_backward_args g
    g.n = dim(kept, 0)
    g.kind = NUMBERS[kind]
    g.a, g.b = a, b
    g.dy = f32(dy)
    g.kept = f32(kept)
    g.dx = f32(dx)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.activation_backward(&g)
    check(code)
