"""Optimizer steps in C: one call for all arrays, one pass over memory (csrc/kernels/optim_*.c).

Idea: a table of pointers goes down; the team shares it out in chunks of 64 KB. Beats NumPy by one pass instead of ten,
and by one call instead of ten for every parameter. The table of a Group is built once; later steps fill in the gradients.
An array whose memory has gaps is stepped by the NumPy rung.
"""

import numpy as np

cimport numpy as cnp
from libc.stdlib cimport calloc, free

from fastdl._native cimport check, table

from fastdl.kernels import optim_step_numpy
from fastdl.kernels.optim_step import Group, check_one

cnp.import_array()

DTYPES = ("float32",)

cdef extern from "fastdl.h" nogil:
    enum:
        FD_ADAM_UNSCALED
    ctypedef struct fd_optim_array:
        float *p
        const float *g
        float *m
        float *v
        float *w
        long n, rows
        int rows_last
    ctypedef struct fd_sgd_args:
        long count
        const fd_optim_array *arrays
        float lr, momentum, fresh, decay
        int nesterov, maximize, first
    ctypedef struct fd_adam_args:
        long count
        const fd_optim_array *arrays
        float beta1, beta2, one_minus_beta1, one_minus_beta2
        float eps, decay, keep, step_size, mean_weight, grad_weight, root_correction
        int denominator, maximize
    ctypedef struct fd_adamax_args:
        long count
        const fd_optim_array *arrays
        float beta1, beta2, one_minus_beta1, eps, decay, step_size
        int maximize
    ctypedef struct fd_adagrad_args:
        long count
        const fd_optim_array *arrays
        float lr, eps, decay
        int eps_inside, maximize
    ctypedef struct fd_adadelta_args:
        long count
        const fd_optim_array *arrays
        float lr, rho, one_minus_rho, eps, decay
        int maximize
    ctypedef struct fd_rmsprop_args:
        long count
        const fd_optim_array *arrays
        float lr, alpha, one_minus_alpha, eps, decay, momentum
        int eps_inside, maximize
    ctypedef struct fd_projected_args:
        long count
        const fd_optim_array *arrays
        float beta1, beta2, fresh, look, one_minus_beta2
        float eps, delta, keep, keep_projected, step_size, root_correction
        int adaptive, nesterov, maximize
    ctypedef struct fd_kernels:
        int (*sgd)(const fd_sgd_args *) noexcept nogil
        int (*adam)(const fd_adam_args *) noexcept nogil
        int (*adamax)(const fd_adamax_args *) noexcept nogil
        int (*adagrad)(const fd_adagrad_args *) noexcept nogil
        int (*adadelta)(const fd_adadelta_args *) noexcept nogil
        int (*rmsprop)(const fd_rmsprop_args *) noexcept nogil
        int (*projected)(const fd_projected_args *) noexcept nogil


cdef bint plain(cnp.ndarray x) noexcept:
    return cnp.PyArray_ISALIGNED(x) and cnp.PyArray_ISNOTSWAPPED(x)


cdef bint dense(cnp.ndarray x):
    """Has its memory no gaps, in whatever order its axes lie?"""
    if cnp.PyArray_IS_C_CONTIGUOUS(x):
        return plain(x)
    strides = (<object> x).strides
    order = sorted(range(cnp.PyArray_NDIM(x)), key=lambda axis: -strides[axis])
    return plain(x) and (<object> x).transpose(order).flags.c_contiguous


cdef bint alike(cnp.ndarray x, cnp.ndarray y) noexcept:
    """Do both arrays, of one shape, lie in memory in the same order?"""
    cdef int i
    if cnp.PyArray_IS_C_CONTIGUOUS(x) and cnp.PyArray_IS_C_CONTIGUOUS(y):
        return plain(y)
    for i in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_STRIDE(x, i) != cnp.PyArray_STRIDE(y, i) and cnp.PyArray_DIM(x, i) > 1:
            return False
    return plain(y)


