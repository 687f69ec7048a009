"""Convolution, batch norm and ReLU in as few passes over memory as there can be."""

from fastdl.nn import functional as F
from fastdl.nn.conv import Conv2d
from fastdl.nn.linear import Identity
from fastdl.nn.module import Module
from fastdl.nn.norm import BatchNorm2d


def conv_bn(conv, bn, x, residual=None, act=None):
    """act(bn(conv(x)) + residual); act None or "relu".

    The batch norm adds the residual and applies the ReLU in its own pass; once Module.fuse() has folded it into the
    convolution (it is an Identity then), the convolution does.
    """
    if type(bn) is not Identity:
        return bn(conv(x), residual, act)
    if residual is None:
        return conv(x, act)
    y = conv(x) + residual
    return F.relu(y) if act else y


class ConvBlock(Module):
    """relu(bn(conv(x))), or relu(conv(x)) with a bias where norm=False.

    Shapes      x (N, in_channels, H, W) -> (N, out_channels, OH, OW)
    Parameters  conv.weight, conv.bias (only without norm), bn.*
    """

    conv_bn_pairs = (("conv", "bn"),)

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, norm=True, eps=1e-3):
        super().__init__()
        self.conv = Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=not norm)
        self.bn = BatchNorm2d(out_channels, eps) if norm else Identity()

    def forward(self, x):
        return conv_bn(self.conv, self.bn, x, act="relu")
