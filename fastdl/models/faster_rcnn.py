"""Faster R-CNN: a region proposal network and a Fast R-CNN head share the convolutions.

    image -> backbone -> maps -> RPN: objectness and offsets of anchors -> NMS -> proposals
                           \\-> RoI pool or align of the proposals -> fc6, fc7 -> K + 1 scores, 4 (K + 1) offsets -> NMS

VGG16 (stride 16, nine anchors, RoI pool 7): 137,078,239 parameters with 21 classes. ResNet-50-FPN (torchvision's: five levels,
three anchors each, RoI align 7): 41,755,286 with 91 classes, and 53,120 more where batch norm is trained.

Ref  Ren, He, Girshick, Sun, "Faster R-CNN", 2015, arXiv 1506.01497; Lin et al. 2017, arXiv 1612.03144 (pyramid).
"""

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.detection.anchors import AnchorGenerator
from fastdl.detection.backbone import ConvStages, need_images
from fastdl.detection.fpn import BackboneWithFPN, FrozenBatchNorm2d
from fastdl.detection.roi_heads import FastRCNNPredictor, RoIHeads, RoIPooler, RoISampler, TwoMLPHead
from fastdl.detection.rpn import RegionProposalNetwork, RPNHead, check_targets
from fastdl.detection.transform import ImageTransform, scale_boxes


class FasterRCNN(nn.Module):
    """Losses in training, detections otherwise.

    backbone    x -> a map or a list of maps
    transform   ImageTransform for lists of images of any size; None: images come as a batch, standardised

    Call        model(images, targets) in training -> {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"}
                model(images) in eval mode -> one dict {"boxes" (D, 4), "scores", "labels" 1..num_classes - 1} an image
                images: (N, C, H, W), or a list of (C, H, W); targets: one dict {"boxes", "labels"} an image, G = 0 allowed
    Parameters  backbone.*, rpn.head.*, roi_heads.box_head.*, roi_heads.box_predictor.*
    """

    def __init__(self, backbone, rpn, roi_heads, num_classes, transform=None, in_channels=3):
        super().__init__()
        self.transform, self.backbone, self.rpn, self.roi_heads = transform, backbone, rpn, roi_heads
        self.num_classes, self.in_channels = num_classes, in_channels

    def maps(self, x):
        """The feature maps of a batch, a list."""
        maps = self.backbone(x)
        return maps if isinstance(maps, (list, tuple)) else [maps]

    def forward(self, images, targets=None):
        if len(images) == 0:
            if self.training:
                raise ValueError("FasterRCNN: training needs at least one image")
            return []
        if not isinstance(images, Tensor) and self.transform is None:
            raise ValueError("FasterRCNN: a list of images needs a transform; hint: transform=ImageTransform()")
        old = [tuple(image.shape[-2:]) for image in images]
        batch, sizes = (images, old) if self.transform is None else self.transform(list(images))
        need_images(batch, self.in_channels, "FasterRCNN")
        if self.training:
            targets = check_targets(targets, old, self.num_classes)
            if self.transform is not None:
                targets = [{**t, "boxes": scale_boxes(t["boxes"], a, b)} for t, a, b in zip(targets, old, sizes)]
        size = tuple(batch.shape[2:])
        maps = self.maps(batch)
        proposals, losses = self.rpn(maps, size, targets if self.training else None, sizes)
        found, more = self.roi_heads(maps, proposals, sizes, targets)
        if self.training:
            return {**losses, **more}
        if self.transform is not None:
            for d, a, b in zip(found, old, sizes):
                d["boxes"] = scale_boxes(d["boxes"], b, a).clip(0, [a[1], a[0], a[1], a[0]])
        return found

    def proposals(self, x):
        """N arrays (P, 4): what the RPN proposes for a batch, best first."""
        return self.rpn(self.maps(x), tuple(x.shape[2:]))[0]


def fasterrcnn_vgg16(num_classes=21, **transform) -> FasterRCNN:
    """The paper's network: VGG16 without its last pool, 128, 256, 512 x 1:2, 1:1, 2:1, two-way softmax objectness."""
    from fastdl.models.vgg import vgg16

    net = vgg16()
    features = nn.Sequential(*list(net.features)[:-1])
    anchors = AnchorGenerator(((128, 256, 512),), ((0.5, 1.0, 2.0),))
    rpn = RegionProposalNetwork(anchors, RPNHead(512, 9, softmax=True), before=(12000, 6000), after=(2000, 300))
    head = TwoMLPHead(512 * 7 * 7, 4096, dropout=0.5)
    sampler = RoISampler(128, 0.25, 0.5, (0.1, 0.5))
    pooler = RoIPooler((1 / 16,), 7, "pool")
    heads = RoIHeads(pooler, head, FastRCNNPredictor(4096, num_classes), sampler, iou=0.3)
    return FasterRCNN(features, rpn, heads, num_classes, ImageTransform(**{"short": 600, "long": 1000, **transform}))


def fasterrcnn_resnet50_fpn(num_classes=91, trainable_norm=False, **transform) -> FasterRCNN:
    """torchvision's network: ResNet-50 with frozen batch norm, a pyramid of 256 channels, anchors 32 to 512."""
    from fastdl.models.resnet import resnet50

    body = resnet50(norm_layer=nn.BatchNorm2d if trainable_norm else FrozenBatchNorm2d)
    del body.fc
    backbone = BackboneWithFPN(body, (256, 512, 1024, 2048))
    anchors = AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),))
    rpn = RegionProposalNetwork(anchors, RPNHead(256, 3))
    pooler = RoIPooler((1 / 4, 1 / 8, 1 / 16, 1 / 32))
    heads = RoIHeads(pooler, TwoMLPHead(256 * 7 * 7, 1024), FastRCNNPredictor(1024, num_classes))
    return FasterRCNN(backbone, rpn, heads, num_classes, ImageTransform(**transform))


def fasterrcnn_small(
    num_classes=11, in_channels=1, backbone=None, sizes=(14, 20, 28), hidden=128, seed=None
) -> FasterRCNN:
    """The same class for scenes (64 to 128 pixels): ConvStages of stride 4, nine anchors, RoI align 7, hard background."""
    backbone = backbone or ConvStages(in_channels, (16, 32, 64))
    anchors = AnchorGenerator((tuple(sizes),), ((0.5, 1.0, 2.0),))
    head = RPNHead(backbone.out_channels, 3 * len(sizes))
    rpn = RegionProposalNetwork(anchors, head, size=64, before=(200, 100), after=(100, 50), seed=seed)
    sampler = RoISampler(64, 0.5, background=(0.1, 0.5), seed=seed)
    box_head = TwoMLPHead(backbone.out_channels * 49, hidden)
    heads = RoIHeads(RoIPooler((1 / backbone.stride,), 7), box_head, FastRCNNPredictor(hidden, num_classes), sampler)
    return FasterRCNN(backbone, rpn, heads, num_classes, in_channels=in_channels)


def loss(losses):
    """The sum of a training call's losses."""
    return sum(losses.values())
