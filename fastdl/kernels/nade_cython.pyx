"""NADE in C: tiles of rows forward, blocks of units backward (csrc/kernels/nade.c).

Idea: a and h of a tile stay in L1 while the weights pass once; where x_i is 0 nothing is recomputed; weight gradients add up in
registers. Beats NumPy by the D passes over (B, H) arrays, Numba by reading the weights once a tile; costs one transposition of W.
"""

import numpy as np

cimport numpy as cnp

from fastdl._native cimport check, dim, f32, table

cnp.import_array()

DTYPES = ("float32",)

cdef extern from "fastdl.h" nogil:
    ctypedef struct fd_nade_args:
        long B, D, H, O
        int relu
        float *x
        const float *w
        const float *v
        const float *b
        const float *c
        const float *rho
        const float *u
        float *y
        float *a
    ctypedef struct fd_nade_backward_args:
        long B, D, H, O
        int relu
        const float *dy
        const float *x
        const float *w
        const float *v
        const float *rho
        const float *a
        float *dx
        float *dw
        float *dv
        float *dc
        float *drho
    ctypedef struct fd_kernels:
        int (*nade)(const fd_nade_args *) noexcept nogil
        int (*nade_backward)(const fd_nade_backward_args *) noexcept nogil

UNITS = 64  # the C code takes hidden units in blocks of so many


def _padded(array):
    """array (..., H) C-contiguous with zeros up to a multiple of UNITS."""
    H = array.shape[-1]
    if H % UNITS == 0:
        return np.ascontiguousarray(array)
    wide = np.zeros((*array.shape[:-1], -(-H // UNITS) * UNITS), np.float32)
    wide[..., :H] = array
    return wide


cdef inline float *maybe(object x):
    return NULL if x is None else f32(<cnp.ndarray> x)


cdef int walk(cnp.ndarray x, w, v, b, c, rho, u, cnp.ndarray y, a) except -1:
    cdef fd_nade_args g
    w, v, b, c = _padded(w.T), _padded(v), np.ascontiguousarray(b), _padded(c)
    rho = None if rho is None else np.ascontiguousarray(rho)
    wide = np.empty((x.shape[0], w.shape[1]), np.float32)
    g.B, g.D, g.O, g.H = dim(x, 0), dim(x, 1), dim(v, 1), dim(w, 1)
    g.relu = rho is not None
    g.x, g.w, g.v, g.b, g.c, g.rho, g.u = f32(x), maybe(w), maybe(v), maybe(b), maybe(c), maybe(rho), maybe(u)
    g.y, g.a = f32(y), maybe(wide)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.nade(&g)
    check(code)
    if a is not None:
        a[...] = wide[:, :a.shape[1]]
    return 0


def forward(x, w, v, b, c, rho, cnp.ndarray y, a):
    walk(np.ascontiguousarray(x), w, v, b, c, rho, None, y, a)


def sample(u, w, v, b, c, rho, cnp.ndarray x, cnp.ndarray y):
    walk(x, w, v, b, c, rho, np.ascontiguousarray(u), y, None)


def backward(dy, x, w, v, a, rho, dx, dw, dv, dc, drho):
    cdef fd_nade_backward_args g
    H = w.shape[0]
    dy, x = np.ascontiguousarray(dy), np.ascontiguousarray(x)
    wt, v, a = _padded(w.T), _padded(v), _padded(a)
    rho = None if rho is None else np.ascontiguousarray(rho)
    chunks = wt.shape[1] // UNITS
    dwt = np.empty(wt.shape, np.float32)
    wide_v = dv if H % UNITS == 0 else np.empty(v.shape, np.float32)
    wide_c = np.empty(wt.shape[1], np.float32)
    parts = None if dx is None else np.empty((chunks, *x.shape), np.float32)
    rho_parts = None if drho is None else np.empty((chunks, x.shape[1]), np.float32)
    if x.shape[0] == 0:
        for out in (dw, dv, dc, drho):
            if out is not None:
                out[...] = 0
        return
    g.B, g.D, g.O, g.H = dim(x, 0), dim(x, 1), dim(v, 1), dim(wt, 1)
    g.relu = rho is not None
    g.dy, g.x, g.w, g.v, g.rho, g.a = maybe(dy), maybe(x), maybe(wt), maybe(v), maybe(rho), maybe(a)
    g.dx, g.dw, g.dv, g.dc, g.drho = maybe(parts), maybe(dwt), maybe(wide_v), maybe(wide_c), maybe(rho_parts)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.nade_backward(&g)
    check(code)
    dw[...], dc[...] = dwt[:, :H].T, wide_c[:H]
    if wide_v is not dv:
        dv[...] = wide_v[..., :H]
    if dx is not None:
        parts.sum(0, out=dx)
    if drho is not None:
        rho_parts.sum(0, out=drho)
