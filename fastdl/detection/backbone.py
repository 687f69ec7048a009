"""The small convolutional network that all detectors of the course can share: stages of 3x3 convolutions with batch norm."""

import numpy as np

from fastdl import nn
from fastdl.nn import functional as F
from fastdl.nn.blocks.images import check_images


def need_images(x, channels, name, least=1):
    """ValueError unless x is a Tensor (N, channels, H, W) of floats with H and W at least `least`."""
    check_images(name, x, channels, least)
    if x.dtype.kind != "f":
        raise ValueError(
            f"{name}: expected images (N, {channels}, H, W) of floats; got {x.dtype}; hint: x.float() / 255, standardised"
        )


def enlarged(images, scale):
    """Images (N, C, H, W), their sides times `scale`, bilinearly."""
    if scale == 1:
        return images
    size = tuple(round(side * scale) for side in images.shape[2:])
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def need_proposals(images, proposals, name):
    """ValueError unless there is one array of boxes for every image."""
    if len(proposals) != len(images):
        raise ValueError(f"{name}: {len(images)} images and proposals for {len(proposals)}; give one (P, 4) an image")


class ConvStages(nn.Module):
    """Feature maps of stride 1, 2, 4, ...: two 3x3 convolutions with batch norm and ReLU a stage, a pool between stages.

    Shapes      x (N, in_channels, H, W) -> the last stage's map (N, channels[-1], H / 2^(n-1), W / 2^(n-1)), rounded down;
                stages(x) gives those of all stages
    Parameters  stages: {i}.{0,3}.weight (convolutions without bias), {i}.{1,4}.* (batch norm)
    """

    def __init__(self, in_channels=1, channels=(16, 32, 64, 96), convs=2):
        super().__init__()
        self.in_channels, self.out_channels, self.channels = in_channels, channels[-1], tuple(channels)
        self.stride = 2 ** (len(channels) - 1)
        before = in_channels
        for i, width in enumerate(channels):
            layers = []
            for _ in range(convs):
                layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                nn.init.kaiming_normal_(layers[-3].weight, nonlinearity="relu")
                before = width
            self.register_module(str(i), nn.Sequential(*layers))

    def stages(self, x):
        """The maps of all stages, from the finest to the coarsest."""
        need_images(x, self.in_channels, "ConvStages", self.stride)
        maps = []
        for i in range(len(self.channels)):
            x = getattr(self, str(i))(F.max_pool2d(x, 2) if i else x)
            maps.append(x)
        return maps

    def forward(self, x):
        return self.stages(x)[-1]


def classifier_of(backbone, num_classes):
    """A Sequential(backbone, mean, Linear) to train a backbone as a classifier, as the papers do before detection."""
    return nn.Sequential({"backbone": backbone, "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(),
                          "fc": nn.Linear(backbone.out_channels, num_classes)})  # fmt: skip


def generator(seed):
    """A NumPy generator of sampling: from a seed, or from the global one (fastdl.manual_seed) where None."""
    from fastdl.ops.random import numpy_generator

    return numpy_generator(None) if seed is None else np.random.default_rng(seed)
