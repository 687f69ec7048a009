# Types for _dtypes.py, read by Cython only.
cimport cython

from fastdl.tape cimport TensorBase, wrap

cpdef object constant(object value, object dtype)

@cython.locals(first=TensorBase, second=TensorBase)
cpdef tuple operands(object x, object y, object op, bint floating=*)