cdef bint same_shape(cnp.ndarray x, cnp.ndarray y) noexcept:
    cdef int i
    if cnp.PyArray_NDIM(x) != cnp.PyArray_NDIM(y):
        return False
    for i in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_DIM(x, i) != cnp.PyArray_DIM(y, i):
            return False
    return True


cdef bint rows_of(cnp.ndarray x, fd_optim_array *row) noexcept:
    """Fill in where the rows (output channels) of a dense array lie; False if neither first nor last in memory."""
    cdef int i
    row.rows = row.rows_last = 0
    if cnp.PyArray_NDIM(x) < 2 or row.n == 0:
        return True
    row.rows = cnp.PyArray_DIM(x, 0)
    if row.rows == 1:
        return True
    if cnp.PyArray_STRIDE(x, 0) == sizeof(float):
        row.rows_last = True
        return True
    for i in range(1, cnp.PyArray_NDIM(x)):
        if cnp.PyArray_STRIDE(x, i) > cnp.PyArray_STRIDE(x, 0) and cnp.PyArray_DIM(x, i) > 1:
            return False
    return True


cdef class Table:
    """The pointers of all arrays that C can step, and the positions of those it cannot."""
    cdef fd_optim_array *rows
    cdef long count
    cdef list params, places, copies, others
    cdef tuple states
    cdef str name

    def __cinit__(self, str name, list params, tuple states, bint by_rows):
        cdef cnp.ndarray p, s
        cdef fd_optim_array *row
        cdef long i, n = len(params)
        cdef bint fits
        self.name, self.params, self.states, self.places, self.others = name, params, states, [], []
        self.rows = <fd_optim_array *> calloc(n + 1, sizeof(fd_optim_array))
        if self.rows is NULL:
            raise MemoryError()
        for i in range(n):
            p = params[i]
            fits = dense(p)
            for state in states:
                if state is not None:
                    s = state[i]
                    fits = fits and alike(p, s)
            row = &self.rows[self.count]
            row.n = cnp.PyArray_SIZE(p)
            if not fits or (by_rows and not rows_of(p, row)):
                self.others.append(i)
                continue
            row.p = <float *> cnp.PyArray_DATA(p)
            row.m = pointer(states, 0, i)
            row.v = pointer(states, 1, i)
            row.w = pointer(states, 2, i)
            self.places.append(i)
            self.count += 1

    cdef fill(self, list grads):
        """Look at the gradients, one for each parameter, and note where they lie."""
        cdef cnp.ndarray p, g
        cdef long k, i
        self.copies = []
        if len(grads) != len(self.params):
            raise ValueError(f"{self.name}: {len(self.params)} parameters, but a list of {len(grads)} beside them")
        for k in range(self.count):
            i = self.places[k]
            p, g = self.params[i], grads[i]
            if cnp.PyArray_TYPE(g) != cnp.NPY_FLOAT32 or not same_shape(p, g):
                check_one(self.name, i, p, g)
            if not alike(p, g):
                same = np.empty_like(p)
                same[...] = g
                self.copies.append(same)
                g = same
            self.rows[k].g = <const float *> cnp.PyArray_DATA(g)

    def rest(self, list grads):
        """(parameters, gradients, lists of states) of those that the NumPy rung is to step."""
        for i in self.others:
            check_one(self.name, i, self.params[i], grads[i])
        lists = [self.params, grads, *self.states]
        return [None if arrays is None else [arrays[i] for i in self.others] for arrays in lists]

    def __dealloc__(self):
        free(self.rows)


cdef float *pointer(tuple states, int which, long i):
    if which >= len(states) or states[which] is None:
        return NULL
    return <float *> cnp.PyArray_DATA(<cnp.ndarray> states[which][i])


cdef Table table_of(str name, params, grads, tuple states, bint by_rows=False):
    """The table of a Group is kept with it; of other lists it is built for this call."""
    cdef Table t
    if type(params) is Group:
        t = params.table
        if t is None:
            t = params.table = Table(name, list(params), states, by_rows)
    else:
        t = Table(name, list(params), states, by_rows)
    t.fill(grads if type(grads) is list else list(grads))
    return t


