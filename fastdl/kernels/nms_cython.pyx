"""Non-maximum suppression in C (csrc/kernels/nms.c).

Idea: a kept box is compared with 16 later ones at once. Beats NumPy by five passes over memory fewer a kept box.
"""

cimport numpy as cnp

from fastdl._native cimport check, dim, f32, table

cnp.import_array()

DTYPES = ("float32",)

cdef extern from "fastdl.h" nogil:
    ctypedef struct fd_nms_args:
        long N
        const float *boxes
        float iou_threshold
        unsigned char *kept
    ctypedef struct fd_kernels:
        int (*nms)(const fd_nms_args *) noexcept nogil


def forward(cnp.ndarray boxes, float iou_threshold, cnp.ndarray kept):
    cdef fd_nms_args g
    g.N = dim(boxes, 0)
    g.boxes = f32(boxes)
    g.iou_threshold = iou_threshold
    g.kept = <unsigned char *> cnp.PyArray_DATA(kept)
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.nms(&g)
    check(code)
