"""GoogLeNet: nine inception blocks, 22 layers with parameters, and two auxiliary heads while it learns.

    x (N, 3, 224, 224) -> conv 64 7x7 s2 -> pool 3 s2 -> conv 64 1x1 -> conv 192 3x3 -> pool 3 s2      (N, 192, 28, 28)
      -> 3a 256, 3b 480 -> pool 3 s2 -> 4a 512 (aux1), 4b 512, 4c 512, 4d 528 (aux2), 4e 832 -> pool -> 5a 832, 5b 1024
      -> mean over all pixels, dropout, one dense layer

variant "torchvision": batch norm, no biases, 3x3 filters in the 5x5 branch, last pool 2 s2: 6,624,904 parameters, 13,004,888
with heads. variant "paper": biases, local response norm, true 5x5 filters, last pool 3 s2: 6,998,552 and 13,378,280.

Ref  Szegedy et al., "Going Deeper with Convolutions", 2015, arXiv 1409.4842.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.data.transforms.imagenet import MEAN, STD
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.nn.blocks import ConvBlock, Inception, check_images, scaled

# 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
BLOCKS = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip


@dataclass(frozen=True)
class GoogLeNetConfig:
    """Sizes and choices; the defaults are torchvision's form."""

    variant: str = "torchvision"  # or "paper"
    num_classes: int = 1000
    in_channels: int = 3
    aux_logits: bool = True  # with the two auxiliary heads, which are used in training mode only
    transform_input: bool = (
        False  # from mean and deviation of ImageNet to 0.5 and 0.5, which torchvision's weights expect
    )
    dropout: float = 0.2
    dropout_aux: float = 0.7
    width_mult: float = 1.0
    small_input: bool = (
        False  # for 28 to 64 pixels: the first filters are 3x3 with stride 1, and there is no first pool
    )


class GoogLeNetOutputs(NamedTuple):
    """What training mode returns: the scores, and those of the heads after 4d and 4a."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class InceptionAux(nn.Module):
    """An auxiliary head: mean to 4x4, 1x1 convolution to 128, 2048 -> 1024 -> classes.

    Shapes      x (N, in_channels, H, W) -> (N, num_classes)
    Parameters  conv.conv, conv.bn, fc1, fc2
    """

    def __init__(self, in_channels, num_classes, width_mult=1.0, norm=True, dropout=0.7):
        super().__init__()
        width = scaled(128, width_mult)
        self.conv = ConvBlock(in_channels, width, 1, norm=norm)
        self.fc1 = nn.Linear(16 * width, scaled(1024, width_mult))
        self.fc2 = nn.Linear(scaled(1024, width_mult), num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = self.conv(F.adaptive_avg_pool2d(x, (4, 4)))
        return self.fc2(self.dropout(self.fc1(x.flatten(1), act="relu")))


class GoogLeNet(nn.Module):
    """Scores of the classes; in training mode with heads GoogLeNetOutputs.

    Shapes      x (N, in_channels, H, W), published for 224x224, at least 15x15 -> (N, num_classes)
    Parameters  conv1, conv2, conv3, inception3a ... inception5b, aux1, aux2, fc

    Example
    >>> with nn.init_empty():
    ...     sum(p.numel() for p in googlenet(aux_logits=False).parameters())
    6624904
    """

    def __init__(self, config: GoogLeNetConfig | None = None):
        super().__init__()
        self.config = c = config or GoogLeNetConfig()
        if c.variant not in ("torchvision", "paper"):
            raise ValueError(f"GoogLeNet: variant must be 'torchvision' or 'paper'; got {c.variant!r}")
        if c.transform_input and c.in_channels != 3:
            raise ValueError(f"GoogLeNet: transform_input is for colour images; in_channels is {c.in_channels}")
        norm = c.variant == "torchvision"

        def width(n):
            return scaled(n, c.width_mult)

        first = (3, 1, 1) if c.small_input else (7, 2, 3)
        self.conv1 = ConvBlock(c.in_channels, width(64), *first, norm=norm)
        self.maxpool1 = nn.Identity() if c.small_input else nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = ConvBlock(width(64), width(64), 1, norm=norm)
        self.conv3 = ConvBlock(width(64), width(192), 3, padding=1, norm=norm)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.lrn = nn.Identity() if norm else nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
        channels, heads = width(192), {}
        for name, sizes in BLOCKS.items():
            block = Inception(channels, *map(width, sizes), kernel5=3 if norm else 5, norm=norm)
            self.register_module(f"inception{name}", block)
            if name == "3b":
                self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
            if name == "4e":
                self.maxpool4 = nn.MaxPool2d(2 if norm else 3, 2, ceil_mode=True)
            channels = heads[name] = block.out_channels
        if c.aux_logits:
            options = (c.num_classes, c.width_mult, norm, c.dropout_aux)
            self.aux1 = InceptionAux(heads["4a"], *options)
            self.aux2 = InceptionAux(heads["4d"], *options)
        else:
            self.register_module("aux1", None)
            self.register_module("aux2", None)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(c.dropout)
        self.fc = nn.Linear(channels, c.num_classes)
        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                if norm:
                    init.trunc_normal_(m.weight, 0.0, 0.01, -2, 2)
                else:  # without batch norm so small a start would never leave it
                    init.kaiming_normal_(m.weight, nonlinearity="relu")
                    init.zeros_(m.bias)

    def forward(self, x):
        check_images("GoogLeNet", x, self.config.in_channels, 15, "or nothing is left for the pools")
        if self.config.transform_input:
            scale, shift = _imagenet_to_half()
            x = x * scale + shift
        x = self.lrn(self.maxpool1(self.conv1(x)))
        x = self.maxpool2(self.lrn(self.conv3(self.conv2(x))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4a(x)
        heads = self.training and self.aux1 is not None
        aux1 = self.aux1(x) if heads else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        aux2 = self.aux2(x) if heads else None
        x = self.maxpool4(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))
        x = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return GoogLeNetOutputs(x, aux2, aux1) if heads else x


def _imagenet_to_half():
    """(scale, shift), each (1, 3, 1, 1), from pixels standardised with ImageNet's mean and deviation to 0.5 and 0.5."""
    mean, deviation = np.array(MEAN), np.array(STD)
    parts = (deviation / 0.5, (mean - 0.5) / 0.5)
    return tuple(Tensor(part.reshape(1, 3, 1, 1).astype(np.float32)) for part in parts)


def loss(output, labels, aux_weight: float = 0.3):
    """Cross-entropy, plus that of the auxiliary heads, each times aux_weight, where there are any."""
    if not isinstance(output, tuple):
        return F.cross_entropy(output, labels)
    main, *heads = (F.cross_entropy(scores, labels) for scores in output)
    return main + aux_weight * (heads[0] + heads[1])


def googlenet(**settings) -> GoogLeNet:
    """GoogLeNet with settings of GoogLeNetConfig."""
    return GoogLeNet(GoogLeNetConfig(**settings))
