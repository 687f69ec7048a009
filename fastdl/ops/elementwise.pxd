# Types for elementwise.py, read by Cython only.
cimport cython

from fastdl.ops._dtypes cimport operands
from fastdl.tape cimport Function, TensorBase, is_grad_enabled, unpack, wrap

cpdef object on_arrays(str op, object a, object b)

cpdef object fit(Function ctx, Py_ssize_t i, TensorBase grad)

cpdef object _times(TensorBase dy, TensorBase y)
