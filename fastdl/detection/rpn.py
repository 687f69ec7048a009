"""The region proposal network: at every place of a feature map and for every anchor, is there an object, and where exactly?

Ref  Ren, He, Girshick, Sun 2015, arXiv 1506.01497, section 3.1; settings of torchvision and py-faster-rcnn.
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.detection.backbone import generator
from fastdl.detection.boxes import BoxCoder, batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes
from fastdl.detection.matcher import BETWEEN, BalancedSampler, Matcher
from fastdl.nn import functional as F
from fastdl.ops.shape import cat


def check_targets(targets, sizes, num_classes):
    """Targets as training uses them: boxes cut to the image, those without area left out; classes 1..num_classes - 1.

    targets   one dict {"boxes" (G, 4), "labels" (G,)} an image; G may be 0
    sizes     (height, width) of each image
    """
    if targets is None or len(targets) != len(sizes):
        raise ValueError(
            f"training needs one target dict for each of {len(sizes)} images; got {targets and len(targets)}"
        )
    out = []
    for i, (target, size) in enumerate(zip(targets, sizes)):
        boxes = np.asarray(_plain(target["boxes"]), np.float32).reshape(-1, 4)
        labels = np.asarray(_plain(target["labels"]), np.int64).reshape(-1)
        if len(boxes) != len(labels) or not np.isfinite(boxes).all():
            raise ValueError(f"target {i}: {len(boxes)} boxes, {len(labels)} labels; all boxes must be finite")
        if len(labels) and not 1 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(
                f"target {i}: labels must lie in 1..{num_classes - 1} (0 is background); got {labels.min()}..{labels.max()}"
            )
        boxes = clip_boxes_to_image(boxes, size)
        keep = remove_small_boxes(boxes, 1e-3)
        out.append({"boxes": boxes[keep], "labels": labels[keep]})
    return out


def _plain(x):
    return x.array if isinstance(x, Tensor) else x


class RPNHead(nn.Module):
    """3x3 convolution and ReLU, then objectness and box offsets of every anchor by 1x1 convolutions.

    softmax  two scores an anchor (the paper: background and object) instead of one

    Shapes      (N, C, H, W) -> objectness (N, A, H, W), a logit, and offsets (N, 4 A, H, W)
    Parameters  conv.0.0, cls_logits, bbox_pred
    """

    def __init__(self, in_channels, anchors, channels=None, softmax=False):
        super().__init__()
        channels = channels or in_channels
        self.anchors, self.softmax = anchors, softmax
        self.conv = nn.Sequential(nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU()))
        self.cls_logits = nn.Conv2d(channels, anchors * (2 if softmax else 1), 1)
        self.bbox_pred = nn.Conv2d(channels, 4 * anchors, 1)
        for layer in (self.conv[0][0], self.cls_logits, self.bbox_pred):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        x = self.conv(x)
        logits = self.cls_logits(x)
        if self.softmax:  # of two scores only the difference counts
            logits = logits[:, self.anchors :] - logits[:, : self.anchors]
        return logits, self.bbox_pred(x)


class RegionProposalNetwork(nn.Module):
    """Proposals for a list of feature maps, and its own losses in training.

    anchors      AnchorGenerator, a tuple of sizes for each map
    head         RPNHead
    high, low    IoU from which an anchor is positive, and below which it is background
    size, positive   anchors sampled an image, and the most of them that may be positive (a share)
    before, after    (train, test) proposals kept before NMS (each map) and after it
    iou          of NMS
    seed         of the sampling; None: the global generator

    Call     rpn(maps, size (H, W) of the batch, targets or None, sizes of the images in it where they are smaller)
             -> (proposals: N arrays (P, 4), losses: dict)
    Ref      numbers of torchvision; py-faster-rcnn keeps 12000 / 2000 in training and 6000 / 300 in tests
    """

    def __init__(
        self, anchors, head, high=0.7, low=0.3, size=256, positive=0.5, before=(2000, 1000), after=(2000, 1000), iou=0.7, seed=None
    ):  # fmt: skip
        super().__init__()
        self.anchors, self.head = anchors, head
        self.coder, self.matcher = BoxCoder(), Matcher(high, low, best_too=True)
        self.sampler = BalancedSampler(size, positive)
        self.before, self.after, self.iou, self.rng = before, after, iou, generator(seed)

    def forward(self, maps, size, targets=None, sizes=None):
        logits, offsets, counts = [], [], []
        for x in maps:
            score, t = self.head(x)
            N, A, H, W = score.shape
            logits.append(score.permute(0, 2, 3, 1).reshape(N, H * W * A))
            offsets.append(t.reshape(N, A, 4, H, W).permute(0, 3, 4, 1, 2).reshape(N, H * W * A, 4))
            counts.append(H * W * A)
        logits, offsets = (cat(parts, 1) if len(parts) > 1 else parts[0] for parts in (logits, offsets))
        anchors = self.anchors(size, [x.shape[2:] for x in maps])
        N = logits.shape[0]
        boxes = self.coder.decode(offsets.array.reshape(-1, 4), np.tile(anchors, (N, 1))).reshape(N, -1, 4)
        levels = np.repeat(np.arange(len(counts)), counts)
        sizes = sizes or [size] * N
        proposals = [self.propose(boxes[i], logits.array[i], levels, counts, sizes[i]) for i in range(N)]
        if not self.training or targets is None:
            return proposals, {}
        return proposals, self.losses(logits, offsets, anchors, targets)

    def propose(self, boxes, logits, levels, counts, size):
        """The best boxes of one image (P, 4), in order of falling score."""
        before, after = self.before[not self.training], self.after[not self.training]
        chosen, start = [], 0
        for count in counts:
            values = logits[start : start + count]
            k = min(before, count)
            best = np.argpartition(-values, k - 1)[:k] if k < count else np.arange(count)
            chosen.append(start + best[np.argsort(-values[best], kind="stable")])
            start += count
        chosen = np.concatenate(chosen)
        boxes, scores, levels = clip_boxes_to_image(boxes[chosen], size), logits[chosen], levels[chosen]
        keep = remove_small_boxes(boxes, 1e-3)
        boxes, scores, levels = boxes[keep], scores[keep], levels[keep]
        return boxes[batched_nms(boxes, scores, levels, self.iou)[:after]]

    def match(self, anchors, target):
        """(labels (A,): 1 object, 0 background, -1 takes no part; wanted boxes (A, 4))."""
        truth = target["boxes"]
        if not len(truth):
            return np.zeros(len(anchors), np.int64), anchors
        found = self.matcher(box_iou(truth, anchors))
        labels = np.where(found >= 0, 1, np.where(found == BETWEEN, -1, 0))
        return labels, truth[np.maximum(found, 0)]

    def losses(self, logits, offsets, anchors, targets):
        """{"loss_objectness": cross-entropy, "loss_rpn_box_reg": smooth L1 (beta 1/9)}, means over the sampled anchors."""
        images, places, positive, wanted = [], [], [], []
        for i, target in enumerate(targets):
            labels, boxes = self.match(anchors, target)
            up, down = self.sampler(labels, self.rng)
            places.append(np.concatenate([up, down]))
            images.append(np.full(len(places[-1]), i))
            positive.append(np.arange(len(places[-1])) < len(up))
            wanted.append(self.coder.encode(boxes[up], anchors[up]))
        images, places, positive = (np.concatenate(v) for v in (images, places, positive))
        n = max(1, len(places))
        truth = Tensor(positive.astype(np.float32))
        objectness = F.binary_cross_entropy_with_logits(logits[images, places], truth, reduction="sum") / n
        chosen = offsets[images[positive], places[positive]]
        box = (
            F.smooth_l1_loss(chosen, Tensor(np.concatenate(wanted).astype(np.float32)), reduction="sum", beta=1 / 9) / n
        )
        return {"loss_objectness": objectness, "loss_rpn_box_reg": box}
