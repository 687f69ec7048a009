"""How sharp is a minimum: does the loss rise steeply around the weights that training has found?

Four measures: the top eigenvalue of the Hessian, Keskar's largest rise in a small box, the loss along a random direction that
is scaled filter by filter, and the loss along the line between two solutions.

Caveat (Dinh, Pascanu, Bengio, Bengio, "Sharp minima can generalize for deep nets", 2017): scaling one ReLU layer up and the
next down changes every eigenvalue and not the function. Compare networks of one shape trained in one way, or use the measures
that are scaled by the weights (keskar, direction).

Ref  Keskar, Mudigere, Nocedal, Smelyanskiy, Tang, "On large-batch training for deep learning: generalization gap and sharp
     minima", 2017 (arXiv 1609.04836); Li, Xu, Taylor, Studer, Goldstein, "Visualizing the loss landscape of neural nets", 2018
"""

from contextlib import contextmanager

import numpy as np

from fastdl.autograd import Tensor, grad, no_grad, wrote
from fastdl.nn import functional as F
from fastdl.selection.estimator import as_array

CAVEAT = "a reparametrisation can change this number without changing the function (Dinh et al. 2017)"


def sharpness(model, data, method: str = "hessian", loss=F.cross_entropy, **settings) -> float:
    """One number, larger is sharper. method: hessian (top eigenvalue), keskar, or direction (mean rise of the loss).

    data  (x, y): the training data, or a part of them
    """
    methods = {"hessian": top_eigenvalue, "keskar": keskar_sharpness, "direction": direction_sharpness}
    if method not in methods:
        raise ValueError(f"sharpness: method must be one of {', '.join(methods)}; got {method!r}")
    return methods[method](model, data, loss, **settings)


def hessian_vector(model, data, vectors, loss=F.cross_entropy) -> list:
    """H v for a list of arrays v shaped as the trainable parameters: the gradient of (gradient . v), differentiated twice."""
    with _evaluation(model) as params:
        first = grad(loss(model(data[0]), data[1]), params, create_graph=True)
        product = None
        for g, v in zip(first, vectors, strict=True):
            term = (g * Tensor(v.astype(g.array.dtype, copy=False))).sum()
            product = term if product is None else product + term
        return [h.array for h in grad(product, params, materialize_grads=True)]


def top_eigenvalue(model, data, loss=F.cross_entropy, steps: int = 30, tol: float = 1e-3, seed: int = 0) -> float:
    """The eigenvalue of the Hessian of largest size, by power iteration on Hessian-vector products."""
    data = _tensors(data)
    rng = np.random.default_rng(seed)
    v = [rng.standard_normal(p.shape) for p in model.parameters() if p.requires_grad]
    value = 0.0
    for _ in range(steps):
        size = np.sqrt(sum((a**2).sum() for a in v))
        if size == 0:
            return 0.0
        v = [a / size for a in v]
        hv = [a.astype(np.float64) for a in hessian_vector(model, data, v, loss)]
        before, value = value, float(sum((a * b).sum() for a, b in zip(v, hv, strict=True)))
        v = hv
        if abs(value - before) <= tol * abs(value):
            break
    return value


def keskar_sharpness(model, data, loss=F.cross_entropy, epsilon=1e-3, steps: int = 20, seed: int = 0) -> float:
    """100 (max L - L) / (1 + L) over the box |change| <= epsilon (|w| + 1), the maximum by projected sign ascent."""
    data = _tensors(data)
    rng = np.random.default_rng(seed)
    with _evaluation(model) as params, _kept(params) as start:
        first = _value(model, data, loss)
        best = first
        radius = [epsilon * (np.abs(s) + 1) for s in start]
        for p, s, r in zip(params, start, radius, strict=True):
            _set(p, s + r * rng.uniform(-0.1, 0.1, s.shape))
        for i in range(steps):
            gradients = grad(loss(model(data[0]), data[1]), params)
            pace = 0.5 * (1 - i / steps)
            for p, g, s, r in zip(params, gradients, start, radius, strict=True):
                _set(p, np.clip(p.array + pace * r * np.sign(g.array), s - r, s + r))
            best = max(best, _value(model, data, loss))
    return 100 * (best - first) / (1 + first)


def filter_normalized_direction(model, seed: int = 0) -> list:
    """A random direction in which every filter (row of a weight) is as long as the filter itself; 0 for vectors (biases)."""
    rng = np.random.default_rng(seed)
    direction = []
    for p in (p for p in model.parameters() if p.requires_grad):
        d = rng.standard_normal(p.shape)
        if p.ndim < 2:
            direction.append(np.zeros(p.shape))
            continue
        rows, own = d.reshape(len(d), -1), p.array.reshape(p.shape[0], -1).astype(np.float64)
        scale = np.linalg.norm(own, axis=1) / np.linalg.norm(rows, axis=1)
        direction.append((rows * scale[:, None]).reshape(p.shape))
    return direction


def along(model, data, direction, amounts, loss=F.cross_entropy) -> np.ndarray:
    """The loss at w + a * direction for each a in `amounts`; the weights are put back."""
    data = _tensors(data)
    with _evaluation(model) as params, _kept(params) as start:
        losses = []
        for a in amounts:
            for p, s, d in zip(params, start, direction, strict=True):
                _set(p, s + a * d)
            losses.append(_value(model, data, loss))
    return np.array(losses)


def direction_sharpness(model, data, loss=F.cross_entropy, radius=0.5, directions: int = 5, seed: int = 0) -> float:
    """Mean rise of the loss at +-radius along filter-normalised random directions."""
    ends = [
        along(model, data, filter_normalized_direction(model, seed + i), [-radius, 0.0, radius], loss)
        for i in range(directions)
    ]
    return float(np.mean([(a + b) / 2 - middle for a, middle, b in ends]))


def line_between(a, b, data, amounts=None, loss=F.cross_entropy) -> tuple[np.ndarray, np.ndarray]:
    """(amounts, losses) at (1 - t) a + t b: t = 0 is model a, 1 is model b. Two models of one shape."""
    amounts = np.linspace(-0.5, 1.5, 41) if amounts is None else np.asarray(amounts)
    ours, theirs = ([p for p in m.parameters() if p.requires_grad] for m in (a, b))
    if [p.shape for p in ours] != [p.shape for p in theirs]:
        raise ValueError("line_between: the models have parameters of different shapes")
    direction = [t.array.astype(np.float64) - p.array for p, t in zip(ours, theirs, strict=True)]
    return amounts, along(a, data, direction, amounts, loss)


@contextmanager
def _evaluation(model):
    """The trainable parameters, in evaluation mode: dropout and batch statistics would make the loss another one."""
    was_training = model.training
    model.eval()
    try:
        yield [p for p in model.parameters() if p.requires_grad]
    finally:
        model.train(was_training)


@contextmanager
def _kept(params):
    """Copies of the values, in float64; the parameters have the old values again afterwards."""
    bits = [p.array.copy() for p in params]
    try:
        yield [b.astype(np.float64) for b in bits]
    finally:
        for p, b in zip(params, bits, strict=True):
            _set(p, b)


def _set(p, value):
    p.array[...] = value
    wrote(p, "sharpness")


def _value(model, data, loss):
    with no_grad():
        return loss(model(data[0]), data[1]).item()


def _tensors(data):
    x, y = data
    return tuple(a if isinstance(a, Tensor) else Tensor(as_array(a)) for a in (x, y))
