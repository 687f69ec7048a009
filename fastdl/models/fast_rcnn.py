"""Fast R-CNN: convolutions once an image, RoI pooling, and one network that classifies a region and moves its box.

    image -> VGG16 convolutions (stride 16) -> RoI max pool 7x7 of every proposal -> fc6 4096 -> fc7 4096
          -> K + 1 class scores (softmax) and 4 (K + 1) box offsets; one loss trains all of it

134,690,729 parameters with 21 classes on VGG16.

Ref  Girshick, "Fast R-CNN", 2015, arXiv 1504.08083.
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.detection.backbone import ConvStages, enlarged, need_images, need_proposals
from fastdl.detection.boxes import check_boxes
from fastdl.detection.roi_heads import RoIPooler, RoISampler, detections, roi_losses
from fastdl.detection.rpn import check_targets
from fastdl.nn import functional as F


class FastRCNN(nn.Module):
    """Losses in training, detections otherwise; proposals come from outside.

    features     image -> maps; channels and stride of them
    sampler      RoISampler: 64 regions an image, a quarter of them objects, background with an IoU in [.1, .5)
    centre       of the first cell's receptive field in the (enlarged) image; RoI pooling takes it to be 0
    scale        the image is enlarged by it before: regions should be as large as what the convolutions learned from (the paper
                 brings the shorter side to 600 pixels)

    Call         model(images (N, C, H, W), proposals: one (P, 4) an image, targets) in training
                 -> {"loss_classifier", "loss_box_reg"}
                 model(images, proposals) in eval mode -> one dict {"boxes", "scores", "labels" from 1} an image
    Parameters   features.*, fc6, fc7, cls_score, bbox_pred
    """

    def __init__(
        self, features, channels, stride, num_classes=21, pool=7, hidden=4096, dropout=0.5, sampler=None, in_channels=3,
        mode="pool", score=0.05, iou=0.3, most=100, centre=0.0, scale=1.0,
    ):  # fmt: skip
        super().__init__()
        self.features, self.num_classes, self.in_channels = features, num_classes, in_channels
        self.pooler, self.centre, self.scale = RoIPooler((1 / stride,), pool, mode), centre, scale
        self.fc6, self.fc7 = nn.Linear(channels * pool * pool, hidden), nn.Linear(hidden, hidden)
        self.cls_score, self.bbox_pred = nn.Linear(hidden, num_classes), nn.Linear(hidden, 4 * num_classes)
        for layer, std in ((self.cls_score, 0.01), (self.bbox_pred, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
        self.drop = nn.Dropout(dropout)
        self.sampler = sampler or RoISampler(64, 0.25, 0.5, (0.1, 0.5))
        self.score, self.iou, self.most = score, iou, most

    def predict(self, images, boxes):
        """(scores (R, K), offsets (R, 4 K)) of all boxes of all images."""
        windows = [b * np.float32(self.scale) - np.float32(self.centre) for b in boxes]
        x = self.pooler([self.features(enlarged(images, self.scale))], windows).flatten(1)
        x = self.drop(F.relu(self.fc6(x)))
        x = self.drop(F.relu(self.fc7(x)))
        return self.cls_score(x), self.bbox_pred(x)

    def forward(self, images, proposals, targets=None):
        if len(images) == 0:
            if self.training:
                raise ValueError("FastRCNN: training needs at least one image")
            return []
        need_images(images, self.in_channels, "FastRCNN")
        need_proposals(images, proposals, "FastRCNN")
        size = tuple(images.shape[2:])
        proposals = [check_boxes(p).astype(np.float32) for p in proposals]
        if self.training:
            targets = check_targets(targets, [size] * len(proposals), self.num_classes)
            samples = [self.sampler(p, t) for p, t in zip(proposals, targets)]
            boxes, labels, wanted = (list(part) for part in zip(*samples))
            scores, offsets = self.predict(images, boxes)
            return roi_losses(scores, offsets, np.concatenate(labels), np.concatenate(wanted))
        scores, offsets = self.predict(images, proposals)
        return detections(
            scores, offsets, proposals, [size] * len(proposals), self.sampler.coder, self.score, self.iou, self.most
        )

    def truncate(self, rank6, rank7):
        """Replace fc6 and fc7 by their truncated singular value decompositions: two thin layers instead of a wide one."""
        self.fc6, self.fc7 = truncated(self.fc6, rank6), truncated(self.fc7, rank7)
        return self


def truncated(linear, rank):
    """Sequential(Linear without bias, Linear) of the best approximation of this rank (section 3.1 of the paper)."""
    if not 1 <= rank <= min(linear.in_features, linear.out_features):
        raise ValueError(f"truncated: rank must lie in 1..{min(linear.in_features, linear.out_features)}; got {rank}")
    u, s, v = np.linalg.svd(linear.weight.array, full_matrices=False)
    with nn.init_empty():
        first = nn.Linear(linear.in_features, rank, bias=False)
        second = nn.Linear(rank, linear.out_features)
    first.weight.array[...] = s[:rank, None] * v[:rank]
    second.weight.array[...], second.bias.array[...] = u[:, :rank], linear.bias.array
    return nn.Sequential(first, second)


def fastrcnn_vgg16(num_classes=21) -> FastRCNN:
    """The paper's network on VGG16, its last pool replaced by RoI pooling."""
    from fastdl.models.vgg import vgg16

    return FastRCNN(nn.Sequential(*list(vgg16().features)[:-1]), 512, 16, num_classes)


def fastrcnn_small(num_classes=11, in_channels=1, features=None, hidden=128, seed=None, scale=1.25) -> FastRCNN:
    """The same class for scenes, on ConvStages of stride 4; half of 64 regions are objects, without dropout.

    Background overlaps an object by a tenth to a half, as in the paper. Regions of any overlap (0 to .5) would be texture for
    the most part: parts of digits, the hard ones, are then hardly ever seen, and stay in the way of what is right.

    Images are enlarged by a quarter and windows are those of cells centred half a stride further, as in SPPNet. mAP on validation
    scenes of three seeds: .93, .89, .91 without either, .93, .92, .92 with windows moved, .95, .93, .92 with both.
    """
    features = features or ConvStages(in_channels, (16, 32, 64))
    sampler = RoISampler(64, 0.5, 0.5, (0.1, 0.5), seed=seed)
    sizes, middle = (features.out_channels, features.stride, num_classes, 7, hidden), features.stride / 2
    return FastRCNN(features, *sizes, 0.0, sampler, in_channels, centre=middle, scale=scale)


def loss(losses) -> Tensor:
    """The sum of a training call's losses."""
    return sum(losses.values())
