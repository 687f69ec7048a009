"""YOLO v1: one network, one look: every cell of an S x S grid predicts B boxes and the class of the object centred in it.

    448 -> 24 convolutions with leaky ReLU 0.1 and four pools (7 x 7 x 1024) -> 4096 -> S S (5 B + C) numbers

The output of a cell: B times (x, y, w, h, confidence), then C class scores. (x, y): the box's centre within the cell, 0 to 1;
(w, h): the square roots of the box's size relative to the image; confidence: IoU with the object, 0 where there is none.
271,703,550 parameters with biases, 271,716,734 with batch norm instead (S = 7, B = 2, C = 20).

Ref  Redmon, Divvala, Girshick, Farhadi, "You Only Look Once: Unified, Real-Time Object Detection", 2016, arXiv 1506.02640.
     head="conv" puts a 1x1 convolution in place of the dense layers, as later versions do; batch norm is theirs, too.
"""

from dataclasses import dataclass

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.detection.backbone import need_images
from fastdl.detection.boxes import batched_nms, check_boxes
from fastdl.nn import functional as F

POOL = "pool"
PAPER = (
    (64, 7, 2), POOL, (192, 3), POOL,
    (128, 1), (256, 3), (256, 1), (512, 3), POOL,
    *((256, 1), (512, 3)) * 4, (512, 1), (1024, 3), POOL,
    *((512, 1), (1024, 3)) * 2, (1024, 3), (1024, 3, 2), (1024, 3), (1024, 3),
)  # fmt: skip
FAST = (
    (16, 3),
    POOL,
    (32, 3),
    POOL,
    (64, 3),
    POOL,
    (128, 3),
    POOL,
    (256, 3),
    POOL,
    (512, 3),
    POOL,
    (1024, 3),
    (1024, 3),
    (1024, 3),
)
SMALL = ((16, 3), (16, 3), POOL, (32, 3), (32, 3), POOL, (64, 3), (64, 3), POOL, (96, 3), (96, 3))


@dataclass(frozen=True)
class YOLOConfig:
    """Sizes and choices; the defaults are the published network."""

    S: int = 7  # cells along each side
    B: int = 2  # boxes a cell
    C: int = 20  # classes
    in_channels: int = 3
    size: int = 448  # height and width of the images
    layers: tuple = PAPER  # (channels, kernel[, stride]) or "pool"
    head: str = "fc"  # or "conv"
    hidden: int = 4096
    batch_norm: bool = False
    dropout: float = 0.5


class ConvLeaky(nn.Module):
    """Convolution (conv), batch norm where there is no bias (bn), leaky ReLU 0.1."""

    def __init__(self, in_channels, channels, kernel, stride, batch_norm):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=not batch_norm)
        nn.init.kaiming_normal_(self.conv.weight, 0.1)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.register_module("bn", nn.BatchNorm2d(channels) if batch_norm else None)

    def forward(self, x):
        x = self.conv(x)
        return F.leaky_relu(x if self.bn is None else self.bn(x), 0.1)


class DenseHead(nn.Module):
    """The paper's head: the whole map to `hidden` numbers, leaky ReLU, dropout, and to all cells at once."""

    def __init__(self, inputs, hidden, S, numbers, dropout):
        super().__init__()
        self.S, self.numbers = S, numbers
        self.fc1, self.drop, self.fc2 = (
            nn.Linear(inputs, hidden),
            nn.Dropout(dropout),
            nn.Linear(hidden, S * S * numbers),
        )

    def forward(self, x):
        x = self.drop(F.leaky_relu(self.fc1(x.flatten(1)), 0.1))
        return self.fc2(x).reshape(-1, self.S, self.S, self.numbers)


