"""Batch norm folded into the convolution before it, for inference.

w' = w g / sqrt(v + eps), b' = beta - m g / sqrt(v + eps), and a ReLU after it then belongs to the convolution: one pass
over memory where there were two.
"""

from itertools import pairwise

import numpy as np

from fastdl.autograd import wrote
from fastdl.nn.containers import Sequential
from fastdl.nn.conv import Conv2d
from fastdl.nn.linear import Identity
from fastdl.nn.norm import BatchNorm2d
from fastdl.nn.parameter import Parameter


def fuse(module):
    """Fold every BatchNorm2d into the Conv2d right before it, in place; returns the module.

    Pairs are neighbours in a Sequential, and what a block lists in conv_bn_pairs. Folded batch norms become Identities; the
    keys of state_dict change, so load weights before. For evaluation mode only; layers with hooks stay as they are.
    """
    if module.training:
        raise RuntimeError(
            f"fuse: {type(module).__name__} is in training mode, where batch norm uses the batch; call eval() first"
        )
    for m in list(module.modules()):
        for conv, norm in _pairs(m):
            if fits(getattr(m, conv), getattr(m, norm)):
                fold(getattr(m, conv), getattr(m, norm))
                setattr(m, norm, Identity().eval())
    return module


def _pairs(module):
    """The names of convolutions and of the batch norms right after them."""
    if isinstance(module, Sequential):
        names = list(module._modules)
        yield from pairwise(names)
    yield from getattr(module, "conv_bn_pairs", ())


def fits(conv, norm):
    """Whether the two can be one convolution."""
    return (
        type(conv) is Conv2d
        and type(norm) is BatchNorm2d
        and norm.running_mean is not None
        and norm.num_features == conv.out_channels
        and not (conv._hooked or norm._hooked)
    )


def fold(conv, norm):
    """Give the convolution the weights that do the work of both; computed in float64."""
    dtype = conv.weight.array.dtype
    scale = 1 / np.sqrt(norm.running_var.array.astype(np.float64) + norm.eps)
    if norm.weight is not None:
        scale *= norm.weight.array
    shift = (0 if conv.bias is None else conv.bias.array.astype(np.float64)) - norm.running_mean.array
    shift = shift * scale + (0 if norm.bias is None else norm.bias.array)
    conv.weight.array[...] = (conv.weight.array * scale.reshape(-1, 1, 1, 1)).astype(dtype)
    wrote(conv.weight, "fuse")
    conv.bias = Parameter(shift.astype(dtype), requires_grad=conv.weight.requires_grad)
