"""LSTM in C: one product for all steps, then a loop over time on register tiles (csrc/kernels/recurrent.c, lstm.c).

Idea: W_hh is packed with its gates interleaved, so a tile of 6 rows x 16 units x 4 gates becomes h and c while it is in L1.
Beats NumPy by the passes over (B, 4H) arrays and the calls of each step; costs one packing of W_hh a call.
"""

import numpy as np

cimport numpy as cnp

from fastdl._native cimport check, f32, table
from fastdl.kernels._recurrent cimport fd_kernels, fd_recurrent_args, maybe, set_layer

cnp.import_array()

DTYPES = ("float32",)


def forward(x, h0, c0, w_ih, w_hh, b_ih, b_hh, bint reverse,
            cnp.ndarray y, cnp.ndarray hT, cnp.ndarray cT, cnp.ndarray gates, cnp.ndarray cells):
    cdef fd_recurrent_args g
    contiguous = np.ascontiguousarray
    x, h0, c0, w_ih, w_hh = contiguous(x), contiguous(h0), contiguous(c0), contiguous(w_ih), contiguous(w_hh)
    b_ih = None if b_ih is None else contiguous(b_ih)
    b_hh = None if b_hh is None else contiguous(b_hh)
    set_layer(&g, x, h0, w_ih, w_hh, reverse)
    g.c0, g.b_ih, g.b_hh = maybe(c0), maybe(b_ih), maybe(b_hh)
    g.y, g.gates, g.cells = f32(y), f32(gates), f32(cells)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.lstm(&g)
    check(code)
    cdef Py_ssize_t last = 0 if reverse else g.T - 1
    hT[...], cT[...] = y[last], cells[last]


def backward(dy, dhT, dcT, x, h0, c0, w_ih, w_hh, y, gates, cells, bint reverse, dx,
             cnp.ndarray dh0, cnp.ndarray dc0, cnp.ndarray dw_ih, cnp.ndarray dw_hh, cnp.ndarray db):
    cdef fd_recurrent_args g
    contiguous = np.ascontiguousarray
    x, h0, c0, w_ih, w_hh = contiguous(x), contiguous(h0), contiguous(c0), contiguous(w_ih), contiguous(w_hh)
    y, gates, cells = contiguous(y), contiguous(gates), contiguous(cells)
    dy, dhT, dcT = contiguous(dy), contiguous(dhT), contiguous(dcT)
    set_layer(&g, x, h0, w_ih, w_hh, reverse)
    g.c0, g.y, g.gates, g.cells = maybe(c0), maybe(y), maybe(gates), maybe(cells)
    g.dy, g.dhT, g.dcT = maybe(dy), maybe(dhT), maybe(dcT)
    g.dx, g.dh0, g.dc0 = maybe(dx), f32(dh0), f32(dc0)
    g.dw_ih, g.dw_hh, g.db_ih = f32(dw_ih), f32(dw_hh), f32(db)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.lstm_backward(&g)
    check(code)
