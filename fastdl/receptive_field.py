"""How much of the image an output sees.

r = 1 + sum over layers of d (k - 1) times the product of the strides before, d the dilation. `gradient_support` looks instead
of counting: the pixels for which the gradient of one output is not zero.
"""

from typing import NamedTuple

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, grad


class ReceptiveField(NamedTuple):
    """Pixels (height, width) that one output sees, and how many pixels apart two neighbours look."""

    size: tuple[int, int]
    stride: tuple[int, int]


def receptive_field(model) -> ReceptiveField:
    """By the formula, over the convolutions and pools of a chain, in the order in which they are registered.

    Chains only (AlexNet, VGG, Sequential): the layers of branches would be counted one after the other. Stops at the first
    dense layer or adaptive pool. Errors: ValueError for transposed convolutions.

    Example
    >>> receptive_field(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))).size
    (5, 5)
    """
    size, step = [1, 1], [1, 1]
    for layer in model.modules():
        if isinstance(layer, (nn.Linear, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
            break
        if isinstance(layer, nn.ConvTranspose2d):
            raise ValueError(
                "receptive_field: a transposed convolution enlarges; the formula is for layers that do not"
            )
        if not isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            continue
        kernel, stride = _pair(layer.kernel_size), _pair(layer.stride)
        dilation = _pair(getattr(layer, "dilation", 1))
        for i in (0, 1):
            size[i] += dilation[i] * (kernel[i] - 1) * step[i]
            step[i] *= stride[i]
    return ReceptiveField(tuple(size), tuple(step))


def _pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def gradient_map(model, shape, positive: bool = False) -> np.ndarray:
    """(H, W): size of the gradient of the middle output, summed over its channels, for each pixel; shape (1, C, H, W).

    positive: all weights are made positive for the look (and put back), so that no two paths cancel and no ReLU closes.
    """
    state = {name: t.array.copy() for name, t in model.state_dict().items()}
    was_training = model.training
    try:
        if positive:
            for p in model.parameters():
                p.array[...] = np.abs(p.array) + 0.01
        x = Tensor(np.random.default_rng(0).uniform(0.5, 1, shape).astype(np.float32), requires_grad=True)
        y = model.eval()(x)
        if len(y.shape) != 4:
            raise ValueError(f"gradient_map: the model must give maps (N, C, H, W); got shape {y.shape}")
        (dx,) = grad(y[0, :, y.shape[2] // 2, y.shape[3] // 2].sum(), [x])
    finally:
        if positive:
            model.load_state_dict(state)
        model.train(was_training)
    return np.abs(dx.array[0]).sum(0)


def gradient_support(model, shape) -> tuple[int, int]:
    """Height and width of the box of pixels that the middle output depends on; shape (1, C, H, W) of the input."""
    seen = gradient_map(model, shape, positive=True) > 0
    return tuple(int(np.ptp(np.flatnonzero(seen.any(axis))) + 1) for axis in (1, 0))
