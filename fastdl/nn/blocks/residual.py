"""Residual blocks: y = relu(F(x) + shortcut(x)).

Ref  He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016, arXiv 1512.03385.
"""

from fastdl.nn import functional as F
from fastdl.nn.blocks.conv_bn import conv_bn
from fastdl.nn.containers import Sequential
from fastdl.nn.conv import Conv2d
from fastdl.nn.module import Module
from fastdl.nn.norm import BatchNorm2d


class _Residual(Module):
    """The shortcut, in the paper's three kinds.

    A  no parameters: every stride-th pixel, and zeros for the channels that are new
    B  the identity where the shapes agree, else a 1x1 convolution with batch norm ("downsample")
    C  always the convolution
    """

    expansion = 1

    def _make_shortcut(self, in_channels, out_channels, stride, shortcut, norm_layer):
        if shortcut not in ("A", "B", "C", None):
            raise ValueError(
                f"{type(self).__name__}: shortcut must be A, B, C or None (a plain block); got {shortcut!r}"
            )
        changes = stride != 1 or in_channels != out_channels
        if shortcut == "A" and out_channels < in_channels:
            raise ValueError(
                f"{type(self).__name__}: shortcut A adds channels of zeros; it cannot go from {in_channels} to {out_channels}"
            )
        self.stride, self.shortcut = stride, shortcut
        self.in_channels, self.out_channels = in_channels, out_channels
        projects = shortcut == "C" or (shortcut == "B" and changes)
        if projects:
            convolution = Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = Sequential(convolution, norm_layer(out_channels))
        else:
            self.register_module("downsample", None)

    def _shortcut(self, x):
        """What is added to F(x); None for a plain block."""
        if self.shortcut is None:
            return None
        if self.downsample is not None:
            return self.downsample(x)
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        new = self.out_channels - self.in_channels
        return F.pad(x, (0, 0, 0, 0, new // 2, new - new // 2)) if new else x


class BasicBlock(_Residual):
    """Two 3x3 convolutions and a shortcut.

    Shapes      x (N, in_channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride))
    Parameters  conv1, bn1, conv2, bn2, downsample.0, downsample.1 (where the shortcut projects)

    Example
    >>> BasicBlock(64, 128, stride=2, shortcut="B").downsample[0]
    Conv2d(64, 128, kernel_size=(1, 1), stride=(2, 2), bias=False)
    """

    conv_bn_pairs = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(
        self, in_channels, channels, stride=1, shortcut="B", dilation=1, stride_in_1x1=False, norm_layer=BatchNorm2d
    ):
        super().__init__()
        self.conv1 = Conv2d(in_channels, channels, 3, stride, dilation, dilation, bias=False)
        self.bn1 = norm_layer(channels)
        self.conv2 = Conv2d(channels, channels, 3, 1, dilation, dilation, bias=False)
        self.bn2 = norm_layer(channels)
        self._make_shortcut(in_channels, channels, stride, shortcut, norm_layer)

    def forward(self, x):
        y = conv_bn(self.conv1, self.bn1, x, act="relu")
        return conv_bn(self.conv2, self.bn2, y, self._shortcut(x), "relu")


class Bottleneck(_Residual):
    """1x1 to `channels`, 3x3, 1x1 to 4 `channels`, and a shortcut.

    The stride sits on the 3x3 convolution, as in torchvision; stride_in_1x1=True puts it on the first, as in the paper.

    Shapes      x (N, in_channels, H, W) -> (N, 4 channels, ceil(H / stride), ceil(W / stride))
    Parameters  conv1, bn1, conv2, bn2, conv3, bn3, downsample.0, downsample.1 (where the shortcut projects)
    """

    expansion = 4
    conv_bn_pairs = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(
        self, in_channels, channels, stride=1, shortcut="B", dilation=1, stride_in_1x1=False, norm_layer=BatchNorm2d
    ):
        super().__init__()
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = Conv2d(in_channels, channels, 1, first, bias=False)
        self.bn1 = norm_layer(channels)
        self.conv2 = Conv2d(channels, channels, 3, second, dilation, dilation, bias=False)
        self.bn2 = norm_layer(channels)
        self.conv3 = Conv2d(channels, channels * self.expansion, 1, bias=False)
        self.bn3 = norm_layer(channels * self.expansion)
        self._make_shortcut(in_channels, channels * self.expansion, stride, shortcut, norm_layer)

    def forward(self, x):
        y = conv_bn(self.conv1, self.bn1, x, act="relu")
        y = conv_bn(self.conv2, self.bn2, y, act="relu")
        return conv_bn(self.conv3, self.bn3, y, self._shortcut(x), "relu")


def residual_stage(
    block,
    in_channels,
    channels,
    count,
    stride=1,
    shortcut="B",
    dilation=(1, 1),
    stride_in_1x1=False,
    norm_layer=BatchNorm2d,
):
    """`count` blocks as a Sequential; only the first has the stride.

    dilation: of the first block and of the others (they differ where a dilation takes the place of a stride).
    """
    if count < 1:
        raise ValueError(f"residual_stage: count must be at least 1; got {count}")
    options = {"shortcut": shortcut, "stride_in_1x1": stride_in_1x1, "norm_layer": norm_layer}
    blocks = [block(in_channels, channels, stride, dilation=dilation[0], **options)]
    for _ in range(count - 1):
        blocks.append(block(channels * block.expansion, channels, dilation=dilation[1], **options))
    return Sequential(*blocks)
