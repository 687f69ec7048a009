"""Penalties on the norm of parameters: as a term of the loss, as groups for an optimizer's decay, or as a projection."""

import numpy as np

from fastdl.autograd import Tensor, wrote
from fastdl.nn.module import Module


def _parameters(name, what, exclude_vectors=False):
    """The parameters meant by a Module, one Tensor or an iterable of them; those that are trained."""
    if isinstance(what, Module):
        found = list(what.parameters())
    elif isinstance(what, Tensor):
        found = [what]
    else:
        found = list(what)
    if not all(isinstance(p, Tensor) for p in found):
        raise TypeError(f"{name}: expected a Module or its parameters")
    found = [p for p in found if p.requires_grad and not (exclude_vectors and p.array.ndim < 2)]
    if not found:
        raise ValueError(f"{name}: there are no parameters to penalize")
    return found


def _strength(name, value):
    if value < 0:
        raise ValueError(f"{name}: the strength must not be negative; got {value}")
    return value


def l2_penalty(parameters, strength, exclude_vectors=False):
    """strength / 2 times the sum of all squares: its gradient is strength W, the weight_decay=strength of an optimizer.

    parameters       a Module, a Parameter or several
    exclude_vectors  leave out what has less than two axes: biases and the scales of norms
    Returns          a 0-d Tensor to add to the loss
    """
    found = _parameters("l2_penalty", parameters, exclude_vectors)
    _strength("l2_penalty", strength)
    return sum((p * p).sum() for p in found) * (strength / 2)


def l1_penalty(parameters, strength, exclude_vectors=False):
    """strength times the sum of all absolute values; arguments as l2_penalty's. See also soft_threshold_."""
    found = _parameters("l1_penalty", parameters, exclude_vectors)
    _strength("l1_penalty", strength)
    return sum(p.abs().sum() for p in found) * strength


def elastic_net_penalty(parameters, l1, l2, exclude_vectors=False):
    """l1_penalty + l2_penalty (Zou and Hastie 2005)."""
    found = _parameters("elastic_net_penalty", parameters, exclude_vectors)
    return l1_penalty(found, l1) + l2_penalty(found, l2)


def decay_groups(module, weight_decay):
    """Groups for an optimizer: what has two axes or more decays by weight_decay, biases and scales of norms do not.

    Example
    >>> from fastdl.nn import Linear
    >>> groups = decay_groups(Linear(3, 2), 0.01)
    >>> [(len(g["params"]), g["weight_decay"]) for g in groups]
    [(1, 0.01), (1, 0.0)]
    """
    found = _parameters("decay_groups", module)
    groups = [
        {"params": [p for p in found if p.array.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in found if p.array.ndim < 2], "weight_decay": 0.0},
    ]
    return [g for g in groups if g["params"]]


def max_norm_(parameters, max_norm, dim=0):
    """Scale the weights of every unit (one index of axis `dim`) whose 2-norm is above max_norm down to it, in place.

    Call it after each step. Parameters with less than two axes stay.
    Ref  Srebro and Shraibman 2005; Srivastava et al., "Dropout", 2014, section 5.1
    """
    if max_norm <= 0:
        raise ValueError(f"max_norm_: max_norm must be positive; got {max_norm}")
    for p in _parameters("max_norm_", parameters, exclude_vectors=True):
        axes = tuple(a for a in range(p.array.ndim) if a != dim % p.array.ndim)
        norm = np.sqrt((p.array * p.array).sum(axes, keepdims=True))
        if (norm > max_norm).any():
            p.array *= np.minimum(1, max_norm / np.maximum(norm, np.finfo(norm.dtype).tiny))
            wrote(p, "max_norm_")


def soft_threshold_(parameters, amount, exclude_vectors=False):
    """Move every number towards 0 by `amount`, and to 0 what is nearer, in place: the exact step of an L1 penalty.

    After a gradient step of rate lr, amount = lr strength makes weights exactly 0, which a subgradient never does.
    Ref  Daubechies, Defrise, De Mol 2004; Beck and Teboulle 2009 (ISTA)
    """
    if amount < 0:
        raise ValueError(f"soft_threshold_: amount must not be negative; got {amount}")
    for p in _parameters("soft_threshold_", parameters, exclude_vectors):
        a = p.array
        a[...] = np.sign(a) * np.maximum(np.abs(a) - amount, 0)
        wrote(p, "soft_threshold_")
