# What the *_cython.pyx rungs share. `table()` is the fd_kernels of the chosen ISA; rungs cast it to fastdl.h's struct.
cimport numpy as cnp

cdef const void *table() noexcept nogil
cdef int check(int code) except -1

# data pointer and strides in elements of a float32 array
cdef inline float *f32(cnp.ndarray x) noexcept:
    return <float *> cnp.PyArray_DATA(x)

cdef inline long stride(cnp.ndarray x, int axis) noexcept:
    if cnp.PyArray_DIM(x, axis) <= 1:
        return 1  # NumPy leaves any number there
    return cnp.PyArray_STRIDE(x, axis) // cnp.PyArray_ITEMSIZE(x)

cdef inline long dim(cnp.ndarray x, int axis) noexcept:
    return cnp.PyArray_DIM(x, axis)
