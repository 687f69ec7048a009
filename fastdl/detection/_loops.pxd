cimport cython


cdef int _find(int[::1] parent, int i) noexcept

@cython.locals(e=cython.Py_ssize_t, i=cython.int, j=cython.int)
cpdef segment(int[::1] a, int[::1] b, double[::1] w, double k, int min_size, int[::1] parent, int[::1] size, double[::1] inner)

@cython.locals(q=cython.Py_ssize_t, bins=cython.Py_ssize_t, first=cython.Py_ssize_t, last=cython.Py_ssize_t, total=cython.double,
               x=cython.double, y=cython.double, both=cython.double, hull=cython.double, left=cython.double, top=cython.double,
               right=cython.double, bottom=cython.double)
cdef double _alike(Py_ssize_t i, Py_ssize_t j, Py_ssize_t colours, double area, bint use_colour, bint use_texture,
                   double[:, ::1] histograms, double[::1] sizes, double[:, ::1] boxes) noexcept

@cython.locals(R=cython.Py_ssize_t, i=cython.Py_ssize_t, j=cython.Py_ssize_t, k=cython.Py_ssize_t, q=cython.Py_ssize_t,
               s=cython.double, both=cython.double, count=cython.Py_ssize_t)
cpdef group(double[:, ::1] histograms, double[::1] sizes, double[:, ::1] boxes, unsigned char[:, ::1] adjacent, Py_ssize_t colours,
            double area, bint use_colour, bint use_texture, double[:, ::1] alike, Py_ssize_t[::1] best, double[::1] value,
            double[:, ::1] out)

@cython.locals(worst=cython.double, d=cython.Py_ssize_t, n=cython.Py_ssize_t, i=cython.Py_ssize_t, q=cython.Py_ssize_t,
               dot=cython.double, slope=cython.double, gain=cython.double, old=cython.double, new=cython.double,
               step=cython.double)
cpdef double dual_step(float[:, ::1] x, double[::1] y, double[::1] norms, Py_ssize_t[::1] order, double[::1] w, double[::1] alpha,
                       double[::1] cost, double[::1] diagonal)
