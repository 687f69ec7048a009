# The shapes of a RoI kernel as the struct that csrc reads.
cimport numpy as cnp

from fastdl._native cimport dim

cdef extern from "fastdl.h" nogil:
    ctypedef struct fd_roi_shape:
        long K, N, C, H, W, PH, PW
        const cnp.int64_t *image

cdef inline fd_roi_shape roi_shape(cnp.ndarray image, cnp.ndarray x, cnp.ndarray out):
    """image (K,), x (N, C, H, W), out (K, C, PH, PW)."""
    cdef fd_roi_shape s
    s.K = dim(out, 0)
    s.N = dim(x, 0)
    s.C = dim(x, 1)
    s.H = dim(x, 2)
    s.W = dim(x, 3)
    s.PH = dim(out, 2)
    s.PW = dim(out, 3)
    s.image = <const cnp.int64_t *> cnp.PyArray_DATA(image)
    return s
