# Types for _plan.py, read by Cython only.
cimport cython

from fastdl.tape cimport TensorBase


cdef class Part:
    cdef public list params, arrays, values
    cdef public object group, grads
    cdef public tuple names, counters, numbers
    cdef public list columns
    cdef public bint fresh


cdef class Plan:
    cdef public list order, idle, parts
    cdef public tuple names


@cython.locals(order=list, i=Py_ssize_t, t=TensorBase, part=Part)
cpdef bint gather(Plan plan, list params, dict state)

@cython.locals(
    names=tuple, columns=list, counters=tuple, numbers=tuple, grads=list, i=Py_ssize_t, k=Py_ssize_t, t=TensorBase,
    grad=TensorBase, known=dict, column=list
)
cpdef bint ready(Part part, list params, list arrays, list values, dict state)

@cython.locals(known=dict, k=Py_ssize_t)
cpdef object count(Part part, list values, tuple counters, tuple numbers)
