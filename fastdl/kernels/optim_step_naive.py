"""Optimizer steps in plain loops.

Idea: the formulas, one number at a time, in float64. It is the specification: nothing here is clever.
"""

from math import sqrt

import numpy as np


def sgd(params, grads, momenta, lr, momentum, dampening, decay, nesterov, maximize, first):
    for k, (p, grad) in enumerate(zip(params, grads, strict=True)):
        for i in np.ndindex(p.shape):
            g = (-float(grad[i]) if maximize else float(grad[i])) + decay * float(p[i])
            if momenta is not None:
                m = g if first else momentum * float(momenta[k][i]) + (1 - dampening) * g
                momenta[k][i] = m
                g = g + momentum * m if nesterov else m
            p[i] = float(p[i]) - lr * g


def adam(params, grads, means, squares, tops, beta1, beta2, eps, decay, keep, step_size, root2, maximize, eps_inside):
    for k, (p, grad) in enumerate(zip(params, grads, strict=True)):
        for i in np.ndindex(p.shape):
            g = (-float(grad[i]) if maximize else float(grad[i])) + decay * float(p[i])
            m = beta1 * float(means[k][i]) + (1 - beta1) * g
            v = beta2 * float(squares[k][i]) + (1 - beta2) * g * g
            means[k][i], squares[k][i] = m, v
            if tops is not None:
                v = max(float(tops[k][i]), v)
                tops[k][i] = v
            denominator = sqrt(v + eps) if eps_inside else sqrt(v) / root2 + eps
            p[i] = keep * float(p[i]) - step_size * m / denominator
