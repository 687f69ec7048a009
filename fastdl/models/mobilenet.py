"""MobileNetV2: depthwise convolutions between thin layers.

    conv 32 3x3 s2 -> inverted residuals: 1x1 to t times the channels, ReLU6, 3x3 depthwise, ReLU6, 1x1 back, without ReLU
      t 1 c 16 n 1 s 1 | 6 24 2 2 | 6 32 3 2 | 6 64 4 2 | 6 96 3 1 | 6 160 3 2 | 6 320 1 1
      -> 1x1 to 1280 -> mean over all pixels, dropout, one dense layer

3,504,872 parameters.

Ref  Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, arXiv 1801.04381.
"""

from dataclasses import dataclass

from fastdl import nn
from fastdl.nn import init
from fastdl.nn.blocks import check_images

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


@dataclass(frozen=True)
class MobileNetV2Config:
    """Sizes and choices; the defaults are the published ones."""

    num_classes: int = 1000
    in_channels: int = 3
    width_mult: float = 1.0
    stages: tuple[tuple[int, int, int, int], ...] = STAGES  # expansion, channels, blocks, stride
    dropout: float = 0.2
    small_input: bool = False  # for 28 to 64 pixels: stride 1 in the first convolution and the second stage


def divisible(channels: float, by: int = 8) -> int:
    """The multiple of `by` nearest to channels, at least `by`, and not more than a tenth below."""
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * channels else nearest


def _conv(in_channels, out_channels, kernel_size=3, stride=1, groups=1):
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, (kernel_size - 1) // 2, groups=groups, bias=False
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Wide inside, thin outside; with a shortcut where the shapes agree.

    Shapes      x (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    Parameters  conv.{i}
    """

    def __init__(self, in_channels, out_channels, stride, expansion):
        super().__init__()
        wide = round(in_channels * expansion)
        self.shortcut = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            *([_conv(in_channels, wide, 1)] if expansion != 1 else []),
            _conv(wide, wide, 3, stride, groups=wide),
            nn.Conv2d(wide, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x):
        y = self.conv(x)
        return x + y if self.shortcut else y


class MobileNetV2(nn.Module):
    """Scores of the classes.

    Shapes      x (N, in_channels, H, W), published for 224x224; any height and width -> (N, num_classes)
    Parameters  features.{i}, classifier.1

    Example
    >>> sum(p.numel() for p in MobileNetV2().parameters())
    3504872
    """

    def __init__(self, config: MobileNetV2Config | None = None):
        super().__init__()
        self.config = c = config or MobileNetV2Config()
        channels = divisible(32 * c.width_mult)
        last = divisible(1280 * max(1.0, c.width_mult)) if not c.small_input else divisible(1280 * c.width_mult)
        layers = [_conv(c.in_channels, channels, stride=1 if c.small_input else 2)]
        for i, (expansion, width, count, stride) in enumerate(c.stages):
            width = divisible(width * c.width_mult)
            for j in range(count):
                step = stride if j == 0 and not (c.small_input and i == 1) else 1
                layers.append(InvertedResidual(channels, width, step, expansion))
                channels = width
        layers.append(_conv(channels, last, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(c.dropout), nn.Linear(last, c.num_classes))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                init.kaiming_normal_(m.weight, mode="fan_out")
            elif isinstance(m, nn.Linear):
                init.normal_(m.weight, 0.0, 0.01)
                init.zeros_(m.bias)

    def forward(self, x):
        check_images("MobileNetV2", x, self.config.in_channels)
        return self.classifier(self.features(x).mean((2, 3)))


def mobilenet_v2(**settings) -> MobileNetV2:
    """MobileNetV2 with settings of MobileNetV2Config."""
    return MobileNetV2(MobileNetV2Config(**settings))
