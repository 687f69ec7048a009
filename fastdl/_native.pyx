"""The only module linked with csrc: ISA, threads, memory pool, and the kernel table for the *_cython rungs."""

import os

cimport numpy as cnp
from cpython.ref cimport Py_INCREF

cnp.import_array()

cdef extern from "fastdl.h" nogil:
    const char *fd_isa_names()
    int fd_select_isa(const char *name)
    ctypedef struct fd_relayout_args:
        long batch, rows, cols, size
        const void *x
        long x_batch, x_col
        void *out
    ctypedef struct fd_kernels:
        int (*relayout)(const fd_relayout_args *) noexcept nogil
    const void *fd_table()
    ctypedef struct fd_join_args:
        long rows, count
        const char **x
        const long *x_row
        const long *width
        void *out
        long out_row
    void fd_join(const fd_join_args *)
    void fd_set_threads(int n)
    int fd_get_threads()
    int fd_started_threads()
    void *fd_pool_get(size_t bytes)
    void fd_pool_put(void *block)
    void fd_pool_set_limit(size_t bytes)
    size_t fd_pool_limit()
    size_t fd_pool_cached()
    size_t fd_pool_used()
    size_t fd_pool_take_peak()
    void fd_pool_trim()

cdef size_t POOLED = 16384  # bytes; NumPy's own allocator is good at what is smaller


cdef const void *table() noexcept nogil:
    return fd_table()


cdef int check(int code) except -1:
    if code:
        raise MemoryError("fastdl: the system has no memory left for a kernel's workspace")
    return 0


def isas():
    """Names of the ISA tiers that this build holds and this CPU can run, best last."""
    return fd_isa_names().decode().split()


def _select():
    name = os.environ.get("FASTDL_ISA", "")
    if fd_select_isa(name.encode()):
        raise RuntimeError(f"FASTDL_ISA={name!r} is not a tier this machine can run; choose one of {', '.join(isas())}")
    return name or isas()[-1]


isa = _select()


def set_threads(int n):
    fd_set_threads(n)


def get_threads():
    return fd_get_threads()


def started_threads():
    """Workers alive now; none before the first parallel kernel."""
    return fd_started_threads()


cdef class PoolBlock:
    """Owns one block of the pool; the base of the arrays that lie in it."""
    cdef void *data

    def __dealloc__(self):
        fd_pool_put(self.data)


cpdef cnp.ndarray empty(tuple shape, dtype):
    """An uninitialised C-contiguous array, from the pool when it is large."""
    cdef cnp.dtype descr = dtype if isinstance(dtype, cnp.dtype) else cnp.dtype(dtype)
    cdef cnp.npy_intp dims[32]
    cdef int ndim = len(shape), i
    cdef size_t count = 1
    if ndim > 32:
        raise ValueError(f"at most 32 axes, not {ndim}")
    for i in range(ndim):
        dims[i] = shape[i]
        if dims[i] < 0:
            raise ValueError(f"negative size in shape {shape}")
        if dims[i] and count > <size_t> (1 << 62) // <size_t> dims[i]:
            raise MemoryError(f"an array of shape {shape} is larger than the address space")
        count *= <size_t> dims[i]
    cdef size_t nbytes = count * <size_t> descr.itemsize
    if nbytes < POOLED or descr.hasobject:
        return cnp.PyArray_EMPTY(ndim, dims, descr.num, 0)
    cdef PoolBlock block = PoolBlock.__new__(PoolBlock)
    block.data = fd_pool_get(nbytes)
    if block.data is NULL:
        raise MemoryError(f"no memory for an array of shape {shape} and type {descr} ({nbytes / 2 ** 20:.1f} MiB)")
    cdef cnp.ndarray array = cnp.PyArray_SimpleNewFromData(ndim, dims, descr.num, block.data)
    Py_INCREF(block)
    cnp.PyArray_SetBaseObject(array, block)
    return array


