"""FCN: a classifier whose dense layers are convolutions labels every pixel; deconvolutions bring the scores back to full size.

    image -> 5 stages of convolutions and pools (VGG16) -> fc6 7x7, fc7 1x1 -> scores at stride 32
    32s: x32 at once.   16s: x2, plus scores of pool4, x16.   8s: x2, plus pool4, x2, plus pool3, x8.

134,346,581 parameters before the deconvolutions with 21 classes; 136,152,917 / 134,815,994 / 134,489,759 for 32s / 16s / 8s.
fcn_resnet50 and fcn_resnet101 are torchvision's form: strides 3 and 4 of a ResNet dilated, a 3x3 head, bilinear resizing;
32,957,013 and 51,949,141 parameters with 21 classes, 35,322,218 and 54,314,346 with the auxiliary head.

Ref  Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015; Shelhamer et al. 2016, arXiv
     1605.06211. The first convolution pads by 100, so that fc6 fits over any border; what the upsampled scores stick out by
     is cropped at offsets that follow from the geometry of the layers: 19; 5, 27; 5, 9, 31 in the published networks.
"""

from dataclasses import dataclass

import numpy as np

from fastdl import nn
from fastdl.detection.backbone import need_images
from fastdl.nn import functional as F
from fastdl.nn.init import bilinear_, zeros_


@dataclass(frozen=True)
class FCNConfig:
    """Sizes and choices; the defaults are FCN-8s on VGG16."""

    num_classes: int = 21
    in_channels: int = 3
    skips: int = 2  # score maps of finer stages that are added: 0 (32s), 1 (16s), 2 (8s)
    channels: tuple[int, ...] = (64, 128, 256, 512, 512)  # of the stages, each ending in a pool
    convs: tuple[int, ...] = (2, 2, 3, 3, 3)  # convolutions of the stages
    hidden: int = 4096  # channels of fc6 and fc7
    window: int = 7  # of fc6
    padding: int = 100  # of the first convolution; 1 with `same`
    same: bool = False  # fc6 pads, too: nothing needs to be padded before
    batch_norm: bool = False
    dropout: float = 0.5
    learned: bool = True  # deconvolutions are trained; False: they stay bilinear
    at_once: bool = False  # scale pool4 by 0.01 and pool3 by 0.0001 before scoring, to train all streams together