class YOLOv1(nn.Module):
    """The numbers of every cell; detect() makes boxes of them.

    Shapes      x (N, in_channels, size, size) -> (N, S, S, 5 B + C), rows first
    Parameters  features.{i}.conv, features.{i}.bn; head.fc1, head.fc2 (head="fc") or head (head="conv")

    Example
    >>> with nn.init_empty():
    ...     sum(p.numel() for p in yolo_v1().parameters())
    271703550
    """

    def __init__(self, config: YOLOConfig | None = None):
        super().__init__()
        self.config = c = config or YOLOConfig()
        if c.head not in ("fc", "conv"):
            raise ValueError(f"YOLOv1: head must be 'fc' or 'conv'; got {c.head!r}")
        layers, channels, grid = [], c.in_channels, c.size
        for layer in c.layers:
            if layer == POOL:
                layers.append(nn.MaxPool2d(2, 2))
                grid //= 2
            else:
                out, kernel, stride = (*layer, 1)[:3]
                layers.append(ConvLeaky(channels, out, kernel, stride, c.batch_norm))
                channels, grid = out, -(-grid // stride)
        if c.head == "conv" and grid != c.S:
            raise ValueError(
                f"YOLOv1: images of {c.size} leave a map of {grid} x {grid}, and S is {c.S}; hint: S={grid}"
            )
        self.features = nn.Sequential(*layers)
        self.out_channels = channels
        numbers = 5 * c.B + c.C
        if c.head == "fc":
            self.head = DenseHead(channels * grid * grid, c.hidden, c.S, numbers, c.dropout)
        else:
            self.head = nn.Conv2d(channels, numbers, 1)

    def forward(self, x):
        c = self.config
        need_images(x, c.in_channels, "YOLOv1")
        if tuple(x.shape[2:]) != (c.size, c.size):
            raise ValueError(f"YOLOv1: images must be {c.size} x {c.size}; got {tuple(x.shape[2:])}; hint: interpolate")
        y = self.head(self.features(x))
        return y if c.head == "fc" else y.permute(0, 2, 3, 1)

    def detect(self, x, score=0.05, iou=0.5, most=100):
        """One dict {"boxes" (D, 4) in pixels, "scores" (D,), "labels" (D,) from 0} an image; see decode().

        With head="conv" images may have any size: they get as many cells as they need, of the pixels that a cell always had.
        """
        if len(x) == 0:
            return []
        c = self.config
        need_images(x, c.in_channels, "YOLOv1")
        if c.head == "fc" or tuple(x.shape[2:]) == (c.size, c.size):
            return decode(self(x).array, c.B, c.size, score, iou, most)
        return self._detect_any(x, score, iou, most)

    def _detect_any(self, x, score, iou, most):
        c = self.config
        (H, W), cell = x.shape[2:], c.size // c.S
        side = -(-max(H, W) // cell) * cell
        y = self.head(self.features(F.pad(x, (0, side - W, 0, side - H)))).array.transpose(0, 2, 3, 1).copy()
        for b in range(c.B):  # sizes are relative to the images of training
            y[..., 5 * b + 2 : 5 * b + 4] *= np.sqrt(c.size / side)
        found = decode(y, c.B, side, score, iou, most)
        for d in found:
            d["boxes"] = np.minimum(d["boxes"], np.array([W, H, W, H], np.float32))
            solid = (d["boxes"][:, 2:] > d["boxes"][:, :2]).all(1)  # not in the margin
            d.update({key: values[solid] for key, values in d.items()})
        return found


def yolo_v1(S=7, B=2, C=20, **settings) -> YOLOv1:
    """YOLO v1 with settings of YOLOConfig."""
    return YOLOv1(YOLOConfig(S=S, B=B, C=C, **settings))


def fast_yolo(S=7, B=2, C=20, **settings) -> YOLOv1:
    """Fast YOLO: nine convolutions."""
    return YOLOv1(YOLOConfig(S=S, B=B, C=C, **{"layers": FAST, "hidden": 256, **settings}))


def yolo_small(C=10, size=64, in_channels=1, head="conv", width=1.0, **settings) -> YOLOv1:
    """The same class for scenes: stages of two convolutions with batch norm; width: of their channels.

    head="conv": four stages, cells of 8 x 8 pixels. head="fc": five, cells of 16 x 16: dense layers must learn every cell by
    itself, so there are few, each with one place of the map, as in the paper; see fastdl.recipes.yolo.pretrain.
    """
    layers = SMALL if head == "conv" else (*SMALL, POOL, (128, 3), (128, 3))
    layers = tuple(layer if layer == POOL else (round(layer[0] * width), *layer[1:]) for layer in layers)
    cell = 8 if head == "conv" else 16
    small = {"S": size // cell, "layers": layers, "batch_norm": True, "hidden": 512, "dropout": 0.1, **settings}
    return YOLOv1(YOLOConfig(C=C, size=size, in_channels=in_channels, head=head, **small))


# ------------------------------------------------------------------------------------------------ tensor, loss, boxes


def encode(targets, S, C, size):
    """What the cells should say: {"box" (N, S, S, 4) x, y, sqrt w, sqrt h; "class" (N, S, S); "object" (N, S, S) bool}.

    targets: one dict {"boxes" (G, 4) in pixels, "labels" (G,) 0 .. C - 1} an image of `size` pixels. The cell with a box's centre
    is responsible; of two objects centred in one cell the larger counts. Boxes beyond the image are cut to it, and empty
    ones left out.
    """
    N = len(targets)
    box, label, there = np.zeros((N, S, S, 4), np.float32), np.zeros((N, S, S), np.int64), np.zeros((N, S, S), bool)
    for i, target in enumerate(targets):
        boxes = check_boxes(target["boxes"], f"yolo: the boxes of image {i}")
        if not np.isfinite(boxes).all():
            raise ValueError(f"yolo: the boxes of image {i} must be finite; got {boxes.tolist()}")
        corners = np.clip(boxes.astype(np.float32) / size, 0, 1)
        labels = np.asarray(target["labels"], np.int64).reshape(-1)
        if len(labels) != len(corners) or (len(labels) and not 0 <= labels.min() <= labels.max() < C):
            raise ValueError(f"yolo: image {i} needs {len(corners)} labels in 0..{C - 1}; got {labels.tolist()}")
        wh = corners[:, 2:] - corners[:, :2]
        order = [k for k in np.argsort(wh.prod(1), kind="stable") if wh[k].min() > 0]
        centre = (corners[:, :2] + corners[:, 2:]) / 2 * S
        for k in order:  # the largest last
            x, y = np.minimum(centre[k].astype(int), S - 1)
            box[i, y, x] = *(centre[k] - (x, y)), *np.sqrt(wh[k])
            label[i, y, x], there[i, y, x] = labels[k], True
    return {"box": box, "class": label, "object": there}


def _corners(x, y, root_w, root_h, S):
    """Boxes (..., 4) in 0..1 of the image from offsets within the cells; a negative root counts as 0."""
    column, row = np.arange(S), np.arange(S)[:, None]
    extra = (1,) * (x.ndim - 3)
    cx, cy = (x + column.reshape(1, S, *extra)) / S, (y + row.reshape(S, 1, *extra)) / S
    w, h = (np.maximum(r, 0) ** 2 / 2 for r in (root_w, root_h))
    return np.stack([cx - w, cy - h, cx + w, cy + h], -1)


class YOLOv1Loss(nn.Module):
    """The sum of squared errors of the paper, divided by the number of images.

    coord (x - x')^2 + (y - y')^2 + (sqrt w - sqrt w')^2 + (sqrt h - sqrt h')^2 of the responsible box of cells with an object
    (the one of its B boxes that overlaps the object most), its (confidence - IoU)^2, `noobj` confidence^2 of all other
    boxes, and the squared errors of the class scores in cells with an object.

    Call  loss(prediction (N, S, S, 5 B + C), targets): targets as encode() takes them, or what it gave
    """

    def __init__(self, S=7, B=2, C=20, size=448, coord=5.0, noobj=0.5):
        super().__init__()
        self.S, self.B, self.C, self.size, self.coord, self.noobj = S, B, C, size, coord, noobj

    def forward(self, prediction, targets):
        S, B, C = self.S, self.B, self.C
        want = targets if isinstance(targets, dict) else encode(targets, S, C, self.size)
        expected = (len(want["object"]), S, S, 5 * B + C)
        if prediction.shape != expected:
            raise ValueError(f"YOLOv1Loss: expected a prediction {expected} for these targets; got {prediction.shape}")
        there = want["object"]  # (N, S, S)
        boxes = prediction[..., : 5 * B].reshape(*there.shape, B, 5)
        iou = self._overlap(boxes.array, want["box"])  # (N, S, S, B)
        chosen = there[..., None] & (np.arange(B) == iou.argmax(-1)[..., None])  # (N, S, S, B)
        weights = np.empty((*chosen.shape, 5), np.float32)
        weights[..., :4] = self.coord * chosen[..., None]
        weights[..., 4] = np.where(chosen, 1, self.noobj)
        wanted = np.empty_like(weights)
        wanted[..., :4] = want["box"][..., None, :]
        wanted[..., 4] = np.where(chosen, iou, 0)
        error = boxes - Tensor(wanted)
        classes = prediction[..., 5 * B :] - Tensor(np.eye(C, dtype=np.float32)[want["class"]])
        squares = (error * error * Tensor(weights)).sum() + (
            classes * classes * Tensor(there[..., None].astype(np.float32))
        ).sum()
        return squares / max(1, len(there))

    def _overlap(self, boxes, box):
        mine = _corners(*np.moveaxis(boxes[..., :4], -1, 0), self.S)  # (N, S, S, B, 4)
        its = _corners(*np.moveaxis(box, -1, 0), self.S)[..., None, :]
        size = np.maximum(np.minimum(mine[..., 2:], its[..., 2:]) - np.maximum(mine[..., :2], its[..., :2]), 0)
        both = size.prod(-1)
        union = (mine[..., 2:] - mine[..., :2]).prod(-1) + (its[..., 2:] - its[..., :2]).prod(-1) - both
        return (both / np.maximum(union, 1e-9)).astype(np.float32)


def decode(prediction, B, size, score=0.05, iou=0.5, most=100):
    """Detections from numbers (N, S, S, 5 B + C): score = confidence times class score, both cut to 0..1, then NMS by class.

    Returns one dict {"boxes" (D, 4) in pixels, cut to the image; "scores"; "labels" from 0} an image.
    """
    N, S = prediction.shape[:2]
    boxes = prediction[..., : 5 * B].reshape(N, S, S, B, 5)
    classes = np.clip(prediction[..., 5 * B :], 0, 1)[..., None, :]  # (N, S, S, 1, C)
    scores = np.clip(boxes[..., 4:], 0, 1) * classes  # (N, S, S, B, C)
    corners = np.clip(_corners(*np.moveaxis(boxes[..., :4], -1, 0), S), 0, 1) * size
    found = []
    for k in range(N):
        row, column, box, label = np.nonzero(scores[k] > score)
        b, s = corners[k, row, column, box].astype(np.float32), scores[k, row, column, box, label]
        solid = (b[:, 2:] > b[:, :2]).all(1)
        b, s, label = b[solid], s[solid], label[solid]
        keep = batched_nms(b, s, label, iou)[:most]
        found.append({"boxes": b[keep], "scores": s[keep], "labels": label[keep].astype(np.int64)})
    return found
