"""What R-CNN and SPPNet do with the features of regions: one SVM and one box regression a class.

Ref  Girshick, Donahue, Darrell, Malik, "Rich feature hierarchies ...", 2014, sections 2.3 and appendix B, C.
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.detection.box_regression import ridge
from fastdl.detection.boxes import BoxCoder, box_iou, check_boxes
from fastdl.detection.roi_heads import select_detections
from fastdl.detection.svm import mine


class RegionClassifier(nn.Module):
    """SVM scores and moved boxes of regions from their features: (R, features) say what it is, (R, places) where it is.

    SVM positives are the truths alone, negatives regions that overlap no truth of the class by 0.3; what lies between is ignored.
    The regressions learn from regions that overlap a truth of their class by 0.6 (`near`), and need features that still know
    where in the region things are: the last maps, not the dense layers that were taught to disregard it.
    Features are scaled to a mean length of 20 before.

    places      length of the features of the regressions (None: as `features`)

    Parameters  svm.{c}.weight (1, D), svm.{c}.bias; bbox.{c}.weight (4, P), bbox.{c}.bias; scale (), place_scale ()
    """

    def __init__(self, features, classes, C=0.01, ridge_strength=1000.0, positive=2.0, places=None):
        super().__init__()
        self.classes, self.C, self.strength, self.positive = classes, C, ridge_strength, positive
        self.svm = nn.ModuleList([nn.Linear(features, 1) for _ in range(classes)])
        self.bbox = nn.ModuleList([nn.Linear(places or features, 4) for _ in range(classes)])
        self.register_buffer("scale", Tensor(np.ones((), np.float32)))
        self.register_buffer("place_scale", Tensor(np.ones((), np.float32)))
        self.coder = BoxCoder()
        for p in self.parameters():
            p.requires_grad = False

    def fit(self, features, boxes, targets, seed=0):
        """The SVMs. features: one (R, D) an image for its regions boxes (R, 4), the truths among them; targets: labels from 0."""
        x = _scaled(features, self.scale, "fit")
        best = [_overlaps(b, t, self.classes) for b, t in zip(boxes, targets)]
        best = np.concatenate([iou.max(1, initial=0) for iou in best])  # (R of all images, classes)
        for c, layer in enumerate(self.svm):
            up, down = np.flatnonzero(best[:, c] > 0.999), np.flatnonzero(best[:, c] < 0.3)
            layer.weight.array[...], layer.bias.array[...] = 0, -1
            if len(up) and len(down):
                svm = mine(x[up], x[down], seed=seed, C=self.C, positive=self.positive)
                layer.weight.array[0], layer.bias.array[0] = svm.weight, svm.bias
        return self

    @staticmethod
    def near(boxes, target):
        """Indices of the regions (R, 4) of an image that overlap a truth by 0.6: those that fit_boxes learns from."""
        return np.flatnonzero(box_iou(check_boxes(target["boxes"]), check_boxes(boxes)).max(0, initial=0) > 0.6)

    def fit_boxes(self, places, boxes, targets):
        """The regressions. places: one (R, P) an image for its regions boxes (R, 4), of which only those `near` a truth count."""
        x = _scaled(places, self.place_scale, "fit_boxes")
        overlap = [_overlaps(b, t, self.classes) for b, t in zip(boxes, targets)]
        starts = np.cumsum([0, *map(len, boxes)])
        for c, layer in enumerate(self.bbox):
            pairs, moves = [], []
            for start, iou, region, target in zip(starts, overlap, boxes, targets):
                chosen = np.flatnonzero(iou[:, :, c].max(1, initial=0) > 0.6)
                if len(chosen):
                    truth = check_boxes(target["boxes"])[iou[chosen, :, c].argmax(1)]
                    pairs.append(start + chosen)
                    moves.append(self.coder.encode(truth, check_boxes(region)[chosen]))
            layer.weight.array[...], layer.bias.array[...] = 0, 0
            if pairs:
                w, b = ridge(x[np.concatenate(pairs)], np.concatenate(moves), self.strength)
                layer.weight.array[...], layer.bias.array[...] = w.T, b
        return self

    def scores(self, features):
        """(R, classes): decisions of the SVMs."""
        x = np.asarray(features, np.float32) * self.scale.array
        return x @ np.concatenate([m.weight.array for m in self.svm]).T + np.concatenate(
            [m.bias.array for m in self.svm]
        )

    def moved(self, places, boxes):
        """(R, classes, 4): the boxes as each class's regression puts them, by their features `places` (R, P)."""
        x = np.asarray(places, np.float32) * self.place_scale.array
        t = x @ np.concatenate([m.weight.array for m in self.bbox]).T + np.concatenate(
            [m.bias.array for m in self.bbox]
        )
        return self.coder.decode(t, boxes).reshape(len(boxes), self.classes, 4)

    def detect(self, features, boxes, size, score=-1.0, iou=0.3, most=100, regress=True, places=None):
        """{"boxes", "scores" (SVM decisions), "labels" from 0} of one image; places: None where they are the features."""
        boxes = check_boxes(boxes).astype(np.float32)
        if not len(boxes):
            return {"boxes": boxes, "scores": np.zeros(0, np.float32), "labels": np.zeros(0, np.int64)}
        values = self.scores(features)
        if regress:
            moved = self.moved(features if places is None else places, boxes)
        else:
            moved = np.repeat(boxes[:, None], self.classes, 1)
        none = np.full((len(boxes), 1), -np.inf, np.float32)  # the background column that select_detections skips
        found = select_detections(
            np.concatenate([none, values], 1), np.concatenate([moved[:, :1], moved], 1), size, score, iou, most
        )
        return {**found, "labels": found["labels"] - 1}


def detect_regions(model, images, proposals, **options):
    """detect() of a model that has describe(images, boxes) and heads, a RegionClassifier."""
    features, places = (t.array for t in model.describe(images, proposals))
    size, found, start = tuple(images.shape[2:]), [], 0
    for p in proposals:
        mine = slice(start, start + len(p))
        found.append(model.heads.detect(features[mine], p, size, places=places[mine], **options))
        start += len(p)
    return found


def _scaled(features, scale, call):
    """All rows in float64, made 20 long on the mean; what they are multiplied with is kept in the buffer `scale`."""
    x = np.concatenate(features).astype(np.float64) if len(features) else np.zeros((0, 1))
    if not len(x):
        raise ValueError(f"RegionClassifier.{call}: there are no regions")
    scale.array[...] = 20 / max(np.linalg.norm(x, axis=1).mean(), 1e-9)
    return x * scale.array


def _overlaps(boxes, target, classes):
    """(R, G, classes): IoU of the regions with the truths, 0 where the truth is of another class."""
    iou = box_iou(check_boxes(boxes), check_boxes(target["boxes"]))
    mine_ = np.asarray(target["labels"], int).reshape(-1)[:, None] == np.arange(classes)
    return iou[:, :, None] * mine_
