"""Batch normalization folded into the layer before it: in evaluation mode both are one affine map."""

import copy
from itertools import pairwise

import numpy as np

from fastdl.autograd import no_grad
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


def fold_batchnorm(model, *example):
    """A copy of `model` in evaluation mode, its BatchNorms folded into the Linear or convolution before them.

    weight' = weight gamma / sqrt(var + eps) along the outputs, bias' = beta + (bias - mean) gamma / sqrt(var + eps).
    Without an example: the pairs that follow each other in a Sequential. With the inputs of one call: all pairs in which the
    output of a layer is what a BatchNorm is given, wherever the model calls them; the result is compared with the model's.

    See also nn.fuse.fuse, which does it in place for Conv2d and BatchNorm2d, in the blocks that name their pairs.
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
            _merge(layer, norm)
        norms = {id(norm) for _, norm in pairs}
        for owner in list(folded.modules()):
            for name, child in list(owner._modules.items()):
                if id(child) in norms:
                    setattr(owner, name, Identity() if isinstance(owner, Sequential) else Folded())
        if example:
            got = folded(*example)
            if not np.allclose(got.array, want.array, rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(want.array).max()))):
                raise ValueError(
                    f"fold_batchnorm: the folded {type(model).__name__} gives other numbers on the example; "
                    "a layer's output is used elsewhere than by its BatchNorm"
                )
    return folded


def _foldable(layer, norm):
    return (
        type(layer) in _AFFINE
        and type(norm) in (BatchNorm1d, BatchNorm2d)
        and norm.running_mean is not None
        and "weight" in layer._parameters
    )


def _in_sequence(model):
    pairs = []
    for owner in model.modules():
        if isinstance(owner, Sequential):
            members = list(owner)
            pairs += [(a, b) for a, b in pairwise(members) if _foldable(a, b)]
    return pairs


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


def _merge(layer, norm):
    scale = 1 / np.sqrt(norm.running_var.array.astype(np.float64) + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.array
    shift = -norm.running_mean.array * scale
    if norm.bias is not None:
        shift = shift + norm.bias.array
    weight = layer.weight.array
    if isinstance(
        layer, (ConvTranspose1d, ConvTranspose2d)
    ):  # (C, O / groups, ...): groups of outputs lie one after the other
        groups = layer.groups
        per = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        weight[...] = (per * scale.reshape(groups, 1, -1, 1)).reshape(weight.shape)
    else:
        weight[...] = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    bias = shift if layer.bias is None else shift + layer.bias.array * scale
    bias = Parameter(bias.astype(weight.dtype))
    if layer.bias is None:
        layer.register_parameter("bias", bias)
    else:
        layer.bias.array[...] = bias.array
