"""Optimizer steps in plain loops.

Idea: the formulas, one number at a time, in float64. It is the specification: nothing here is clever.
"""

from itertools import product
from math import prod, sqrt

import numpy as np


def _numbers(params, grads, decay, maximize):
    """(k, i, p, g) for every number i of every parameter k; g with its sign and the decay."""
    for k, (p, grad) in enumerate(zip(params, grads, strict=True)):
        for i in np.ndindex(p.shape):
            yield k, i, p, (-float(grad[i]) if maximize else float(grad[i])) + decay * float(p[i])


def sgd(params, grads, momenta, lr, momentum, dampening, decay, nesterov, maximize, first):
    for k, i, p, g in _numbers(params, grads, decay, maximize):
        if momenta is not None:
            m = g if first else momentum * float(momenta[k][i]) + (1 - dampening) * g
            momenta[k][i] = m
            g = g + momentum * m if nesterov else m
        p[i] = float(p[i]) - lr * g


def nag(params, grads, momenta, lr, momentum, decay, maximize):
    for k, i, p, g in _numbers(params, grads, decay, maximize):
        momenta[k][i] = momentum * float(momenta[k][i]) + g
        p[i] = float(p[i]) - lr * g


def adam(params, grads, means, squares, tops, beta1, beta2, eps, decay, keep, step_size, root2, maximize, eps_inside):
    for k, i, p, g in _numbers(params, grads, decay, maximize):
        m = beta1 * float(means[k][i]) + (1 - beta1) * g
        v = beta2 * float(squares[k][i]) + (1 - beta2) * g * g
        means[k][i], squares[k][i] = m, v
        if tops is not None:
            v = max(float(tops[k][i]), v)
            tops[k][i] = v
        denominator = sqrt(v + eps) if eps_inside else sqrt(v) / root2 + eps
        p[i] = keep * float(p[i]) - step_size * m / denominator


def nadam(
    params, grads, means, squares, beta1, beta2, eps, decay, keep, step_size, mean_weight, grad_weight, root2, maximize
):
    for k, i, p, g in _numbers(params, grads, decay, maximize):
        m = beta1 * float(means[k][i]) + (1 - beta1) * g
        v = beta2 * float(squares[k][i]) + (1 - beta2) * g * g
        means[k][i], squares[k][i] = m, v
        p[i] = keep * float(p[i]) - step_size * (mean_weight * m + grad_weight * g) / (sqrt(v) / root2 + eps)


def radam(params, grads, means, squares, beta1, beta2, eps, decay, keep, step_size, rectified, maximize):
    for k, i, p, g in _numbers(params, grads, decay, maximize):
        m = beta1 * float(means[k][i]) + (1 - beta1) * g
        v = beta2 * float(squares[k][i]) + (1 - beta2) * g * g
        means[k][i], squares[k][i] = m, v
        p[i] = keep * float(p[i]) - step_size * m / (sqrt(v) + eps if rectified else 1)


def adamax(params, grads, means, tops, beta1, beta2, eps, decay, step_size, maximize):
    for k, i, p, g in _numbers(params, grads, decay, maximize):
        m = beta1 * float(means[k][i]) + (1 - beta1) * g
        u = max(beta2 * float(tops[k][i]), abs(g) + eps)
        means[k][i], tops[k][i] = m, u
        p[i] = float(p[i]) - step_size * m / u


def adagrad(params, grads, sums, lr, eps, decay, maximize, eps_inside):
    for k, i, p, g in _numbers(params, grads, decay, maximize):
        total = float(sums[k][i]) + g * g
        sums[k][i] = total
        p[i] = float(p[i]) - lr * g / (sqrt(total + eps) if eps_inside else sqrt(total) + eps)


def adadelta(params, grads, squares, deltas, lr, rho, eps, decay, maximize):
    for k, i, p, g in _numbers(params, grads, decay, maximize):
        v = rho * float(squares[k][i]) + (1 - rho) * g * g
        d = sqrt(float(deltas[k][i]) + eps) / sqrt(v + eps) * g
        squares[k][i], deltas[k][i] = v, rho * float(deltas[k][i]) + (1 - rho) * d * d
        p[i] = float(p[i]) - lr * d


def rmsprop(params, grads, squares, means, momenta, lr, alpha, eps, decay, momentum, maximize, eps_inside):
    for k, i, p, g in _numbers(params, grads, decay, maximize):
        v = alpha * float(squares[k][i]) + (1 - alpha) * g * g
        squares[k][i] = v
        if means is not None:
            mean = alpha * float(means[k][i]) + (1 - alpha) * g
            means[k][i] = mean
            v = max(v - mean * mean, 0.0)
        d = g / (sqrt(v + eps) if eps_inside else sqrt(v) + eps)
        if momenta is not None:
            d = momentum * float(momenta[k][i]) + d
            momenta[k][i] = d
        p[i] = float(p[i]) - lr * d


def adamp(
    params, grads, means, squares, beta1, beta2, eps, delta, keep, keep_projected, step_size, root2, nesterov, maximize
):
    for p, grad, means_k, squares_k in zip(params, grads, means, squares, strict=True):
        gradient, direction = {}, {}
        for i in np.ndindex(p.shape):
            g = gradient[i] = -float(grad[i]) if maximize else float(grad[i])
            m = beta1 * float(means_k[i]) + (1 - beta1) * g
            v = beta2 * float(squares_k[i]) + (1 - beta2) * g * g
            means_k[i], squares_k[i] = m, v
            direction[i] = (beta1 * m + (1 - beta1) * g if nesterov else m) / (sqrt(v) / root2 + eps)
        projected = _project(p, gradient, direction, delta, eps)
        for i in np.ndindex(p.shape):
            p[i] = (keep_projected if projected else keep) * float(p[i]) - step_size * direction[i]


def sgdp(params, grads, momenta, lr, momentum, dampening, eps, delta, keep, keep_projected, nesterov, maximize):
    for p, grad, momenta_k in zip(params, grads, momenta, strict=True):
        gradient, direction = {}, {}
        for i in np.ndindex(p.shape):
            g = gradient[i] = -float(grad[i]) if maximize else float(grad[i])
            m = momenta_k[i] = momentum * float(momenta_k[i]) + (1 - dampening) * g
            direction[i] = g + momentum * m if nesterov else m
        projected = _project(p, gradient, direction, delta, eps)
        for i in np.ndindex(p.shape):
            p[i] = (keep_projected if projected else keep) * float(p[i]) - lr * direction[i]


def _project(p, gradient, direction, delta, eps):
    """Take the part along p out of `direction`, if p looks invariant to scale: by rows, else as a whole. Was it done?"""
    if p.ndim < 2 or not p.size:
        return False
    rows = [[(r, *rest) for rest in product(*map(range, p.shape[1:]))] for r in range(p.shape[0])]
    for groups in (rows, [[i for row in rows for i in row]]):

        def dot(a, b, group):
            return sum(float(a[i]) * float(b[i]) for i in group)

        def cosine(group):
            norms = max(sqrt(dot(gradient, gradient, group)), eps) * max(sqrt(dot(p, p, group)), eps)
            return abs(dot(gradient, p, group)) / norms

        if max(cosine(group) for group in groups) < delta / sqrt(prod(p.shape) / len(groups)):
            for group in groups:
                norm = sqrt(dot(p, p, group)) + eps
                along = dot(p, direction, group) / norm
                for i in group:
                    direction[i] -= float(p[i]) / norm * along
            return True
    return False
