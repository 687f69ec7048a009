"""Optimizer steps by NumPy.

Idea: a few whole-array operations a parameter, in place where they can be. Faster than loops a hundredfold; ten and
more passes over memory, and the overhead of ten calls for every small parameter.
"""

import numpy as np

DTYPES = ("float16", "float32", "float64")


def sgd(params, grads, momenta, lr, momentum, dampening, decay, nesterov, maximize, first):
    for k, (p, g) in enumerate(zip(params, grads, strict=True)):
        if maximize:
            g = -g
        if decay:
            g = g + decay * p
        if momenta is not None:
            m = momenta[k]
            if first:
                m[...] = g
            else:
                m *= momentum
                m += (1 - dampening) * g
            g = g + momentum * m if nesterov else m
        p -= lr * g


def adam(params, grads, means, squares, tops, beta1, beta2, eps, decay, keep, step_size, root2, maximize, eps_inside):
    for k, (p, g, m, v) in enumerate(zip(params, grads, means, squares, strict=True)):
        if maximize:
            g = -g
        if decay:
            g = g + decay * p
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * (g * g)
        if tops is not None:
            v = np.maximum(tops[k], v, out=tops[k])
        denominator = np.empty_like(v)
        if eps_inside:
            np.sqrt(v + eps, out=denominator)
        else:
            np.sqrt(v, out=denominator)
            denominator /= root2
            denominator += eps
        np.divide(m, denominator, out=denominator)
        denominator *= step_size
        if keep != 1:
            p *= keep
        p -= denominator