class FCN(nn.Module):
    """Scores of the classes for every pixel.

    Shapes      x (N, in_channels, H, W), any H and W -> (N, num_classes, H, W)
    Parameters  conv{stage}_{i}, fc6, fc7, score_fr, score_pool{stage}; upscore (32s), upscore2 and upscore16 (16s),
                upscore2, upscore_pool4 and upscore8 (8s)

    Example
    >>> with nn.init_empty():
    ...     sum(p.numel() for p in fcn8s().parameters())
    134489759
    """

    def __init__(self, config: FCNConfig | None = None):
        super().__init__()
        self.config = c = config or FCNConfig()
        n = len(c.channels)
        if not 0 <= c.skips < n or len(c.convs) != n:
            raise ValueError(f"FCN: {n} stages allow 0 to {n - 1} skips and need {n} counts of convolutions; got {c}")
        before = c.in_channels
        for stage, (width, count) in enumerate(zip(c.channels, c.convs), 1):
            for i in range(1, count + 1):
                padding = c.padding if stage == i == 1 else 1
                conv = nn.Conv2d(before, width, 3, padding=padding, bias=not c.batch_norm)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                self.register_module(f"conv{stage}_{i}", conv)
                if c.batch_norm:
                    self.register_module(f"bn{stage}_{i}", nn.BatchNorm2d(width))
                before = width
        self.fc6 = nn.Conv2d(before, c.hidden, c.window, padding=c.window // 2 if c.same else 0)
        self.fc7 = nn.Conv2d(c.hidden, c.hidden, 1)
        for layer in (self.fc6, self.fc7):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        self.drop = nn.Dropout(c.dropout)
        self.score_fr = self._score(c.hidden)
        for k in range(1, c.skips + 1):
            self.register_module(f"score_pool{n - k}", self._score(c.channels[n - k - 1]))
            self.register_module(self._up_name(k), self._deconvolution(2))
        self.register_module(self._last_name(), self._deconvolution(2 ** (n - c.skips)))
        self._set_offsets()

    def _score(self, channels):
        layer = nn.Conv2d(channels, self.config.num_classes, 1)
        zeros_(layer.weight), zeros_(layer.bias)
        return layer

    def _deconvolution(self, stride):
        c = self.config
        layer = nn.ConvTranspose2d(c.num_classes, c.num_classes, 2 * stride, stride, bias=False)
        bilinear_(layer.weight)
        layer.weight.requires_grad = c.learned
        return layer

    def _up_name(self, k):
        """Of the deconvolution before the k-th skip: upscore2, then upscore_pool4, ..."""
        return "upscore2" if k == 1 else f"upscore_pool{len(self.config.channels) - k + 1}"

    def _last_name(self):
        stride = 2 ** (len(self.config.channels) - self.config.skips)
        return "upscore" if self.config.skips == 0 else f"upscore{stride}" if stride > 2 else "upscore_image"

    def _set_offsets(self):
        """Where maps must be cropped. Cell i of a map lies over pixel stride i + begin; a deconvolution with filters of 2 s and
        stride s brings cell u of its result over (u - (2 s - 1) / 2) / s of its input."""
        c, n = self.config, len(self.config.channels)
        begins = [1 - c.padding + (2**stage - 1) / 2 for stage in range(n + 1)]  # after `stage` pools
        begin = begins[n] + (0 if c.same else (c.window - 1) / 2 * 2**n)
        self.offsets = []
        for k in range(1, c.skips + 1):
            stride = 2 ** (n - k)
            begin -= 1.5 * stride
            self.offsets.append(round((begin - begins[n - k]) / stride))
            begin = begins[n - k] + max(self.offsets[-1], 0) * stride
        self.offsets.append(round((2 ** (n - c.skips + 1) - 1) / 2 - begin))

    def pools(self, x):
        """The maps after the pools."""
        c = self.config
        maps = []
        for stage, count in enumerate(c.convs, 1):
            for i in range(1, count + 1):
                conv = getattr(self, f"conv{stage}_{i}")
                x = getattr(self, f"bn{stage}_{i}")(conv(x), act="relu") if c.batch_norm else conv(x, act="relu")
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
            maps.append(x)
        return maps

    def coarse(self, x):
        """Scores at the coarsest stride: the class heat map."""
        return self._scores(self.pools(x)[-1])

    def _scores(self, x):
        x = self.drop(self.fc6(x, act="relu"))
        return self.score_fr(self.drop(self.fc7(x, act="relu")))

    def forward(self, x):
        c, n = self.config, len(self.config.channels)
        need_images(x, c.in_channels, "FCN", 1 if c.padding >= 16 else 2**n)
        H, W = x.shape[2:]
        pools = self.pools(x)
        scores = self._scores(pools[-1])
        for k in range(1, c.skips + 1):
            scores = getattr(self, self._up_name(k))(scores)
            pool = pools[n - k - 1]
            if c.at_once:
                pool = pool * 10.0 ** (-2 * k)
            scores = _add_cropped(scores, getattr(self, f"score_pool{n - k}")(pool), self.offsets[k - 1])
        top = self.offsets[-1]
        return getattr(self, self._last_name())(scores)[:, :, top : top + H, top : top + W]


def _add_cropped(scores, skip, offset):
    """scores[u] + skip[u + offset] over the cells that both have; a negative offset crops the scores instead."""
    mine, its = max(-offset, 0), max(offset, 0)
    h, w = (min(a - mine, b - its) for a, b in zip(scores.shape[2:], skip.shape[2:]))
    return scores[:, :, mine : mine + h, mine : mine + w] + skip[:, :, its : its + h, its : its + w]


def fcn32s(num_classes=21, **settings) -> FCN:
    """FCN-32s on VGG16: 136,152,917 parameters with 21 classes."""
    return FCN(FCNConfig(num_classes=num_classes, skips=0, **settings))


def fcn16s(num_classes=21, **settings) -> FCN:
    """FCN-16s on VGG16: 134,815,994 parameters with 21 classes."""
    return FCN(FCNConfig(num_classes=num_classes, skips=1, **settings))


def fcn8s(num_classes=21, **settings) -> FCN:
    """FCN-8s on VGG16: 134,489,759 parameters with 21 classes."""
    return FCN(FCNConfig(num_classes=num_classes, skips=2, **settings))


def fcn_small(num_classes=11, in_channels=1, skips=2, **settings) -> FCN:
    """The same class for scenes of 64 to 128 pixels: three stages, so that no skip, one and two give strides 8, 4 and 2."""
    small = {"channels": (16, 32, 64), "convs": (2, 2, 2), "hidden": 96, "window": 3, "padding": 1, "same": True}
    small = {**small, "batch_norm": True, "dropout": 0.1, **settings}
    return FCN(FCNConfig(num_classes=num_classes, in_channels=in_channels, skips=skips, **small))


# ------------------------------------------------------------------------------------------------- torchvision's form


class FCNHead(nn.Sequential):
    """3x3 to a quarter of the channels, batch norm, ReLU, dropout, 1x1 to the classes."""

    def __init__(self, in_channels, channels):
        inner = in_channels // 4
        conv = nn.Conv2d(in_channels, inner, 3, padding=1, bias=False)
        super().__init__(conv, nn.BatchNorm2d(inner), nn.ReLU(), nn.Dropout(0.1), nn.Conv2d(inner, channels, 1))


class FCNResNet(nn.Module):
    """A ResNet's last map, scored and resized to the image.

    backbone    a module with stages(x), the maps after every stage; its dense layer `fc` is taken away
    aux         another head on the last map but one, for training

    Shapes      x (N, 3, H, W) -> {"out": (N, num_classes, H, W), "aux": alike, where there is an auxiliary head}
    Parameters  backbone.*, classifier.{0,1,4}.*, aux_classifier.{0,1,4}.*
    """

    def __init__(self, backbone, num_classes=21, aux=False):
        super().__init__()
        if hasattr(backbone, "fc"):
            del backbone.fc
        self.backbone = backbone
        self.classifier = FCNHead(backbone.out_channels, num_classes)
        self.register_module("aux_classifier", FCNHead(backbone.out_channels // 2, num_classes) if aux else None)

    def forward(self, x):
        size = tuple(x.shape[2:])
        maps = self.backbone.stages(x)
        out = {"out": F.interpolate(self.classifier(maps[-1]), size, mode="bilinear", align_corners=False)}
        if self.aux_classifier is not None:
            out["aux"] = F.interpolate(self.aux_classifier(maps[-2]), size, mode="bilinear", align_corners=False)
        return out


def fcn_resnet50(num_classes=21, aux_loss=False, **settings) -> FCNResNet:
    """FCN on ResNet-50; settings are ResNetConfig's."""
    from fastdl.models.resnet import resnet50

    return FCNResNet(resnet50(dilate=(False, True, True), **settings), num_classes, aux_loss)


def fcn_resnet101(num_classes=21, aux_loss=False, **settings) -> FCNResNet:
    """FCN on ResNet-101."""
    from fastdl.models.resnet import resnet101

    return FCNResNet(resnet101(dilate=(False, True, True), **settings), num_classes, aux_loss)


def loss(scores, labels, ignore_index=255, weight=None):
    """Cross-entropy, the mean over the pixels that count, 0 where none does; scores (N, C, H, W) or FCNResNet's dict (aux
    counts half).
    """
    if isinstance(scores, dict):
        parts = {name: loss(s, labels, ignore_index, weight) for name, s in scores.items()}
        return parts["out"] + 0.5 * parts["aux"] if "aux" in parts else parts["out"]
    if (np.asarray(getattr(labels, "array", labels)) == ignore_index).all():
        return scores.sum() * 0
    return F.cross_entropy(scores, labels, weight, ignore_index)