cdef const fd_kernels *kernels() noexcept nogil:
    return <const fd_kernels *> table()


cdef sgd_call(Table t, lr, momentum, dampening, decay, int nesterov, bint maximize, bint first):
    cdef fd_sgd_args s
    s.count, s.arrays = t.count, t.rows
    s.lr, s.momentum, s.fresh, s.decay = lr, momentum, 1 - dampening, decay
    s.nesterov, s.maximize, s.first = nesterov, maximize, first
    cdef int code
    with nogil:
        code = kernels().sgd(&s)
    check(code)


def sgd(params, grads, momenta, lr, momentum, dampening, decay, nesterov, maximize, first):
    cdef Table t = table_of("sgd", params, grads, (momenta,))
    sgd_call(t, lr, momentum, dampening, decay, 1 if nesterov else 0, maximize, first)
    if t.others:
        optim_step_numpy.sgd(*t.rest(grads), lr, momentum, dampening, decay, nesterov, maximize, first)


def nag(params, grads, momenta, lr, momentum, decay, maximize):
    cdef Table t = table_of("nag", params, grads, (momenta,))
    sgd_call(t, lr, momentum, 0, decay, 2, maximize, False)
    if t.others:
        optim_step_numpy.nag(*t.rest(grads), lr, momentum, decay, maximize)


cdef adam_call(Table t, beta1, beta2, eps, decay, keep, step_size, root2, int denominator, bint maximize, mean_weight=1,
               grad_weight=0):
    cdef fd_adam_args s
    s.count, s.arrays = t.count, t.rows
    s.beta1, s.beta2, s.one_minus_beta1, s.one_minus_beta2 = beta1, beta2, 1 - beta1, 1 - beta2
    s.eps, s.decay, s.keep, s.step_size, s.root_correction = eps, decay, keep, step_size, root2
    s.mean_weight, s.grad_weight = mean_weight, grad_weight
    s.denominator, s.maximize = denominator, maximize
    cdef int code
    with nogil:
        code = kernels().adam(&s)
    check(code)


def adam(params, grads, means, squares, tops, beta1, beta2, eps, decay, keep, step_size, root2, maximize, eps_inside):
    cdef Table t = table_of("adam", params, grads, (means, squares, tops))
    adam_call(t, beta1, beta2, eps, decay, keep, step_size, root2, 1 if eps_inside else 0, maximize)
    if t.others:
        optim_step_numpy.adam(*t.rest(grads), beta1, beta2, eps, decay, keep, step_size, root2, maximize, eps_inside)


def nadam(
    params, grads, means, squares, beta1, beta2, eps, decay, keep, step_size, mean_weight, grad_weight, root2, maximize
):
    cdef Table t = table_of("nadam", params, grads, (means, squares))
    adam_call(t, beta1, beta2, eps, decay, keep, step_size, root2, 0, maximize, mean_weight, grad_weight)
    if t.others:
        optim_step_numpy.nadam(
            *t.rest(grads), beta1, beta2, eps, decay, keep, step_size, mean_weight, grad_weight, root2,
            maximize)


def radam(params, grads, means, squares, beta1, beta2, eps, decay, keep, step_size, rectified, maximize):
    cdef Table t = table_of("radam", params, grads, (means, squares))
    adam_call(t, beta1, beta2, eps, decay, keep, step_size, 1, 0 if rectified else FD_ADAM_UNSCALED, maximize)
    if t.others:
        optim_step_numpy.radam(*t.rest(grads), beta1, beta2, eps, decay, keep, step_size, rectified, maximize)


def adamax(params, grads, means, tops, beta1, beta2, eps, decay, step_size, maximize):
    cdef Table t = table_of("adamax", params, grads, (means, tops))
    cdef fd_adamax_args s
    s.count, s.arrays = t.count, t.rows
    s.beta1, s.beta2, s.one_minus_beta1, s.eps, s.decay, s.step_size = beta1, beta2, 1 - beta1, eps, decay, step_size
    s.maximize = maximize
    cdef int code
    with nogil:
        code = kernels().adamax(&s)
    check(code)
    if t.others:
        optim_step_numpy.adamax(*t.rest(grads), beta1, beta2, eps, decay, step_size, maximize)


