# An Axis of _axis.py as the struct that csrc reads. The Axis must outlive the call: its arrays are not copied.
cimport numpy as cnp

cdef extern from "fastdl.h" nogil:
    ctypedef struct fd_axis:
        long inputs, outputs
        const int *ptr
        const int *index
        const int *tap
        const float *weight

cdef inline fd_axis native_axis(object axis):
    cdef fd_axis a
    a.inputs = axis.inputs
    a.outputs = axis.outputs
    a.ptr = <const int *> cnp.PyArray_DATA(axis.ptr)
    a.index = <const int *> cnp.PyArray_DATA(axis.index)
    a.tap = <const int *> cnp.PyArray_DATA(axis.tap)
    a.weight = <const float *> cnp.PyArray_DATA(axis.weight32)
    return a
