# Types for tape.py, read by Cython only. tape.py alone is the program; it also runs uncompiled.
cimport cython


cdef class Version:
    cdef public Py_ssize_t value
    cdef public object _op, _code, _lasti


cdef class TensorBase:
    cdef public object array, grad
    cdef public Function grad_fn
    cdef public Py_ssize_t output_nr, _view_version
    cdef public bint _tracked
    cdef public Version _counter
    cdef public TensorBase _base
    cdef public tuple _replay
    cdef public list _hooks
    cdef object __weakref__


cdef class Function:
    cdef public tuple _edges, _saved, _versions, _inputs_needed
    cdef public object _code, _lasti, _meta
    cdef public list _hooks, _own
    cdef public tuple _dirty, _unmarked
    cdef public long long _seq
    cdef public Py_ssize_t _args, _outputs
    cdef public bint _freed, _undefined, recording
    cdef object __weakref__
    cdef bint needs(self, Py_ssize_t i)

cdef set off, _user_files


cpdef object is_grad_enabled()

cpdef object _user_frame()

@cython.locals(t=TensorBase)
cpdef TensorBase wrap(object array)

cpdef Version _counter_of(TensorBase t)

cpdef object refresh(TensorBase view)

@cython.locals(root=TensorBase)
cpdef object link_view(TensorBase view, TensorBase base, object cls, tuple args)

@cython.locals(version=Version)
cpdef object wrote(TensorBase t, object op=*)

@cython.locals(t=TensorBase, version=Version)
cpdef object wrote_all(list tensors, object op)

@cython.locals(count=Py_ssize_t)
cpdef object _forward(object cls, Function ctx, tuple args)

@cython.locals(t=TensorBase, ctx=Function, needed=bint)
cpdef object _apply(object cls, tuple args)

@cython.locals(t=TensorBase, edges=list)
cpdef object _record(object cls, Function ctx, tuple args)

@cython.locals(out=TensorBase)
cpdef object _attach(Function ctx, object value, Py_ssize_t nr, tuple args)

@cython.locals(t=TensorBase, alias=TensorBase, i=Py_ssize_t, written=bint, saved=tuple)
cpdef object _pack(Function ctx)

@cython.locals(t=TensorBase, alias=TensorBase, i=Py_ssize_t, saved=tuple, unpacked=list, version=Version)
cpdef tuple unpack(Function ctx)
