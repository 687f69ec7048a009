"""The inception block: several receptive fields side by side.

Ref  Szegedy et al., "Going Deeper with Convolutions", 2015, arXiv 1409.4842.
"""

from fastdl.nn.blocks.conv_bn import ConvBlock
from fastdl.nn.containers import Sequential
from fastdl.nn.module import Module
from fastdl.nn.pool import MaxPool2d
from fastdl.ops.shape import cat


class Inception(Module):
    """1x1 | 1x1 then 3x3 | 1x1 then 5x5 | max pool then 1x1, joined in this order over the channels.

    kernel5: the size of the "5x5" filters, 3 in torchvision's GoogLeNet; norm: batch norm instead of biases.
    reduce=False is the naive block of the paper's figure 2(a): no 1x1 before the large filters nor after the pool (c3r,
    c5r and pool_proj do not count, and the output has c1 + c3 + c5 + in_channels channels).

    Shapes      x (N, in_channels, H, W) -> (N, c1 + c3 + c5 + pool_proj, H, W)
    Parameters  branch1.conv, branch2.0.conv, branch2.1.conv, branch3.0.conv, branch3.1.conv, branch4.1.conv; .bn beside

    Example
    >>> Inception(192, 64, 96, 128, 16, 32, 32).out_channels
    256
    """

    def __init__(self, in_channels, c1, c3r, c3, c5r, c5, pool_proj, kernel5=5, norm=True, reduce=True, eps=1e-3):
        super().__init__()

        def conv(*sizes):
            return ConvBlock(*sizes, norm=norm, eps=eps)

        pool = MaxPool2d(3, stride=1, padding=1, ceil_mode=True)
        self.branch1 = conv(in_channels, c1, 1)
        if reduce:
            self.branch2 = Sequential(conv(in_channels, c3r, 1), conv(c3r, c3, 3, 1, 1))
            self.branch3 = Sequential(conv(in_channels, c5r, 1), conv(c5r, c5, kernel5, 1, kernel5 // 2))
            self.branch4 = Sequential(pool, conv(in_channels, pool_proj, 1))
        else:
            self.branch2 = Sequential(conv(in_channels, c3, 3, 1, 1))
            self.branch3 = Sequential(conv(in_channels, c5, kernel5, 1, kernel5 // 2))
            self.branch4 = Sequential(pool)
        self.out_channels = c1 + c3 + c5 + (pool_proj if reduce else in_channels)

    def forward(self, x):
        return cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)
