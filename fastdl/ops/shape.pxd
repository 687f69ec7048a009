# Types for shape.py, read by Cython only.
from fastdl.tape cimport Function, TensorBase, unpack, wrap
