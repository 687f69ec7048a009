"""Gradients against finite differences, in float64.

gradcheck compares the Jacobian of a function, column by column, with central differences. gradgradcheck does the same
for the function (inputs, dy) -> gradients, which is the second derivative.
"""

import numpy as np

from fastdl.autograd import Tensor, enable_grad, grad


class GradcheckError(RuntimeError):
    """Raised where a gradient is wrong."""


def _outputs(function, inputs):
    result = function(*inputs)
    if isinstance(result, Tensor):
        result = (result,)
    return [y for y in result if isinstance(y, Tensor) and y.dtype.kind == "f"]


def _checked_inputs(inputs, name):
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and x.requires_grad and x.dtype != np.float64:
            raise ValueError(f"{name}: input {i} must be float64 for finite differences, not {x.dtype}")
    places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not places:
        raise ValueError(f"{name}: at least one input must require grad")
    return inputs, places


def gradcheck(func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, seed=0):
    """True if the gradients of func at inputs agree with central differences; else raises GradcheckError.

    Small Jacobians (up to 4,000 entries) are compared entry by entry, larger ones along random directions.
    """
    inputs, places = _checked_inputs(inputs, "gradcheck")
    try:
        _compare(func, inputs, places, eps, atol, rtol, np.random.default_rng(seed))
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, seed=0):
    """True if the second derivatives of func at inputs agree with central differences; else raises GradcheckError."""
    inputs, places = _checked_inputs(inputs, "gradgradcheck")
    rng = np.random.default_rng(seed)
    if grad_outputs is None:
        with enable_grad():
            ys = [y for y in _outputs(func, inputs) if y.requires_grad]
        grad_outputs = [Tensor(np.asarray(rng.standard_normal(y.shape)), requires_grad=True) for y in ys]
    elif isinstance(grad_outputs, Tensor):
        grad_outputs = [grad_outputs]
    count = len(inputs)

    def first_gradients(*args):
        ys = [y for y in _outputs(func, args[:count]) if y.requires_grad]
        grads = grad(ys, [args[i] for i in places], args[count:], create_graph=True, allow_unused=True)
        return tuple(g for g in grads if g is not None)

    return gradcheck(
        first_gradients,
        (*inputs, *grad_outputs),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        seed=seed,
    )


def _copies(inputs, places):
    """Inputs with fresh leaves, so that a check leaves the caller's tensors alone."""
    return [Tensor(x.array.copy(order="K"), requires_grad=True) if i in places else x for i, x in enumerate(inputs)]


def _compare(func, inputs, places, eps, atol, rtol, rng):
    with enable_grad():
        xs = _copies(inputs, places)
        ys = _outputs(func, xs)
        sizes = [sum(xs[i].array.size for i in places), sum(y.array.size for y in ys)]
        full = sizes[0] * sizes[1] <= 4000
        for k, y in enumerate(ys):
            weights = _basis(y.shape) if full else [rng.standard_normal(y.shape)]
            rows = [_gradients(y, xs, places, w) for w in weights]  # rows[j][n]: gradient of w_j . y in input n
            for n, i in enumerate(places):
                got = np.stack([row[n].reshape(-1) for row in rows]) if rows else np.zeros((0, xs[i].array.size))
                w = np.stack([np.reshape(w, -1) for w in weights]) if rows else np.zeros((0, y.array.size))
                if full:
                    directions = np.eye(xs[i].array.size)
                else:
                    directions = rng.standard_normal((1, xs[i].array.size))
                    got = got @ directions.T
                _compare_one(func, xs, places, (k, i), w, directions, got, eps, atol, rtol)


def _basis(shape):
    size = int(np.prod(shape))
    return [row.reshape(shape) for row in np.eye(size)]


def _gradients(y, xs, places, weight):
    if not y.requires_grad:
        return [np.zeros(xs[i].shape) for i in places]
    grads = grad(y, [xs[i] for i in places], Tensor(np.asarray(weight)), retain_graph=True, allow_unused=True)
    for i, g in zip(places, grads):
        if g is not None and g.shape != xs[i].shape:
            raise GradcheckError(f"the gradient of input {i} has shape {g.shape}, the input has {xs[i].shape}")
    return [np.zeros(xs[i].shape) if g is None else g.array for i, g in zip(places, grads)]


def _compare_one(func, xs, places, which, weights, directions, got, eps, atol, rtol):
    """Gradient of output k in input i: got[j, d] against the slope of weights[j] . y along directions[d]."""
    k, i = which
    wanted = np.zeros_like(got)
    for d, direction in enumerate(directions):
        step = eps * direction.reshape(xs[i].shape)
        values = []
        for sign in (1, -1):
            moved = _copies(xs, places)
            moved[i].array += sign * step
            values.append(_outputs(func, moved)[k].array.reshape(-1))
        wanted[:, d] = weights @ ((values[0] - values[1]) / (2 * eps))
    error = np.abs(got - wanted)
    bad = ~(error <= atol + rtol * np.abs(wanted))
    if bad.any():
        excess = np.where(np.isnan(error), np.inf, error - rtol * np.abs(wanted))
        j, d = np.unravel_index(np.argmax(excess), error.shape)
        place = ""
        if len(directions) == directions.shape[1] and len(directions) > 1:
            spot = tuple(int(n) for n in np.unravel_index(d, xs[i].shape)) if xs[i].shape else ()
            place = f", element {spot} of the input and {int(j)} of the flattened output"
        raise GradcheckError(
            f"the gradient of output {k} with respect to input {i} (shape {xs[i].shape}) is wrong in {int(bad.sum())} "
            f"of {bad.size} entries; the worst{place}: {got[j, d]:.9g} by backward, {wanted[j, d]:.9g} by differences"
        )
