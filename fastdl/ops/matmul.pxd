# Types for matmul.py, read by Cython only.
from fastdl.tape cimport Function, TensorBase, is_grad_enabled, unpack, wrap
