"""Dense blocks: every layer sees the maps of all layers before it.

Ref  Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", 2017, arXiv 1608.06993.
     Pleiss et al., "Memory-Efficient Implementation of DenseNets", 2017, arXiv 1707.06990 (recomputing).
"""

from fastdl.autograd import is_grad_enabled
from fastdl.nn import functional as F
from fastdl.nn.activation import ReLU
from fastdl.nn.blocks.conv_bn import conv_bn
from fastdl.nn.checkpoint import checkpoint
from fastdl.nn.containers import Sequential
from fastdl.nn.conv import Conv2d
from fastdl.nn.module import Module
from fastdl.nn.norm import BatchNorm2d
from fastdl.nn.pool import AvgPool2d
from fastdl.ops.shape import cat


class DenseLayer(Module):
    """BN, ReLU, 1x1 convolution to bn_size * growth, BN, ReLU, 3x3 convolution to growth; then dropout.

    bn_size=0 leaves the 1x1 convolution out (the plain DenseNet, without B).

    Shapes      x (N, in_channels, H, W) -> (N, growth, H, W)
    Parameters  norm1, conv1, norm2, conv2 (norm1, conv1 alone with bn_size=0)
    """

    conv_bn_pairs = (("conv1", "norm2"),)

    def __init__(self, in_channels, growth, bn_size=4, dropout=0.0):
        super().__init__()
        self.norm1 = BatchNorm2d(in_channels)
        if bn_size:
            self.conv1 = Conv2d(in_channels, bn_size * growth, 1, bias=False)
            self.norm2 = BatchNorm2d(bn_size * growth)
            self.conv2 = Conv2d(bn_size * growth, growth, 3, padding=1, bias=False)
        else:
            self.conv1 = Conv2d(in_channels, growth, 3, padding=1, bias=False)
            self.conv_bn_pairs = ()
        self.bn_size, self.dropout = bn_size, dropout

    def forward(self, x):
        y = self.norm1(x, act="relu")
        if self.bn_size:
            y = self.conv2(conv_bn(self.conv1, self.norm2, y, act="relu"))
        else:
            y = self.conv1(y)
        return F.dropout(y, self.dropout, self.training) if self.dropout else y


class DenseBlock(Module):
    """`layers` dense layers: c0 + growth * l channels enter layer l, c0 + growth * layers leave the block.

    memory_efficient   keep only the `growth` maps of every layer for the backward pass and compute the rest again:
                       memory grows with layers, not with its square; a backward pass costs one more forward pass

    Shapes      x (N, in_channels, H, W) -> (N, in_channels + layers * growth, H, W)
    Parameters  denselayer1.*, denselayer2.*, ...

    Example
    >>> DenseBlock(6, 64, growth=32).out_channels
    256
    """

    def __init__(self, layers, in_channels, growth, bn_size=4, dropout=0.0, memory_efficient=False):
        super().__init__()
        self.memory_efficient = memory_efficient
        for i in range(layers):
            self.register_module(f"denselayer{i + 1}", DenseLayer(in_channels + i * growth, growth, bn_size, dropout))
        self.out_channels = in_channels + layers * growth

    def forward(self, x):
        maps = [x]
        for layer in self.children():
            if self.memory_efficient and is_grad_enabled():
                maps.append(checkpoint(_Joined(layer), *maps, parameters=layer.parameters()))
            else:
                maps.append(layer(cat(maps, 1) if len(maps) > 1 else x))
        return cat(maps, 1)


class _Joined:
    """layer of the joined maps, as one function."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, *maps):
        return self.layer(cat(maps, 1) if len(maps) > 1 else maps[0])


class Transition(Sequential):
    """BN, ReLU, 1x1 convolution, 2x2 mean: fewer channels, half the height and width.

    Shapes      x (N, in_channels, H, W) -> (N, out_channels, H // 2, W // 2)
    Parameters  norm, conv
    """

    def __init__(self, in_channels, out_channels):
        super().__init__(
            {
                "norm": BatchNorm2d(in_channels),
                "relu": ReLU(),
                "conv": Conv2d(in_channels, out_channels, 1, bias=False),
                "pool": AvgPool2d(2, 2),
            }
        )

    def forward(self, x):
        # A mean of pixels and a 1x1 convolution commute; the convolution then sees a quarter of them.
        if any(m._hooked for m in self.children()):
            return super().forward(x)
        return self.conv(self.pool(self.norm(x, act="relu")))