def adagrad(params, grads, sums, lr, eps, decay, maximize, eps_inside):
    cdef Table t = table_of("adagrad", params, grads, (sums,))
    cdef fd_adagrad_args s
    s.count, s.arrays = t.count, t.rows
    s.lr, s.eps, s.decay, s.eps_inside, s.maximize = lr, eps, decay, eps_inside, maximize
    cdef int code
    with nogil:
        code = kernels().adagrad(&s)
    check(code)
    if t.others:
        optim_step_numpy.adagrad(*t.rest(grads), lr, eps, decay, maximize, eps_inside)


def adadelta(params, grads, squares, deltas, lr, rho, eps, decay, maximize):
    cdef Table t = table_of("adadelta", params, grads, (squares, deltas))
    cdef fd_adadelta_args s
    s.count, s.arrays = t.count, t.rows
    s.lr, s.rho, s.one_minus_rho, s.eps, s.decay, s.maximize = lr, rho, 1 - rho, eps, decay, maximize
    cdef int code
    with nogil:
        code = kernels().adadelta(&s)
    check(code)
    if t.others:
        optim_step_numpy.adadelta(*t.rest(grads), lr, rho, eps, decay, maximize)


def rmsprop(params, grads, squares, means, momenta, lr, alpha, eps, decay, momentum, maximize, eps_inside):
    cdef Table t = table_of("rmsprop", params, grads, (squares, means, momenta))
    cdef fd_rmsprop_args s
    s.count, s.arrays = t.count, t.rows
    s.lr, s.alpha, s.one_minus_alpha, s.eps, s.decay, s.momentum = lr, alpha, 1 - alpha, eps, decay, momentum
    s.eps_inside, s.maximize = eps_inside, maximize
    cdef int code
    with nogil:
        code = kernels().rmsprop(&s)
    check(code)
    if t.others:
        optim_step_numpy.rmsprop(*t.rest(grads), lr, alpha, eps, decay, momentum, maximize, eps_inside)


def adamp(
    params, grads, means, squares, beta1, beta2, eps, delta, keep, keep_projected, step_size, root2, nesterov, maximize
):
    cdef Table t = table_of("adamp", params, grads, (means, squares), True)
    cdef fd_projected_args s
    s.count, s.arrays = t.count, t.rows
    s.beta1, s.beta2, s.fresh, s.look, s.one_minus_beta2 = beta1, beta2, 1 - beta1, 1 - beta1, 1 - beta2
    s.eps, s.delta, s.keep, s.keep_projected, s.step_size, s.root_correction = (
        eps, delta, keep, keep_projected, step_size, root2)
    s.adaptive, s.nesterov, s.maximize = True, nesterov, maximize
    cdef int code
    with nogil:
        code = kernels().projected(&s)
    check(code)
    if t.others:
        optim_step_numpy.adamp(*t.rest(grads), beta1, beta2, eps, delta, keep, keep_projected, step_size, root2,
                               nesterov, maximize)


def sgdp(params, grads, momenta, lr, momentum, dampening, eps, delta, keep, keep_projected, nesterov, maximize):
    cdef Table t = table_of("sgdp", params, grads, (momenta,), True)
    cdef fd_projected_args s
    s.count, s.arrays = t.count, t.rows
    s.beta1, s.beta2, s.fresh, s.look, s.one_minus_beta2 = momentum, 0, 1 - dampening, 1, 1
    s.eps, s.delta, s.keep, s.keep_projected, s.step_size, s.root_correction = eps, delta, keep, keep_projected, lr, 1
    s.adaptive, s.nesterov, s.maximize = False, nesterov, maximize
    cdef int code
    with nogil:
        code = kernels().projected(&s)
    check(code)
    if t.others:
        optim_step_numpy.sgdp(*t.rest(grads), lr, momentum, dampening, eps, delta, keep, keep_projected, nesterov,
                              maximize)
