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
    """SVM scores and moved boxes of regions from their features (R, D).

    Positives are the truths alone, negatives regions that overlap no truth of the class by 0.3; what lies between is ignored.
    Features are scaled to a mean length of 20 before.

    Parameters  svm.{c}.weight (1, D), svm.{c}.bias; bbox.{c}.weight (4, D), bbox.{c}.bias; scale ()
    """

    def __init__(self, features, classes, C=0.01, ridge_strength=1000.0, positive=2.0):
        super().__init__()
        self.classes, self.C, self.strength, self.positive = classes, C, ridge_strength, positive
        self.svm = nn.ModuleList([nn.Linear(features, 1) for _ in range(classes)])
        self.bbox = nn.ModuleList([nn.Linear(features, 4) for _ in range(classes)])
        self.register_buffer("scale", Tensor(np.ones((), np.float32)))
        self.coder = BoxCoder()
        for p in self.parameters():
            p.requires_grad = False

    def fit(self, features, boxes, targets, seed=0):
        """features: one (R, D) an image for its regions boxes (R, 4); the truths must be among them. targets: labels from 0."""
        overlap = [box_iou(check_boxes(t["boxes"]), b) for t, b in zip(targets, boxes)]
        x = np.concatenate(features).astype(np.float64)
        if not len(x):
            raise ValueError("RegionClassifier.fit: there are no regions")
        self.scale.array[...] = 20 / max(np.linalg.norm(x, axis=1).mean(), 1e-9)
        x *= self.scale.array
        for c in range(self.classes):
            up, down, pairs, moves = [], [], [], []
            start = 0
            for iou, target, region in zip(overlap, targets, boxes):
                mine_ = np.asarray(target["labels"]) == c
                best = iou[mine_].max(0, initial=0) if mine_.any() else np.zeros(len(region))
                which = iou[mine_].argmax(0) if mine_.any() else np.zeros(len(region), int)
                up.append(start + np.flatnonzero(best > 0.999))
                down.append(start + np.flatnonzero(best < 0.3))
                near = np.flatnonzero(best > 0.6)
                pairs.append(start + near)
                truth = check_boxes(target["boxes"])[mine_]
                moves.append(self.coder.encode(truth[which[near]], region[near]) if len(near) else np.zeros((0, 4)))
                start += len(region)
            up, down, pairs, moves = (np.concatenate(v) for v in (up, down, pairs, moves))
            for layer in (self.svm[c], self.bbox[c]):
                layer.weight.array[...] = 0
                layer.bias.array[...] = 0
            self.svm[c].bias.array[...] = -1
            if len(up) and len(down):
                svm = mine(x[up], x[down], seed=seed, C=self.C, positive=self.positive)
                self.svm[c].weight.array[0], self.svm[c].bias.array[0] = svm.weight, svm.bias
            if len(pairs):
                w, b = ridge(x[pairs], moves, self.strength)
                self.bbox[c].weight.array[...], self.bbox[c].bias.array[...] = w.T, b
        return self

    def scores(self, features):
        """(R, classes): decisions of the SVMs."""
        x = np.asarray(features, np.float32) * self.scale.array
        return x @ np.concatenate([m.weight.array for m in self.svm]).T + np.concatenate(
            [m.bias.array for m in self.svm]
        )

    def moved(self, features, boxes):
        """(R, classes, 4): the boxes as each class's regression puts them."""
        x = np.asarray(features, np.float32) * self.scale.array
        t = x @ np.concatenate([m.weight.array for m in self.bbox]).T + np.concatenate(
            [m.bias.array for m in self.bbox]
        )
        return self.coder.decode(t, boxes).reshape(len(boxes), self.classes, 4)

    def detect(self, features, boxes, size, score=-1.0, iou=0.3, most=100, regress=True):
        """{"boxes", "scores" (SVM decisions), "labels" from 0} of one image."""
        boxes = check_boxes(boxes).astype(np.float32)
        if not len(boxes):
            return {"boxes": boxes, "scores": np.zeros(0, np.float32), "labels": np.zeros(0, np.int64)}
        values = self.scores(features)
        places = self.moved(features, boxes) if regress else np.repeat(boxes[:, None], self.classes, 1)
        none = np.full((len(boxes), 1), -np.inf, np.float32)  # the background column that select_detections skips
        found = select_detections(
            np.concatenate([none, values], 1), np.concatenate([places[:, :1], places], 1), size, score, iou, most
        )
        return {**found, "labels": found["labels"] - 1}
