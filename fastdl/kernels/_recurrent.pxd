# The parameter struct of csrc/args/recurrent.h, and what lstm, gru and rnn fill alike.
cimport numpy as cnp

from fastdl._native cimport dim, f32


cdef extern from "fastdl.h" nogil:
    ctypedef struct fd_recurrent_args:
        long T, B, D, H
        int reverse
        int relu
        const float *x
        const float *h0
        const float *c0
        const float *w_ih
        const float *w_hh
        const float *b_ih
        const float *b_hh
        float *y
        float *gates
        float *cells
        const float *dy
        const float *dhT
        const float *dcT
        float *dx
        float *dh0
        float *dc0
        float *dw_ih
        float *dw_hh
        float *db_ih
        float *db_hh
    ctypedef int (*fd_recurrent_fn)(const fd_recurrent_args *) noexcept nogil
    ctypedef struct fd_kernels:
        fd_recurrent_fn lstm, lstm_backward, gru, gru_backward, rnn, rnn_backward


cdef inline float *maybe(object x) noexcept:
    return NULL if x is None else f32(<cnp.ndarray> x)


cdef inline void set_layer(
    fd_recurrent_args *g, cnp.ndarray x, cnp.ndarray h0, cnp.ndarray w_ih, cnp.ndarray w_hh, bint reverse
) noexcept:
    g.T, g.B, g.D, g.H = dim(x, 0), dim(x, 1), dim(x, 2), dim(h0, 1)
    g.reverse = reverse
    g.x, g.h0, g.w_ih, g.w_hh = f32(x), f32(h0), f32(w_ih), f32(w_hh)
