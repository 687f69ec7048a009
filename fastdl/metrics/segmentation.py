"""How good a labelling of pixels is, all of it from one confusion matrix.

Ref  Long, Shelhamer, Darrell 2015, section 5 (the four metrics).
"""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.metrics.classification import confusion


def _array(x):
    return x.array if isinstance(x, Tensor) else np.asarray(x)


class SegmentationScore:
    """Collects predictions and says pixel accuracy, mean accuracy, mean IoU and frequency-weighted IoU.

    num_classes   labels are 0..num_classes - 1
    ignore_index  label of pixels that do not count, as in cross_entropy; None: all count

    A class that occurs neither in the truth nor in the predictions is left out of the means.

    Example
    >>> score = SegmentationScore(3, ignore_index=255)
    >>> score.update(np.array([[0, 1], [1, 1]]), np.array([[0, 1], [0, 255]]))
    >>> round(score.pixel_accuracy(), 4), score.mean_iou()
    (0.6667, 0.5)
    """

    def __init__(self, num_classes, ignore_index=None):
        if num_classes < 1:
            raise ValueError(f"SegmentationScore: num_classes must be at least 1; got {num_classes}")
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.counts = np.zeros((num_classes, num_classes), np.int64)  # row: truth, column: prediction

    def update(self, predicted, target):
        """Add labels predicted, or scores (N, C, H, W), for the truth `target` (N, H, W)."""
        predicted, target = _array(predicted), _array(target)
        if predicted.ndim == target.ndim + 1:
            predicted = predicted.argmax(1)
        if predicted.shape != target.shape:
            raise ValueError(
                f"SegmentationScore: predictions {predicted.shape} and truth {target.shape} differ in shape; hint: "
                "labels (N, H, W), or scores (N, C, H, W), for a truth (N, H, W)"
            )
        if self.ignore_index is not None:
            counted = target != self.ignore_index
            predicted, target = predicted[counted], target[counted]
        self.counts += confusion(predicted, target, self.num_classes)

    def _sums(self):
        if not self.counts.any():
            raise ValueError("SegmentationScore: no pixel has been counted")
        hit, truth, guess = np.diag(self.counts), self.counts.sum(1), self.counts.sum(0)
        return hit, truth, truth + guess - hit

    def pixel_accuracy(self) -> float:
        """Share of pixels that are right."""
        return float(np.trace(self.counts) / self._sums()[1].sum())

    def mean_accuracy(self) -> float:
        """Mean over the classes in the truth of the share of their pixels that is right."""
        hit, truth, _ = self._sums()
        return float((hit[truth > 0] / truth[truth > 0]).mean())

    def iou(self) -> np.ndarray:
        """(num_classes,) intersection over union; NaN for a class that does not occur."""
        hit, _, union = self._sums()
        return np.divide(hit, union, out=np.full(self.num_classes, np.nan), where=union > 0)

    def mean_iou(self) -> float:
        """Mean of iou() over the classes that occur."""
        return float(np.nanmean(self.iou()))

    def frequency_weighted_iou(self) -> float:
        """iou() averaged with the classes' numbers of true pixels."""
        _, truth, _ = self._sums()
        return float((np.nan_to_num(self.iou()) * truth).sum() / truth.sum())


def _score(predicted, target, num_classes, ignore_index):
    score = SegmentationScore(num_classes, ignore_index)
    score.update(predicted, target)
    return score


def pixel_accuracy(predicted, target, num_classes, ignore_index=None) -> float:
    """Share of pixels that are right; arguments as SegmentationScore.update."""
    return _score(predicted, target, num_classes, ignore_index).pixel_accuracy()


def mean_iou(predicted, target, num_classes, ignore_index=None) -> float:
    """Mean intersection over union of the classes in truth or prediction; arguments as SegmentationScore.update."""
    return _score(predicted, target, num_classes, ignore_index).mean_iou()


def colour_map(n=256) -> np.ndarray:
    """(n, 3) uint8 colours of Pascal VOC's label images: 0 black, 1 dark red, 2 dark green, ...

    The bits of a label, three at a time from the lowest, become the bits of red, green and blue from the highest.
    """
    labels = np.arange(n)
    out = np.zeros((n, 3), np.uint8)
    for shift in range(8):
        for channel in range(3):
            out[:, channel] |= ((labels >> (3 * shift + channel) & 1) << (7 - shift)).astype(np.uint8)
    return out
