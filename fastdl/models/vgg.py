"""VGG: nothing but 3x3 convolutions and 2x2 pooling, 11 to 19 layers deep.

Channels of the five stages are 64, 128, 256, 512, 512; each stage ends in a pool. Convolutions a stage:
11 (A): 1 1 2 2 2    13 (B): 2 2 2 2 2    16 (D): 2 2 3 3 3    19 (E): 2 2 4 4 4.
Then a mean to 7x7, and 25088 -> 4096 -> 4096 -> classes.

132,863,336 / 133,047,848 / 138,357,544 / 143,667,240 parameters without batch norm.

Ref  Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, arXiv 1409.1556.
"""

from dataclasses import dataclass

from fastdl import nn
from fastdl.nn import init
from fastdl.nn.blocks import check_images, scaled

STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


@dataclass(frozen=True)
class VGGConfig:
    """Sizes and choices; the defaults are those of VGG16."""

    depth: int = 16
    batch_norm: bool = False
    num_classes: int = 1000
    in_channels: int = 3
    dropout: float = 0.5
    hidden: tuple[int, ...] = (4096, 4096)  # dense layers before the last
    width_mult: float = 1.0  # of the channels
    small_input: bool = False  # for 32 pixels: the dense layers see 1x1 maps instead of 7x7


class VGG(nn.Module):
    """Scores of the classes.

    Shapes      x (N, in_channels, H, W), published for 224x224, at least 32x32 -> (N, num_classes)
    Parameters  features.{n}, classifier.{0,3,6}

    Example
    >>> with nn.init_empty():
    ...     sum(p.numel() for p in VGG().parameters())
    138357544
    """

    def __init__(self, config: VGGConfig | None = None):
        super().__init__()
        self.config = c = config or VGGConfig()
        if c.depth not in STAGES:
            raise ValueError(f"VGG: depth must be one of {', '.join(map(str, STAGES))}; got {c.depth}")
        layers, channels = [], c.in_channels
        for width, count in zip(CHANNELS, STAGES[c.depth], strict=True):
            for _ in range(count):
                out = scaled(width, c.width_mult)
                layers += [nn.Conv2d(channels, out, 3, padding=1), *([nn.BatchNorm2d(out)] * c.batch_norm), nn.ReLU()]
                channels = out
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.grid = 1 if c.small_input else 7  # height and width of the maps that the dense layers see
        self.avgpool = nn.AdaptiveAvgPool2d((self.grid, self.grid))
        dense, inputs = [], channels * self.grid**2
        for width in c.hidden:
            dense += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(c.dropout)]
            inputs = width
        self.classifier = nn.Sequential(*dense, nn.Linear(inputs, c.num_classes))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                init.zeros_(m.bias)
            elif isinstance(m, nn.Linear) and not c.small_input:
                init.normal_(m.weight, 0.0, 0.01)
                init.zeros_(m.bias)

    def forward(self, x):
        check_images("VGG", x, self.config.in_channels, 32, "or nothing is left for the fifth pool")
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def vgg11(batch_norm: bool = False, **settings) -> VGG:
    """VGG11, configuration A."""
    return VGG(VGGConfig(depth=11, batch_norm=batch_norm, **settings))


def vgg13(batch_norm: bool = False, **settings) -> VGG:
    """VGG13, configuration B."""
    return VGG(VGGConfig(depth=13, batch_norm=batch_norm, **settings))


def vgg16(batch_norm: bool = False, **settings) -> VGG:
    """VGG16, configuration D."""
    return VGG(VGGConfig(depth=16, batch_norm=batch_norm, **settings))


def vgg19(batch_norm: bool = False, **settings) -> VGG:
    """VGG19, configuration E."""
    return VGG(VGGConfig(depth=19, batch_norm=batch_norm, **settings))


def vgg11_bn(**settings) -> VGG:
    """VGG11 with batch norm."""
    return vgg11(batch_norm=True, **settings)


def vgg13_bn(**settings) -> VGG:
    """VGG13 with batch norm."""
    return vgg13(batch_norm=True, **settings)


def vgg16_bn(**settings) -> VGG:
    """VGG16 with batch norm."""
    return vgg16(batch_norm=True, **settings)


def vgg19_bn(**settings) -> VGG:
    """VGG19 with batch norm."""
    return vgg19(batch_norm=True, **settings)
