"""Plain recurrent layer in C: one product for all steps, then a loop over time on register tiles (csrc/kernels/recurrent.c, rnn.c).

Idea: a tile of 6 rows x 64 units gets its activation while it is in L1.
Beats NumPy by the passes and calls of each step; costs one packing of W_hh a call.
"""

import numpy as np

cimport numpy as cnp

from fastdl._native cimport check, f32, table
from fastdl.kernels._recurrent cimport fd_kernels, fd_recurrent_args, maybe, set_layer

cnp.import_array()

DTYPES = ("float32",)


def forward(x, h0, w_ih, w_hh, b_ih, b_hh, bint relu, bint reverse, cnp.ndarray y, cnp.ndarray hT):
    cdef fd_recurrent_args g
    contiguous = np.ascontiguousarray
    x, h0, w_ih, w_hh = contiguous(x), contiguous(h0), contiguous(w_ih), contiguous(w_hh)
    b_ih = None if b_ih is None else contiguous(b_ih)
    b_hh = None if b_hh is None else contiguous(b_hh)
    set_layer(&g, x, h0, w_ih, w_hh, reverse)
    g.relu = relu
    g.b_ih, g.b_hh = maybe(b_ih), maybe(b_hh)
    g.y = g.gates = f32(y)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.rnn(&g)
    check(code)
    hT[...] = y[0 if reverse else g.T - 1]


def backward(dy, dhT, x, h0, w_ih, w_hh, y, bint relu, bint reverse, dx,
             cnp.ndarray dh0, cnp.ndarray dw_ih, cnp.ndarray dw_hh, cnp.ndarray db):
    cdef fd_recurrent_args g
    contiguous = np.ascontiguousarray
    x, h0, w_ih, w_hh, y = contiguous(x), contiguous(h0), contiguous(w_ih), contiguous(w_hh), contiguous(y)
    dy, dhT = contiguous(dy), contiguous(dhT)
    set_layer(&g, x, h0, w_ih, w_hh, reverse)
    g.relu = relu
    g.y, g.dy, g.dhT, g.dx, g.dh0 = maybe(y), maybe(dy), maybe(dhT), maybe(dx), f32(dh0)
    g.dw_ih, g.dw_hh, g.db_ih = f32(dw_ih), f32(dw_hh), f32(db)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.rnn_backward(&g)
    check(code)
