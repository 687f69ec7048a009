"""Gradient clipping, parameters as one vector, and weights computed from others."""

import numpy as np

from fastdl.autograd import Tensor, wrote
from fastdl.nn.reparametrize import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm  # noqa: F401


def _gradients(parameters):
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def get_total_norm(tensors, norm_type=2.0):
    """The norm of all tensors taken as one vector, a 0-d Tensor."""
    norms = [np.linalg.norm(t.array.ravel("K"), norm_type) for t in tensors]
    return Tensor(np.asarray(np.linalg.norm(norms, norm_type) if norms else 0, np.float32))


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False):
    """Scale all gradients so that their norm, as one vector, is at most max_norm; returns the norm before."""
    grads = _gradients(parameters)
    total = get_total_norm(grads, norm_type)
    if error_if_nonfinite and not np.isfinite(total.array):
        raise RuntimeError(f"clip_grad_norm_: the norm of the gradients is {total.array}")
    factor = max_norm / (float(total.array) + 1e-6)
    if not factor >= 1:  # also for NaN, so that it shows
        for g in grads:
            g.array *= factor
            wrote(g, "clip_grad_norm_")
    return total


def clip_grad_value_(parameters, clip_value):
    """Clamp every element of the gradients to [-clip_value, clip_value]."""
    for g in _gradients(parameters):
        np.clip(g.array, -clip_value, clip_value, out=g.array)
        wrote(g, "clip_grad_value_")


def parameters_to_vector(parameters):
    """All parameters one after the other, a Tensor (P,); differentiable."""
    from fastdl.ops.shape import cat

    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec, parameters):
    """Write a vector (P,) back into the parameters."""
    parameters = list(parameters)
    total = sum(p.array.size for p in parameters)
    if vec.shape != (total,):
        raise ValueError(f"vector_to_parameters: expected shape ({total},), got {vec.shape}")
    start = 0
    for p in parameters:
        p.array[...] = vec.array[start : start + p.array.size].reshape(p.shape)
        wrote(p, "vector_to_parameters")
        start += p.array.size
