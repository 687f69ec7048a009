"""Which truth a candidate box stands for, and which candidates take part in a training step.

Ref  Ren et al. 2015, section 3.1.2; numbers and rules as in torchvision.models.detection._utils.
"""

import numpy as np

from fastdl.detection.boxes import array

BELOW, BETWEEN = -1, -2  # what Matcher gives where there is no truth


class Matcher:
    """For each of M candidates the number of its truth, or BELOW (-1: background) or BETWEEN (-2: take no part).

    high, low    overlap from which a candidate stands for its best truth; below `low` it is background
    best_too     a truth's best candidates (all that tie) stand for a truth however small the overlap, so that every truth has one

    Call         matcher(iou (G, M)) -> (M,) int64. No truth (G = 0): all background.
    """

    def __init__(self, high=0.5, low=0.5, best_too=False):
        if low > high:
            raise ValueError(f"Matcher: low={low} must not be above high={high}")
        self.high, self.low, self.best_too = high, low, best_too

    def __call__(self, iou):
        iou = array(iou)
        G, M = iou.shape
        if G == 0 or M == 0:
            return np.full(M, BELOW, np.int64)
        best = iou.argmax(0)
        value = iou[best, np.arange(M)]
        found = np.where(value < self.low, BELOW, np.where(value < self.high, BETWEEN, best))
        if self.best_too:
            _, candidates = np.nonzero((iou == iou.max(1, keepdims=True)) & (iou > 0))
            found[candidates] = best[candidates]
        return found.astype(np.int64)


class BalancedSampler:
    """At most `size` candidates, of them at most the share `positive` with labels above 0.

    Call   sampler(labels (M,), rng) -> (positives, negatives): numbers in increasing order; labels: >= 1 positive,
           0 background, < 0 no part
    """

    def __init__(self, size=256, positive=0.5):
        if size < 1 or not 0 <= positive <= 1:
            raise ValueError(f"BalancedSampler: size must be positive and positive a share; got {size}, {positive}")
        self.size, self.positive = size, positive

    def __call__(self, labels, rng):
        labels = array(labels)
        positives, negatives = np.flatnonzero(labels >= 1), np.flatnonzero(labels == 0)
        n = min(len(positives), int(self.size * self.positive))
        m = min(len(negatives), self.size - n)
        if n < len(positives):
            positives = np.sort(rng.choice(positives, n, replace=False))
        if m < len(negatives):
            negatives = np.sort(rng.choice(negatives, m, replace=False))
        return positives, negatives
