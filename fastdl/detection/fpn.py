"""Feature pyramid network: every level of a backbone gets the meaning of the coarser ones; and frozen batch norm.

Ref  Lin, Dollar, Girshick, He, Hariharan, Belongie 2017, arXiv 1612.03144; keys of torchvision.ops.FeaturePyramidNetwork.
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.nn import functional as F


class FrozenBatchNorm2d(nn.Module):
    """Batch norm whose statistics, scale and shift stay what they are; all four are buffers.

    Shapes   x (N, C, H, W) -> same; forward(x, residual, act="relu") adds and rectifies, as BatchNorm2d's does
    """

    def __init__(self, num_features, eps=1e-5):
        super().__init__()
        self.num_features, self.eps = num_features, eps
        for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            self.register_buffer(name, Tensor(np.full(num_features, value, np.float32)))

    def forward(self, x, residual=None, act=None):
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        x = x if residual is None else x + residual
        return F.relu(x) if act == "relu" else x


class FeaturePyramidNetwork(nn.Module):
    """Maps (N, C_i, H_i, W_i), fine to coarse -> as many of `channels` channels, and one more: the last, every second pixel.

    Each map goes through a 1x1 convolution, the result of the coarser level is added (nearest pixel), and a 3x3 convolution
    smooths the sum.

    Parameters  inner_blocks.{i}.0, layer_blocks.{i}.0
    """

    def __init__(self, in_channels, channels=256, extra=True):
        super().__init__()
        self.extra, self.out_channels = extra, channels
        self.inner_blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(c, channels, 1)) for c in in_channels])
        self.layer_blocks = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1)) for _ in in_channels]
        )
        for block in (*self.inner_blocks, *self.layer_blocks):
            nn.init.kaiming_uniform_(block[0].weight, a=1)
            nn.init.zeros_(block[0].bias)

    def forward(self, maps):
        last = self.inner_blocks[-1](maps[-1])
        out = [self.layer_blocks[-1](last)]
        for i in range(len(maps) - 2, -1, -1):
            lateral = self.inner_blocks[i](maps[i])
            last = lateral + F.interpolate(last, size=tuple(lateral.shape[2:]), mode="nearest")
            out.insert(0, self.layer_blocks[i](last))
        return [*out, F.max_pool2d(out[-1], 1, 2)] if self.extra else out


class BackboneWithFPN(nn.Module):
    """body (with stages(x), the maps of its stages) and fpn on all of its stages."""

    def __init__(self, body, in_channels, channels=256):
        super().__init__()
        self.body, self.fpn, self.out_channels = body, FeaturePyramidNetwork(in_channels, channels), channels

    def forward(self, x):
        return self.fpn(self.body.stages(x))
