"""What this machine can do at most (csrc/kernels/roofline.c): FLOP/s of fused multiply-adds, bytes/s of memory."""

import time

import numpy as np

cimport numpy as cnp

from fastdl._native cimport f32, table

cnp.import_array()

cdef extern from "fastdl.h" nogil:
    enum:
        FD_PASS_FMA
        FD_PASS_READ
        FD_PASS_COPY
        FD_PASS_TRIAD
    ctypedef struct fd_roofline_args:
        int what "pass"
        long chunks, n
        const float *a
        const float *b
        float *c
        long *flops
    ctypedef struct fd_kernels:
        int (*roofline)(const fd_roofline_args *) noexcept nogil


cdef double clock(fd_roofline_args *args, int repeats) except -1:
    """Seconds of the fastest of several passes."""
    cdef const fd_kernels *kernels = <const fd_kernels *> table()
    cdef double best = 1e30
    for _ in range(repeats):
        start = time.perf_counter()
        with nogil:
            kernels.roofline(args)
        best = min(best, time.perf_counter() - start)
    return best


def flops_per_second(int chunks, double seconds=0.2, int repeats=5):
    """FLOP/s (a fused multiply-add counts two) with `chunks` equal pieces of work; one for each thread makes sense."""
    cdef fd_roofline_args args
    cdef long flops = 0
    cdef cnp.ndarray factors = np.array([0.5, 1.0], np.float32), sums = np.zeros(chunks, np.float32)
    args.what = FD_PASS_FMA
    args.chunks = chunks
    args.n = 10000
    args.a = f32(factors)
    args.b = NULL
    args.c = f32(sums)
    args.flops = &flops
    args.n = <long> (args.n * seconds / max(clock(&args, 3), 1e-6))
    took = clock(&args, repeats)
    return flops / took


def bytes_per_second(what, long megabytes=256, int chunks=64, int repeats=5):
    """Bytes/s of "read", "copy", "triad" or "update" (a triad in place) over arrays of that size, counting all that moves.

    Copy and triad write over lines that they did not read, which the caches fetch first: one stream more.
    """
    cdef fd_roofline_args args
    cdef long flops = 0
    passes = {"read": (FD_PASS_READ, 1), "copy": (FD_PASS_COPY, 3), "triad": (FD_PASS_TRIAD, 4), "update": (FD_PASS_TRIAD, 3)}
    cdef long n = megabytes * 2 ** 18 // chunks // 256 * 256
    cdef cnp.ndarray a = np.ones(n * chunks, np.float32)
    cdef cnp.ndarray b = np.ones(n * chunks if what in ("triad", "update") else 1, np.float32)
    cdef cnp.ndarray c = a if what == "update" else np.ones(n * chunks if what != "read" else chunks, np.float32)
    args.what, streams = passes[what]
    args.chunks = chunks
    args.n = n
    args.a = f32(a)
    args.b = f32(b)
    args.c = f32(c)
    args.flops = &flops
    return 4 * streams * n * chunks / clock(&args, repeats)
