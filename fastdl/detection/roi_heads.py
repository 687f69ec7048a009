"""What happens to proposals: they are sampled against the truth, pooled to one size, classified and moved.

Ref  Girshick, "Fast R-CNN", 2015, section 2.3; Lin et al. 2017, arXiv 1612.03144, section 4.2 (levels of a pyramid).
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.detection.backbone import generator
from fastdl.detection.boxes import BoxCoder, batched_nms, box_iou, check_boxes, clip_boxes_to_image, remove_small_boxes
from fastdl.detection.matcher import BalancedSampler
from fastdl.nn import functional as F
from fastdl.ops.roi import roi_align, roi_pool
from fastdl.ops.shape import cat


class RoIPooler(nn.Module):
    """Boxes of the images as maps of one size (K, C, size, size).

    scales   of every feature map: its size as a part of the image's (1/16, ...)
    mode     "align" (bilinear samples, their mean) or "pool" (maxima of quantised bins)

    With several maps, a box goes to level floor(4 + log2(sqrt(w h) / 224)), counted so that level log2(1 / scale) is the map
    of that scale; the outermost maps take what lies beyond.

    Call   pooler(maps, boxes: one (L, 4) an image)
    """

    def __init__(self, scales, size=7, mode="align", sampling_ratio=2):
        super().__init__()
        if mode not in ("align", "pool"):
            raise ValueError(f"RoIPooler: mode must be 'align' or 'pool'; got {mode!r}")
        self.scales, self.size, self.mode, self.sampling_ratio = tuple(scales), size, mode, sampling_ratio
        self.least, self.most = (round(-np.log2(s)) for s in (self.scales[0], self.scales[-1]))

    def _pool(self, x, boxes, scale):
        if self.mode == "pool":
            return roi_pool(x, boxes, self.size, scale)
        return roi_align(x, boxes, self.size, scale, self.sampling_ratio)

    def levels(self, boxes):
        """(K,) which map each box is taken from."""
        size = np.sqrt(np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 0))
        with np.errstate(divide="ignore"):
            level = np.floor(4 + np.log2(size / 224) + 1e-6)
        return np.clip(level, self.least, self.most).astype(int) - self.least

    def forward(self, maps, boxes):
        maps = list(maps)[: len(self.scales)]
        rows = [np.concatenate([np.full((len(b), 1), i, np.float32), b], 1) for i, b in enumerate(boxes)]
        rows = np.concatenate(rows).astype(np.float32) if rows else np.zeros((0, 5), np.float32)
        if len(maps) == 1 or not len(rows):
            return self._pool(maps[0], rows, self.scales[0])
        level = self.levels(rows[:, 1:])
        order = np.argsort(level, kind="stable")
        parts = [
            self._pool(x, rows[level == i], s) for i, (x, s) in enumerate(zip(maps, self.scales)) if (level == i).any()
        ]
        return cat(parts, 0)[np.argsort(order)]


class RoISampler:
    """Proposals and truths of an image -> the ones to learn from.

    size, positive   regions an image and the most of them with an object (a share)
    high             IoU with a truth from which a region is that object
    background       (from, below): IoU of regions that count as background; Fast R-CNN: (.1, .5), torchvision: (0, .5).
                     From .1 on, an image without objects has no region to learn from, and adds nothing to the losses.
    weights          of the BoxCoder
    """

    def __init__(self, size=512, positive=0.25, high=0.5, background=(0.0, 0.5), weights=(10, 10, 5, 5), seed=None):
        self.high, self.background, self.coder = high, background, BoxCoder(weights)
        self.sampler, self.rng = BalancedSampler(size, positive), generator(seed)

    def __call__(self, proposals, target):
        """(boxes (R, 4), labels (R,) with 0 for background, offsets (R, 4)); truths take part as proposals."""
        truth = target["boxes"]
        boxes = np.concatenate([check_boxes(proposals).astype(np.float32), truth])
        boxes = boxes[remove_small_boxes(boxes, 1e-3)]
        iou = box_iou(truth, boxes)
        best = iou.argmax(0) if len(truth) else np.zeros(len(boxes), int)
        value = iou.max(0, initial=0)
        labels = np.full(len(boxes), -1)
        labels[(value >= self.background[0]) & (value < self.background[1])] = 0
        up = value >= self.high
        if len(truth):
            labels[up] = target["labels"][best[up]]
        up, down = self.sampler(labels, self.rng)
        chosen = np.concatenate([up, down])
        wanted = np.zeros((len(chosen), 4), np.float32)
        if len(up):
            wanted[: len(up)] = self.coder.encode(truth[best[up]], boxes[up])
        return boxes[chosen], labels[chosen].astype(np.int64), wanted


def roi_losses(scores, offsets, labels, wanted):
    """{"loss_classifier": cross-entropy, "loss_box_reg": smooth L1 (beta 1/9) of the true class's offsets}, means over the regions.

    scores (R, K), offsets (R, 4 K), labels (R,), wanted (R, 4); background has no box loss.
    """
    n = max(1, len(labels))
    classes = F.cross_entropy(scores, Tensor(labels), reduction="sum") / n if len(labels) else scores.sum() * 0
    up = np.flatnonzero(labels > 0)
    mine = offsets.reshape(len(labels), offsets.shape[1] // 4, 4)[up, labels[up]]
    box = F.smooth_l1_loss(mine, Tensor(wanted[up]), reduction="sum", beta=1 / 9) / n
    return {"loss_classifier": classes, "loss_box_reg": box}


def select_detections(probabilities, boxes, size, score=0.05, iou=0.5, most=100, least=1e-2):
    """{"boxes", "scores", "labels"} of one image from probabilities (R, K) and boxes (R, K, 4); class 0 is background."""
    K = probabilities.shape[1]
    boxes = clip_boxes_to_image(boxes[:, 1:].reshape(-1, 4), size)
    scores, labels = probabilities[:, 1:].reshape(-1), np.tile(np.arange(1, K), len(probabilities))
    keep = np.flatnonzero(scores > score)
    keep = keep[remove_small_boxes(boxes[keep], least)]
    boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
    keep = batched_nms(boxes, scores, labels, iou)[:most]
    return {"boxes": boxes[keep], "scores": scores[keep], "labels": labels[keep]}


class TwoMLPHead(nn.Module):
    """fc6, ReLU, fc7, ReLU (and dropout after each, where the paper's network has it)."""

    def __init__(self, inputs, hidden, dropout=0.0):
        super().__init__()
        self.fc6, self.fc7 = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)
        self.drop = nn.Dropout(dropout) if dropout else None

    def forward(self, x):
        x = F.relu(self.fc6(x.flatten(1)))
        x = F.relu(self.fc7(x if self.drop is None else self.drop(x)))
        return x if self.drop is None else self.drop(x)


class FastRCNNPredictor(nn.Module):
    """Scores of K classes (background first) and 4 K box offsets."""

    def __init__(self, inputs, num_classes):
        super().__init__()
        self.cls_score, self.bbox_pred = nn.Linear(inputs, num_classes), nn.Linear(inputs, 4 * num_classes)
        nn.init.normal_(self.cls_score.weight, std=0.01), nn.init.zeros_(self.cls_score.bias)
        nn.init.normal_(self.bbox_pred.weight, std=0.001), nn.init.zeros_(self.bbox_pred.bias)

    def forward(self, x):
        return self.cls_score(x), self.bbox_pred(x)


class RoIHeads(nn.Module):
    """Pooler, head and predictor: losses in training, detections otherwise.

    sampler            RoISampler
    score, iou, most   of the detections: least score, NMS within a class, number an image

    Call    heads(maps, proposals, sizes [(h, w) of each image, ...], targets or None) -> (detections, losses)
    """

    def __init__(self, pooler, box_head, box_predictor, sampler=None, score=0.05, iou=0.5, most=100):
        super().__init__()
        self.box_roi_pool, self.box_head, self.box_predictor = pooler, box_head, box_predictor
        self.sampler, self.score, self.iou, self.most = sampler or RoISampler(), score, iou, most

    def forward(self, maps, proposals, sizes, targets=None):
        if self.training:
            samples = [self.sampler(p, t) for p, t in zip(proposals, targets, strict=True)]
            boxes, labels, wanted = (list(part) for part in zip(*samples))
            scores, offsets = self.predict(maps, boxes)
            return [], roi_losses(scores, offsets, np.concatenate(labels), np.concatenate(wanted))
        scores, offsets = self.predict(maps, proposals)
        return detections(scores, offsets, proposals, sizes, self.sampler.coder, self.score, self.iou, self.most), {}

    def predict(self, maps, boxes):
        """(scores (R, K), offsets (R, 4 K)) of all boxes of all images."""
        return self.box_predictor(self.box_head(self.box_roi_pool(maps, boxes)))


def detections(scores, offsets, proposals, sizes, coder, score=0.05, iou=0.5, most=100):
    """select_detections for every image, from the predictor's scores and offsets for all proposals."""
    probabilities = F.softmax(scores, -1).array if len(scores.array) else scores.array
    ends = np.cumsum([len(p) for p in proposals])
    out = []
    for end, boxes, size in zip(ends, proposals, sizes):
        mine = slice(end - len(boxes), end)
        moved = coder.decode(offsets.array[mine], boxes.astype(np.float32))
        out.append(
            select_detections(
                probabilities[mine], moved.reshape(len(boxes), scores.shape[1], 4), size, score, iou, most
            )
        )
    return out
