"""Weights computed from others before every forward: weight normalization and spectral normalization, under torch's names.

Both put the weight's source under new names into state_dict (weight_g and weight_v; weight_orig and weight_u) and set
`weight`, an ordinary attribute from then on, in a forward pre-hook.
"""

import numpy as np

from fastdl.autograd import Tensor, no_grad, wrote
from fastdl.nn.parameter import Parameter
from fastdl.random import generator


def _take_parameter(function, module, name):
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"{function}: {type(module).__name__} has no parameter {name!r}")
    if name in _hooks(module):
        raise RuntimeError(f"{function}: {name!r} of {type(module).__name__} is computed by another norm already")
    return weight


def _hooks(module):
    return module.__dict__.setdefault("_reparametrized", {})


def _install(module, name, compute):
    """Set module.<name> by compute(module) now and before every forward."""

    def before(module, args):
        module.__dict__[name] = compute(module)

    module.__dict__[name] = compute(module)
    _hooks(module)[name] = module.register_forward_pre_hook(before), compute


def _remove(function, module, name, sources):
    if name not in _hooks(module) or sources[0] not in module._kinds:
        raise ValueError(f"{function}: {name!r} of {type(module).__name__} is not computed by it")
    handle, compute = _hooks(module).pop(name)
    with no_grad():
        value = compute(module).array.copy(order="K")
    handle.remove()
    for source in sources:
        delattr(module, source)
    module.__dict__.pop(name, None)
    setattr(module, name, Parameter(value))
    return module


# ------------------------------------------------------------------------------------------------ weight normalization


def _norm_except(v, dim):
    """The 2-norm over all axes but dim (dim None: over all), kept as axes of length 1."""
    axes = tuple(a for a in range(v.array.ndim) if dim is None or a != dim % v.array.ndim)
    return (v * v).sum(axes, keepdim=True).sqrt()


def weight_norm(module, name="weight", dim=0):
    """weight = g v / |v|: its length and its direction are trained apart; |v| is taken for each index of axis dim.

    Parameters  <name>_g, lengths; <name>_v, directions, of the weight's shape. The first output is that of the old weight.
    Ref         Salimans and Kingma 2016, arXiv 1602.07868
    """
    weight = _take_parameter("weight_norm", module, name)
    delattr(module, name)
    with no_grad():
        length = _norm_except(weight, dim)
    module.register_parameter(
        f"{name}_g", Parameter(length.array.copy() if dim is not None else length.array.reshape(()))
    )
    module.register_parameter(f"{name}_v", Parameter(weight.array.copy(order="K")))

    def compute(module):
        v = module.__dict__[f"{name}_v"]
        return v * (module.__dict__[f"{name}_g"] / _norm_except(v, dim))

    _install(module, name, compute)
    return module


def remove_weight_norm(module, name="weight"):
    """Put the present weight back as one parameter."""
    return _remove("remove_weight_norm", module, name, (f"{name}_g", f"{name}_v"))


# ---------------------------------------------------------------------------------------------- spectral normalization


def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None):
    """weight / sigma, sigma its largest singular value as a matrix (axis dim, all others), by power iteration.

    The two vectors go on from call to call: n_power_iterations steps at each forward in training mode, none in evaluation.
    dim: 0, or 1 for transposed convolutions (None: by the class).
    Parameters  <name>_orig; buffers <name>_u (rows,), <name>_v (columns,)
    Ref         Miyato, Kataoka, Koyama, Yoshida 2018, arXiv 1802.05957
    """
    if n_power_iterations < 1:
        raise ValueError(f"spectral_norm: n_power_iterations must be at least 1; got {n_power_iterations}")
    weight = _take_parameter("spectral_norm", module, name)
    if weight.array.ndim < 2:
        raise ValueError(f"spectral_norm: {name!r} has shape {weight.shape}; it must have at least two axes")
    dim = (1 if "Transpose" in type(module).__name__ else 0) if dim is None else dim
    rows = weight.array.shape[dim]
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    for suffix, size in (("u", rows), ("v", weight.array.size // rows)):
        vector = generator().standard_normal(size).astype(weight.array.dtype)
        module.register_buffer(f"{name}_{suffix}", Tensor(vector / max(float(np.linalg.norm(vector)), eps)))

    def compute(module):
        source = module.__dict__[f"{name}_orig"]
        matrix = (source if dim == 0 else source.transpose(0, dim)).reshape(rows, -1)
        u, v = module.__dict__[f"{name}_u"], module.__dict__[f"{name}_v"]
        if module.training:
            m = matrix.array
            for _ in range(n_power_iterations):
                for target, product in ((v, lambda: m.T @ u.array), (u, lambda: m @ v.array)):
                    value = product()
                    target.array[...] = value / max(float(np.linalg.norm(value)), eps)
            wrote(u, "spectral_norm")
            wrote(v, "spectral_norm")
        # copies: the next step of the iteration must not change what backward reads
        sigma = (Tensor(u.array.copy()) * (matrix @ Tensor(v.array.copy()))).sum()
        return source / sigma

    _install(module, name, compute)
    return module


def remove_spectral_norm(module, name="weight"):
    """Put the present weight back as one parameter."""
    training, module.__dict__["training"] = module.training, False
    try:
        return _remove("remove_spectral_norm", module, name, (f"{name}_orig", f"{name}_u", f"{name}_v"))
    finally:
        module.__dict__["training"] = training
