"""Optimizer steps by NumPy.

Idea: each optimizer is its paper's formulas, a line each, on whole arrays, in place where they can be. Faster than loops a
hundredfold; ten and more passes over memory, and the overhead of ten calls for every small parameter.
"""

import numpy as np

DTYPES = ("float16", "float32", "float64")


def _gradient(p, g, decay, maximize):
    if maximize:
        g = -g
    return g + decay * p if decay else g


def _mean(old, new, keep):
    """old = keep old + (1 - keep) new, in place."""
    old *= keep
    old += (1 - keep) * new


def sgd(params, grads, momenta, lr, momentum, dampening, decay, nesterov, maximize, first):
    for k, (p, g) in enumerate(zip(params, grads, strict=True)):
        g = _gradient(p, g, decay, maximize)
        if momenta is not None:
            m = momenta[k]
            if first:
                m[...] = g
            else:
                m *= momentum
                m += (1 - dampening) * g
            g = g + momentum * m if nesterov else m
        p -= lr * g


def nag(params, grads, momenta, lr, momentum, decay, maximize):
    for p, g, m in zip(params, grads, momenta, strict=True):
        g = _gradient(p, g, decay, maximize)
        m *= momentum
        m += g
        p -= lr * g  # p is the look-ahead point W - lr momentum m_old, so this is W - lr m


def adam(params, grads, means, squares, tops, beta1, beta2, eps, decay, keep, step_size, root2, maximize, eps_inside):
    for k, (p, g, m, v) in enumerate(zip(params, grads, means, squares, strict=True)):
        g = _gradient(p, g, decay, maximize)
        _mean(m, g, beta1)
        _mean(v, g * g, beta2)
        if tops is not None:
            v = np.maximum(tops[k], v, out=tops[k])
        denominator = np.sqrt(v + eps) if eps_inside else np.sqrt(v) / root2 + eps
        if keep != 1:
            p *= keep
        p -= step_size * (m / denominator)


def nadam(
    params, grads, means, squares, beta1, beta2, eps, decay, keep, step_size, mean_weight, grad_weight, root2, maximize
):
    for p, g, m, v in zip(params, grads, means, squares, strict=True):
        g = _gradient(p, g, decay, maximize)
        _mean(m, g, beta1)
        _mean(v, g * g, beta2)
        if keep != 1:
            p *= keep
        p -= step_size * (mean_weight * m + grad_weight * g) / (np.sqrt(v) / root2 + eps)


def radam(params, grads, means, squares, beta1, beta2, eps, decay, keep, step_size, rectified, maximize):
    for p, g, m, v in zip(params, grads, means, squares, strict=True):
        g = _gradient(p, g, decay, maximize)
        _mean(m, g, beta1)
        _mean(v, g * g, beta2)
        if keep != 1:
            p *= keep
        p -= step_size * (m / (np.sqrt(v) + eps)) if rectified else step_size * m


def adamax(params, grads, means, tops, beta1, beta2, eps, decay, step_size, maximize):
    for p, g, m, u in zip(params, grads, means, tops, strict=True):
        g = _gradient(p, g, decay, maximize)
        _mean(m, g, beta1)
        np.maximum(beta2 * u, np.abs(g) + eps, out=u)
        p -= step_size * (m / u)


def adagrad(params, grads, sums, lr, eps, decay, maximize, eps_inside):
    for p, g, total in zip(params, grads, sums, strict=True):
        g = _gradient(p, g, decay, maximize)
        total += g * g
        p -= lr * (g / (np.sqrt(total + eps) if eps_inside else np.sqrt(total) + eps))


def adadelta(params, grads, squares, deltas, lr, rho, eps, decay, maximize):
    for p, g, v, h in zip(params, grads, squares, deltas, strict=True):
        g = _gradient(p, g, decay, maximize)
        _mean(v, g * g, rho)
        d = np.sqrt(h + eps) / np.sqrt(v + eps) * g
        _mean(h, d * d, rho)
        p -= lr * d


def rmsprop(params, grads, squares, means, momenta, lr, alpha, eps, decay, momentum, maximize, eps_inside):
    for k, (p, g, v) in enumerate(zip(params, grads, squares, strict=True)):
        g = _gradient(p, g, decay, maximize)
        _mean(v, g * g, alpha)
        if means is not None:
            _mean(means[k], g, alpha)
            v = np.maximum(v - means[k] ** 2, 0)  # rounding can bring the variance below 0
        d = g / (np.sqrt(v + eps) if eps_inside else np.sqrt(v) + eps)
        if momenta is not None:
            momenta[k] *= momentum
            momenta[k] += d
            d = momenta[k]
        p -= lr * d


def adamp(
    params, grads, means, squares, beta1, beta2, eps, delta, keep, keep_projected, step_size, root2, nesterov, maximize
):
    for p, g, m, v in zip(params, grads, means, squares, strict=True):
        g = _gradient(p, g, 0, maximize)
        _mean(m, g, beta1)
        _mean(v, g * g, beta2)
        d = (beta1 * m + (1 - beta1) * g if nesterov else m) / (np.sqrt(v) / root2 + eps)
        d, projected = _project(p, g, d, delta, eps)
        p *= keep_projected if projected else keep
        p -= step_size * d


def sgdp(params, grads, momenta, lr, momentum, dampening, eps, delta, keep, keep_projected, nesterov, maximize):
    for p, g, m in zip(params, grads, momenta, strict=True):
        g = _gradient(p, g, 0, maximize)
        m *= momentum
        m += (1 - dampening) * g
        d, projected = _project(p, g, g + momentum * m if nesterov else m, delta, eps)
        p *= keep_projected if projected else keep
        p -= lr * d


def _project(p, g, d, delta, eps):
    """(d without its part along p, True) if p looks invariant to scale, by rows or else as a whole; else (d, False)."""
    if p.ndim < 2 or not p.size:
        return d, False
    for shape in ((p.shape[0], -1), (1, -1)):  # output channels, then the whole layer
        rows, grads, moves = p.reshape(shape), g.reshape(shape), d.reshape(shape)
        norm = np.linalg.norm(rows, axis=1)
        cosine = np.abs((rows * grads).sum(1)) / (
            np.maximum(norm, eps) * np.maximum(np.linalg.norm(grads, axis=1), eps)
        )
        if cosine.max() < delta / np.sqrt(rows.shape[1]):
            unit = rows / (norm + eps)[:, None]
            return (moves - unit * (unit * moves).sum(1, keepdims=True)).reshape(p.shape), True
    return d, False
