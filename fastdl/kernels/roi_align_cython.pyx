"""RoI align in C (csrc/kernels/roi.c).

Idea: weights of a bin's samples are summed per row and per column first, so that every cell is loaded and multiplied
once. Beats Numba by keeping 64 channels of a bin in registers, by strips of the gradient that stay in L2, and by threads.
"""

cimport numpy as cnp

from fastdl._native cimport check, f32, table
from fastdl.kernels._roi_native cimport fd_roi_shape, roi_shape

from fastdl.kernels import _roi
from fastdl.kernels._memory import channels_last

cnp.import_array()

DTYPES = ("float32",)

cdef extern from "fastdl.h" nogil:
    ctypedef struct fd_roi_align_args:
        fd_roi_shape s
        const double *start
        const double *step
        const int *samples
        float *x
        float *out
        int backward
    ctypedef struct fd_kernels:
        int (*roi_align)(const fd_roi_align_args *) noexcept nogil


cdef align(cnp.ndarray x, cnp.ndarray out, boxes, spatial_scale, sampling_ratio, aligned, int backward):
    cdef cnp.ndarray image, start, step, samples
    cdef fd_roi_align_args g
    image, start, step, samples = _roi.align_grid(
        boxes, spatial_scale, *(<object> out).shape[2:], sampling_ratio, aligned
    )
    g.s = roi_shape(image, x, out)
    g.start = <const double *> cnp.PyArray_DATA(start)
    g.step = <const double *> cnp.PyArray_DATA(step)
    g.samples = <const int *> cnp.PyArray_DATA(samples)
    g.x = f32(x)
    g.out = f32(out)
    g.backward = backward
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef int code
    with nogil:
        code = kernels.roi_align(&g)
    check(code)


def forward(x, boxes, spatial_scale, sampling_ratio, aligned, out):
    align(channels_last(x), out, boxes, spatial_scale, sampling_ratio, aligned, 0)


def backward_x(dy, boxes, spatial_scale, sampling_ratio, aligned, out):
    align(out, channels_last(dy), boxes, spatial_scale, sampling_ratio, aligned, 1)
