"""R-CNN: regions with CNN features. Every proposed region is cut out, warped to one size and looked at by itself.

    image -> selective search -> about 2,000 boxes -> warp each to 227 x 227 with 16 pixels of context -> AlexNet -> fc7 (4096)
          -> one linear SVM a class on fc7, one box regression a class on pool5 (9216) -> NMS

Ref  Girshick, Donahue, Darrell, Malik, "Rich feature hierarchies for accurate object detection and semantic segmentation", 2014.
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.detection.backbone import ConvStages, need_images, need_proposals
from fastdl.detection.region_classifier import RegionClassifier, detect_regions
from fastdl.nn import functional as F
from fastdl.ops.roi import roi_align
from fastdl.ops.shape import cat


def warp(images, boxes, size, context=16):
    """(K, C, size, size): regions of images (N, C, H, W) stretched to squares; boxes: one (L, 4) an image.

    The box is widened so that, after warping, `context` pixels on every side show what is around it; beyond the image is 0.
    """
    if not 0 <= 2 * context < size:
        raise ValueError(f"warp: context={context} on both sides must leave something of size={size}")
    grown = []
    for b in boxes:
        b = np.asarray(b, np.float32).reshape(-1, 4)
        extra = (b[:, 2:] - b[:, :2]) * (context / (size - 2 * context))
        grown.append(np.concatenate([b[:, :2] - extra, b[:, 2:] + extra], 1))
    return roi_align(images, grown, size, 1.0, 1, aligned=True)


class RegionNet(nn.Module):
    """A classifier of warped regions: features (a module to maps), a dense layer to `hidden` features, and scores.

    Shapes      x (K, C, size, size) -> (K, classes + 1), background first; pool5(x) -> (K, inputs), embed(pool5) -> (K, hidden)
    Parameters  features.*, fc7, fc8
    """

    def __init__(self, features, inputs, hidden, classes):
        super().__init__()
        self.features, self.inputs, self.hidden = features, inputs, hidden
        self.fc7, self.fc8 = nn.Linear(inputs, hidden), nn.Linear(hidden, classes + 1)

    def pool5(self, x):
        return self.features(x).flatten(1)

    def embed(self, pool5):
        return F.relu(self.fc7(pool5))

    def forward(self, x):
        return self.fc8(self.embed(self.pool5(x)))


class AlexNetRegions(nn.Module):
    """AlexNet as R-CNN uses it: pool5() gives 9216 numbers of its last maps, embed() makes the 4096 of fc7 from them.

    Parameters  alexnet.features.*, alexnet.classifier.*
    """

    def __init__(self, alexnet):
        super().__init__()
        self.alexnet, self.inputs, self.hidden = alexnet, 9216, 4096

    def pool5(self, x):
        return self.alexnet.avgpool(self.alexnet.features(x)).flatten(1)

    def embed(self, pool5):
        x = pool5
        for layer in list(self.alexnet.classifier)[:-1]:
            x = layer(x)
        return x

    def forward(self, x):
        return self.alexnet(x)


class RCNN(nn.Module):
    """Detector of regions that are given to it (by selective_search).

    backbone   with pool5(x) -> (K, inputs), embed(pool5) -> (K, hidden) and forward(x) -> (K, classes + 1)
    size       of warped regions; context: pixels of it around the box
    ridge      of the box regressions: 1000 is the paper's, for 9216 features and many pairs

    Call        detect(images (N, C, H, W), proposals: one (P, 4) an image) -> one dict, labels from 0, an image
    Parameters  backbone.*, heads.svm.{c}.*, heads.bbox.{c}.*
    """

    def __init__(self, backbone, classes, size=227, context=16, in_channels=3, ridge=1000.0):
        super().__init__()
        self.backbone, self.size, self.context, self.in_channels = backbone, size, context, in_channels
        self.heads = RegionClassifier(backbone.hidden, classes, ridge_strength=ridge, places=backbone.inputs)

    def forward(self, images, boxes):
        """(K, classes + 1) softmax scores of regions, for fine-tuning."""
        need_images(images, self.in_channels, "RCNN")
        need_proposals(images, boxes, "RCNN")
        return self.backbone(warp(images, boxes, self.size, self.context))

    def embed(self, images, boxes):
        """(K, hidden) features of all regions, for the SVMs."""
        return self.describe(images, boxes)[0]

    def describe(self, images, boxes, chunk=256):
        """(fc7 (K, hidden), pool5 (K, inputs)) of all regions: what the SVMs and what the box regressions look at."""
        need_images(images, self.in_channels, "RCNN")
        need_proposals(images, boxes, "RCNN")
        if not sum(map(len, boxes)):
            return tuple(Tensor(np.zeros((0, n), np.float32)) for n in (self.backbone.hidden, self.backbone.inputs))
        x = warp(images, boxes, self.size, self.context)
        maps = [self.backbone.pool5(x[i : i + chunk]) for i in range(0, x.shape[0], chunk)]
        rows = [self.backbone.embed(part) for part in maps]
        return tuple(cat(parts, 0) if len(parts) > 1 else parts[0] for parts in (rows, maps))

    def detect(self, images, proposals, **options):
        if len(images) == 0:
            return []
        return detect_regions(self, images, proposals, **options)


def rcnn_alexnet(classes=20) -> RCNN:
    """The paper's network on AlexNet."""
    from fastdl.models.alexnet import alexnet

    return RCNN(AlexNetRegions(alexnet(num_classes=classes + 1)), classes)


def rcnn_small(classes=10, in_channels=1, size=32, hidden=128) -> RCNN:
    """The same class for scenes: ConvStages (16, 32, 64) on regions of 32 x 32.

    The box regressions look at the last maps, as in the paper. mAP at IoU 0.75 on validation scenes of three seeds: .65, .71, .72
    without them, .75, .77, .75 on fc7, and .82, .83, .84 on the maps.
    """
    stages = ConvStages(in_channels, (16, 32, 64))
    side = size // stages.stride
    net = RegionNet(stages, stages.out_channels * side * side, hidden, classes)
    return RCNN(net, classes, size, context=2, in_channels=in_channels, ridge=100.0)
