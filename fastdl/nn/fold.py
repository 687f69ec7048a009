"""Batch normalization folded into the layer before it: in evaluation mode both are one affine map, and one pass over memory.

fuse (Module.fuse) does it in place for the convolutions of vision models, fold_batchnorm in a copy, for any affine layer.
"""

import copy
from itertools import pairwise

import numpy as np

from fastdl.autograd import no_grad, wrote
from fastdl.nn import functional as F
from fastdl.nn.containers import Sequential
from fastdl.nn.conv import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from fastdl.nn.linear import Identity, Linear
from fastdl.nn.module import Module
from fastdl.nn.norm import BatchNorm1d, BatchNorm2d
from fastdl.nn.parameter import Parameter

_AFFINE = (Linear, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d)


class Folded(Module):
    """What stands where a BatchNorm was: the rest of its call, x + residual and then ReLU."""

    def forward(self, x, residual=None, act=None):
        x = x if residual is None else x + residual
        return F.relu(x) if act == "relu" else x


def fuse(module):
    """Fold every BatchNorm2d into the Conv2d right before it, in place; returns the module.

    Pairs are neighbours in a Sequential, and what a block lists in conv_bn_pairs. Folded batch norms become Identities; the
    keys of state_dict change, so load weights before. For evaluation mode only; layers with hooks stay as they are.
    """
    if module.training:
        raise RuntimeError(
            f"fuse: {type(module).__name__} is in training mode, where batch norm uses the batch; call eval() first"
        )
    for owner in list(module.modules()):
        for first, second in _neighbours(owner):
            conv, norm = getattr(owner, first), getattr(owner, second)
            plain = type(conv) is Conv2d and type(norm) is BatchNorm2d and not (conv._hooked or norm._hooked)
            if plain and _foldable(conv, norm):
                _fold(conv, norm)
                setattr(owner, second, Identity().eval())
    return module


def fold_batchnorm(model, *example):
    """A copy of `model` in evaluation mode, its BatchNorms folded into the Linear or convolution before them.

    weight' = weight gamma / sqrt(var + eps) along the outputs, bias' = beta + (bias - mean) gamma / sqrt(var + eps).
    Without an example: the pairs that follow each other in a Sequential. With the inputs of one call: all pairs in which the
    output of a layer is what a BatchNorm is given, wherever the model calls them; the result is compared with the model's.

    Errors  ValueError if nothing was found, or if the folded model computes something else on the example
    """
    folded = copy.deepcopy(model).eval()
    pairs = _traced(folded, example) if example else _in_sequence(folded)
    if not pairs:
        hint = "" if example else "; hint: with an example input, fold_batchnorm(model, x), calls are followed"
        raise ValueError(f"fold_batchnorm: {type(model).__name__} has no BatchNorm right after a layer{hint}")
    with no_grad():
        want = folded(*example) if example else None
        for layer, norm in pairs:
            _fold(layer, norm)
        norms = {id(norm) for _, norm in pairs}
        for owner in list(folded.modules()):
            for name, child in list(owner._modules.items()):
                if id(child) in norms:
                    setattr(owner, name, (Identity() if isinstance(owner, Sequential) else Folded()).eval())
        if example:
            got = folded(*example)
            if not np.allclose(got.array, want.array, rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(want.array).max()))):
                raise ValueError(
                    f"fold_batchnorm: the folded {type(model).__name__} gives other numbers on the example; "
                    "a layer's output is used elsewhere than by its BatchNorm"
                )
    return folded


def _neighbours(owner):
    """The names of layers and of the batch norms right after them."""
    if isinstance(owner, Sequential):
        yield from pairwise(list(owner._modules))
    yield from getattr(owner, "conv_bn_pairs", ())


def _in_sequence(model):
    found = [pairwise(owner) for owner in model.modules() if isinstance(owner, Sequential)]
    return [(layer, norm) for pairs in found for layer, norm in pairs if _foldable(layer, norm)]


def _traced(model, example):
    """The pairs of one call, each layer and each BatchNorm called once."""
    made, pairs, calls, handles = [], [], {}, []

    def after(layer, args, output):
        calls[id(layer)] = calls.get(id(layer), 0) + 1
        made.append((output, layer))

    def before(norm, args):
        calls[id(norm)] = calls.get(id(norm), 0) + 1
        layer = next((layer for output, layer in made if output is args[0]), None)
        if layer is not None and _foldable(layer, norm):
            pairs.append((layer, norm))

    for module in model.modules():
        if type(module) in _AFFINE:
            handles.append(module.register_forward_hook(after))
        elif isinstance(module, (BatchNorm1d, BatchNorm2d)):
            handles.append(module.register_forward_pre_hook(before))
    try:
        with no_grad():
            model(*example)
    finally:
        for handle in handles:
            handle.remove()
    return [(layer, norm) for layer, norm in pairs if calls[id(layer)] == calls[id(norm)] == 1]


def _foldable(layer, norm):
    """Whether the two can be one layer: a known one that owns its weight, and statistics of its outputs."""
    return (
        type(layer) in _AFFINE
        and type(norm) in (BatchNorm1d, BatchNorm2d)
        and norm.running_mean is not None
        and norm.num_features == (layer.out_features if type(layer) is Linear else layer.out_channels)
        and "weight" in layer._parameters
    )


def _fold(layer, norm):
    """Give the layer, in place, the weight and bias that do the work of both; computed in float64."""
    weight = layer.weight.array
    scale = 1 / np.sqrt(norm.running_var.array.astype(np.float64) + norm.eps)
    if norm.weight is not None:
        scale *= norm.weight.array
    shift = (0 if layer.bias is None else layer.bias.array.astype(np.float64)) - norm.running_mean.array
    shift = shift * scale + (0 if norm.bias is None else norm.bias.array)
    if isinstance(
        layer, (ConvTranspose1d, ConvTranspose2d)
    ):  # (C, O / groups, ...): the outputs of a group on its channels
        per_group = weight.reshape(layer.groups, -1, weight.shape[1], int(np.prod(weight.shape[2:])))
        weight[...] = (per_group * scale.reshape(layer.groups, 1, -1, 1)).reshape(weight.shape)
    else:  # (O, ...)
        weight[...] = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    wrote(layer.weight, "fold")
    layer.bias = Parameter(shift.astype(weight.dtype), requires_grad=layer.weight.requires_grad)
