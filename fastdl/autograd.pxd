# Types for autograd.py, read by Cython only. autograd.py alone is the program; it also runs uncompiled.
cimport cython

from fastdl.tape cimport Function as CFunction
from fastdl.tape cimport TensorBase as CTensor


@cython.locals(leaf=CTensor, node=CFunction, nr=Py_ssize_t, slots=list, box=list)
cpdef object _deliver(object edge, CTensor grad, dict pending, dict leaves, list heap, bint create, object needed)

@cython.locals(total=CTensor)
cpdef CTensor _sum(CTensor old, CTensor new, bint create)

@cython.locals(g=CTensor, one=CTensor)
cpdef object _hand_over(CFunction node, object grads)

@cython.locals(node=CFunction, i=Py_ssize_t, count=Py_ssize_t, edges=tuple, results=tuple)
cpdef object _sweep(dict pending, dict leaves, list heap, bint keep, bint create, object needed, object captured)

@cython.locals(grad=CTensor)
cpdef object _store(CTensor leaf, list box, bint create)