def copy_transposed(cnp.ndarray x, cnp.ndarray out):
    """Copies x to `out`, C-contiguous and of x's shape, if that turns matrices around; False, with nothing done, if not.

    That is: after joining axes which x allows to join, there are at most three, and the last but one has stride 1.
    """
    cdef cnp.npy_intp dims[32]
    cdef cnp.npy_intp steps[32]
    cdef int n = 0, i
    cdef cnp.npy_intp size = x.itemsize
    if x.ndim > 32 or (size != 4 and size != 8) or not out.flags.c_contiguous or x.descr.hasobject or not x.flags.aligned:
        return False
    for i in range(x.ndim):
        if x.shape[i] == 1:
            continue
        if n and steps[n - 1] == x.strides[i] * x.shape[i]:
            dims[n - 1] *= x.shape[i]
        else:
            dims[n] = x.shape[i]
            n += 1
        steps[n - 1] = x.strides[i]
    if not 2 <= n <= 3 or steps[n - 2] != size or steps[n - 1] % size or (n == 3 and steps[0] % size):
        return False
    cdef fd_relayout_args g
    g.batch, g.rows, g.cols, g.size = dims[0] if n == 3 else 1, dims[n - 2], dims[n - 1], size
    g.x, g.out = cnp.PyArray_DATA(x), cnp.PyArray_DATA(out)
    g.x_batch, g.x_col = steps[0] // size if n == 3 else 0, steps[n - 1] // size
    cdef int code
    with nogil:
        code = (<const fd_kernels *> fd_table()).relayout(&g)
    check(code)
    return True


cdef enum:
    MOST = 64  # pieces of one call of join


def join(list arrays, int axis, cnp.ndarray out):
    """Writes the arrays, joined along `axis`, into `out`, whose memory has no gaps; False, with nothing done, if it cannot.

    It can if each array is a matrix in the memory order of `out`: rows without gaps that lie equally far apart.
    """
    cdef int ndim = out.ndim, i, j, k, count = len(arrays), before = 0, found
    cdef int order[32]
    cdef cnp.npy_intp size = out.itemsize, width, step, rows = 1
    cdef const char *x[MOST]
    cdef long x_row[MOST]
    cdef long widths[MOST]
    cdef cnp.ndarray a
    if ndim > 32 or count > MOST or out.descr.hasobject:
        return False
    for i in range(ndim):  # insertion: the axes, those of the longest steps first; in the order given where steps are equal
        j = i
        while j > 0 and out.strides[order[j - 1]] < out.strides[i]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
    while order[before] != axis:
        rows *= out.shape[order[before]]
        before += 1
    cdef fd_join_args g
    g.rows, g.count, g.out, g.out_row = rows, count, cnp.PyArray_DATA(out), 0
    for k in range(count):
        a = arrays[k]
        if a.descr is not out.descr or not cnp.PyArray_ISNOTSWAPPED(a):
            return False
        width = size
        for i in range(ndim - 1, before - 1, -1):
            if a.shape[order[i]] != 1 and a.strides[order[i]] != width:
                return False
            width *= a.shape[order[i]]
        found, step, x_row[k] = False, 0, width
        for i in range(before - 1, -1, -1):
            if a.shape[order[i]] == 1:
                continue
            if not found:
                found, step, x_row[k] = True, a.strides[order[i]], a.strides[order[i]]
            elif a.strides[order[i]] != step:
                return False
            step *= a.shape[order[i]]
        x[k], widths[k] = <const char *> cnp.PyArray_DATA(a), width
        g.out_row += width
    g.x, g.x_row, g.width = x, x_row, widths
    with nogil:
        fd_join(&g)
    return True


cpdef cnp.ndarray plain(cnp.ndarray x):
    """x itself if its memory is aligned and in native byte order, else a copy that is."""
    if cnp.PyArray_ISALIGNED(x) and cnp.PyArray_ISNOTSWAPPED(x):
        return x
    return (<object> x).astype((<object> x).dtype.newbyteorder("="))


def pool_stats():
    """Bytes in use, bytes kept for reuse, and the limit of the latter."""
    return {"used": fd_pool_used(), "cached": fd_pool_cached(), "limit": fd_pool_limit()}


def pool_take_peak():
    """The most bytes that were in use since the last call."""
    return fd_pool_take_peak()


def pool_set_limit(size_t nbytes):
    fd_pool_set_limit(nbytes)


def pool_trim():
    fd_pool_trim()
