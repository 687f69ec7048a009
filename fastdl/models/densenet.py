"""DenseNet: every layer is joined to all layers after it.

    ImageNet: conv 7x7 s2, BN, ReLU, pool 3 s2 -> four dense blocks with three transitions between -> BN, ReLU, mean, classes
              121: 6 12 24 16    169: 6 12 32 32    201: 6 12 48 32    (growth 32, 64 first channels)
              161: 6 12 36 24 (growth 48, 96 first channels)
    CIFAR:    conv 3x3 to 2k channels -> three equal blocks, two transitions; "BC" of depth L: (L - 4) / 6 layers a block

7,978,856 / 14,149,480 / 20,013,928 / 28,681,000 parameters; densenet_bc(100, 12) 769,162, densenet_bc(40, 12) 176,122.

Ref  Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", 2017, arXiv 1608.06993.
"""

import re
from dataclasses import dataclass

from fastdl import nn
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.nn.blocks import DenseBlock, Transition, check_images


@dataclass(frozen=True)
class DenseNetConfig:
    """Sizes and choices; the defaults are those of DenseNet-121."""

    growth: int = 32  # k: channels that every layer adds
    layers: tuple[int, ...] = (6, 12, 24, 16)  # of every block
    first_channels: int = 64
    bn_size: int = 4  # the 1x1 convolution of a layer gives bn_size * growth channels; 0: there is none
    compression: float = 0.5  # theta of the transitions
    dropout: float = 0.0
    num_classes: int = 1000
    in_channels: int = 3
    small_input: bool = False  # for 28 to 64 pixels: the first filters are 3x3 with stride 1, no BN and no pool
    memory_efficient: bool = False  # compute the inside of every layer again in the backward pass


class DenseNet(nn.Module):
    """Scores of the classes.

    Shapes      x (N, in_channels, H, W), at least 29x29 (small_input: 4x4) -> (N, num_classes)
    Parameters  features.conv0, features.norm0, features.denseblock{b}.denselayer{l}.norm1|conv1|norm2|conv2,
                features.transition{b}.norm|conv, features.norm5, classifier

    Example
    >>> sum(p.numel() for p in densenet121().parameters())
    7978856
    """

    def __init__(self, config: DenseNetConfig | None = None):
        super().__init__()
        self.config = c = config or DenseNetConfig()
        channels = c.first_channels
        first = (3, 1, 1) if c.small_input else (7, 2, 3)
        parts = {"conv0": nn.Conv2d(c.in_channels, channels, *first, bias=False)}
        if not c.small_input:
            parts |= {"norm0": nn.BatchNorm2d(channels), "relu0": nn.ReLU(), "pool0": nn.MaxPool2d(3, 2, 1)}
        for i, count in enumerate(c.layers, 1):
            block = DenseBlock(count, channels, c.growth, c.bn_size, c.dropout, c.memory_efficient)
            parts[f"denseblock{i}"] = block
            channels = block.out_channels
            if i < len(c.layers):
                parts[f"transition{i}"] = Transition(channels, int(channels * c.compression))
                channels = int(channels * c.compression)
        parts["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(parts)
        self.classifier = nn.Linear(channels, c.num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                init.kaiming_normal_(m.weight)
        init.zeros_(self.classifier.bias)

    def forward(self, x):
        halvings = len(self.config.layers) - 1 + (0 if self.config.small_input else 2)
        least = 2 ** (halvings - 2) * 4 - 3 if not self.config.small_input else 2**halvings
        check_images("DenseNet", x, self.config.in_channels, least, "or a transition has nothing left to pool")
        x = F.relu(self.features(x))
        return self.classifier(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))

    def load_state_dict(self, state_dict, strict=True):
        """As Module.load_state_dict; keys of old files (denselayer1.norm.1.weight) are understood too."""
        old = re.compile(
            r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var|.*tracked))$"
        )
        return super().load_state_dict({old.sub(r"\1\2", key): value for key, value in state_dict.items()}, strict)


def _densenet(growth, layers, first, settings):
    return DenseNet(DenseNetConfig(**{"growth": growth, "layers": layers, "first_channels": first, **settings}))


def densenet121(**settings) -> DenseNet:
    """DenseNet-121 with settings of DenseNetConfig."""
    return _densenet(32, (6, 12, 24, 16), 64, settings)


def densenet161(**settings) -> DenseNet:
    """DenseNet-161."""
    return _densenet(48, (6, 12, 36, 24), 96, settings)


def densenet169(**settings) -> DenseNet:
    """DenseNet-169."""
    return _densenet(32, (6, 12, 32, 32), 64, settings)


def densenet201(**settings) -> DenseNet:
    """DenseNet-201."""
    return _densenet(32, (6, 12, 48, 32), 64, settings)


def densenet_bc(depth: int = 100, growth: int = 12, **settings) -> DenseNet:
    """The BC network for small images (paper, section 3): depth 6n + 4, three blocks of n layers, 2 growth channels first."""
    if (depth - 4) % 6 or depth < 10:
        raise ValueError(f"densenet_bc: depth must be 6n + 4 with n >= 1; got {depth}")
    n = (depth - 4) // 6
    return _densenet(growth, (n, n, n), 2 * growth, {"num_classes": 10, "small_input": True, **settings})
