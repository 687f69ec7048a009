# What conv2d and deconv2d share: both rungs fill the same struct.
cimport numpy as cnp

cdef enum Pass:
    FORWARD
    DATA
    WEIGHT

# y = conv(x, w) in one of its three passes; what is written must be channels-last (x, y) or contiguous (w, db).
cdef int run(Pass which, cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, bias, stride, padding, dilation, int groups,
             act, cnp.ndarray db=*) except -1
# out[c] = sum of x[:, c]
cdef int channel_sum(cnp.ndarray x, cnp.ndarray out) except -1
