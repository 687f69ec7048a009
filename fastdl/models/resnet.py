"""ResNet: layers learn what to add to their input.

    ImageNet: 7x7 s2, BN, ReLU, pool 3 s2 -> four stages of 64, 128, 256, 512 channels (x4 where the block is a bottleneck)
              18: basic 2 2 2 2    34: basic 3 4 6 3    50, 101, 152: bottleneck 3 4 6 3, 3 4 23 3, 3 8 36 3
    CIFAR:    3x3, BN, ReLU -> three stages of 16, 32, 64 channels with n basic blocks, depth 6n + 2, shortcuts A
    then the mean over all pixels and one dense layer.

11,689,512 / 21,797,672 / 25,557,032 / 44,549,160 / 60,192,808 parameters; resnet20, 56, 110: 269,722 / 853,018 / 1,727,962.

Ref  He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016, arXiv 1512.03385.
     In bottlenecks the stride is on the 3x3 convolution, as in torchvision's weights; the paper has it on the first 1x1.
"""

from dataclasses import dataclass

from fastdl import nn
from fastdl.nn import init
from fastdl.nn.blocks import BasicBlock, Bottleneck, check_images, conv_bn, residual_stage


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes and choices; the defaults are those of ResNet-18."""

    block: str = "basic"  # or "bottleneck"
    layers: tuple[int, ...] = (2, 2, 2, 2)  # blocks of every stage
    width: int = 64  # channels of the first stage; every stage doubles them
    num_classes: int = 1000
    in_channels: int = 3
    small_input: bool = False  # for 28 to 64 pixels: the first filters are 3x3 with stride 1, and there is no pool
    shortcut: str = "B"  # "A" pads with zeros, "B" projects where shapes change, "C" everywhere
    residual: bool = True  # False: the plain network, without shortcuts
    stride_in_1x1: bool = False  # of bottlenecks; True is the paper's place
    dilate: tuple[bool, ...] = ()  # stages (from the second on) whose stride becomes a dilation
    zero_init_residual: bool = False  # the last batch norm of a block starts at 0: every block starts as the identity
    norm_layer: object = nn.BatchNorm2d


class ResNet(nn.Module):
    """Scores of the classes.

    Shapes      x (N, in_channels, H, W) -> (N, num_classes); any height and width
    Parameters  conv1, bn1, layer1.{i}.*, layer2.{i}.*, ..., fc

    Example
    >>> sum(p.numel() for p in resnet18().parameters())
    11689512
    """

    conv_bn_pairs = (("conv1", "bn1"),)

    def __init__(self, config: ResNetConfig | None = None):
        super().__init__()
        self.config = c = config or ResNetConfig()
        if c.block not in ("basic", "bottleneck"):
            raise ValueError(f"ResNet: block must be 'basic' or 'bottleneck'; got {c.block!r}")
        block = BasicBlock if c.block == "basic" else Bottleneck
        first = (3, 1, 1) if c.small_input else (7, 2, 3)
        self.conv1 = nn.Conv2d(c.in_channels, c.width, *first, bias=False)
        self.bn1 = c.norm_layer(c.width)
        self.maxpool = nn.Identity() if c.small_input else nn.MaxPool2d(3, 2, 1)
        channels, dilation = c.width, 1
        dilate = (False, *c.dilate, *(False,) * len(c.layers))
        for i, count in enumerate(c.layers):
            width, stride, before = c.width * 2**i, 1 if i == 0 else 2, dilation
            if dilate[i]:
                stride, dilation = 1, dilation * stride
            blocks = residual_stage(
                *(block, channels, width, count, stride, c.shortcut if c.residual else None),
                *((before, dilation), c.stride_in_1x1, c.norm_layer),
            )
            self.register_module(f"layer{i + 1}", blocks)
            channels = width * block.expansion
        self.out_channels = channels  # of the last stage, and of features()
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, c.num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            if c.zero_init_residual and isinstance(m, (BasicBlock, Bottleneck)):
                init.zeros_(m.bn2.weight if isinstance(m, BasicBlock) else m.bn3.weight)

    def stages(self, x) -> list:
        """The maps after every stage: a list of (N, C, H, W)."""
        check_images("ResNet", x, self.config.in_channels)
        maps = [self.maxpool(conv_bn(self.conv1, self.bn1, x, act="relu"))]
        for i in range(len(self.config.layers)):
            maps.append(getattr(self, f"layer{i + 1}")(maps[-1]))
        return maps[1:]

    def features(self, x):
        """(N, in_channels, H, W) -> (N, out_channels): what the dense layer decides on."""
        check_images("ResNet", x, self.config.in_channels)
        x = self.maxpool(conv_bn(self.conv1, self.bn1, x, act="relu"))
        for i in range(len(self.config.layers)):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.avgpool(x).flatten(1)

    def forward(self, x):
        return self.fc(self.features(x))


def _resnet(block, layers, settings):
    return ResNet(ResNetConfig(**{"block": block, "layers": layers, **settings}))


def resnet18(**settings) -> ResNet:
    """ResNet-18 with settings of ResNetConfig."""
    return _resnet("basic", (2, 2, 2, 2), settings)


def resnet34(**settings) -> ResNet:
    """ResNet-34."""
    return _resnet("basic", (3, 4, 6, 3), settings)


def resnet50(**settings) -> ResNet:
    """ResNet-50."""
    return _resnet("bottleneck", (3, 4, 6, 3), settings)


def resnet101(**settings) -> ResNet:
    """ResNet-101."""
    return _resnet("bottleneck", (3, 4, 23, 3), settings)


def resnet152(**settings) -> ResNet:
    """ResNet-152."""
    return _resnet("bottleneck", (3, 8, 36, 3), settings)


def resnet_cifar(n: int, **settings) -> ResNet:
    """The family for small images (paper, section 4.2): depth 6n + 2; residual=False is the plain network."""
    published = {"width": 16, "num_classes": 10, "small_input": True, "shortcut": "A"}
    return _resnet("basic", (n, n, n), {**published, **settings})


def resnet20(**settings) -> ResNet:
    """ResNet-20 for CIFAR-10: 269,722 parameters."""
    return resnet_cifar(3, **settings)


def resnet56(**settings) -> ResNet:
    """ResNet-56 for CIFAR-10: 853,018 parameters."""
    return resnet_cifar(9, **settings)


def resnet110(**settings) -> ResNet:
    """ResNet-110 for CIFAR-10: 1,727,962 parameters."""
    return resnet_cifar(18, **settings)
