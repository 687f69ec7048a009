"""Are the probabilities any good: ranking (AUROC), calibration (ECE), code length (bits per character, perplexity)."""

import math

import numpy as np

from fastdl.metrics._arrays import array, integers


def auroc(scores, target, average: str | None = "macro"):
    """Area under the ROC curve: the chance that an item of the class gets a larger score than one that is not; ties 1/2.

    Shapes   scores (N,) and target (N,) of 0 and 1; or scores (N, C) and target (N,) 0..C-1: each class against the rest
    average  for (N, C): "macro", the mean over the classes that occur, or None, an array (C,) with nan where one does not
    Cost     one sort a class
    """
    scores, target = array(scores), integers(target, "auroc", "labels")
    if target.ndim != 1 or scores.shape[:1] != target.shape or scores.ndim > 2:
        raise ValueError(f"auroc: scores must be (N,) or (N, C) and labels (N,); got {scores.shape} and {target.shape}")
    if scores.ndim == 1:
        if not np.isin(target, (0, 1)).all():
            raise ValueError("auroc: for scores (N,) the labels must be 0 and 1; pass scores (N, C) for more classes")
        area = _area(scores, target.astype(bool))
        if math.isnan(area):
            raise ValueError("auroc: both classes must occur among the labels")
        return area
    if average not in ("macro", None):
        raise ValueError(f"auroc: average must be 'macro' or None; got {average!r}")
    areas = np.array([_area(scores[:, c], target == c) for c in range(scores.shape[1])])
    if average is None:
        return areas
    if np.isnan(areas).all():
        raise ValueError("auroc: at least two classes must occur among the labels")
    return float(np.nanmean(areas))


def _area(scores, positive):
    n, p = len(positive), int(positive.sum())
    if p in (0, n):
        return math.nan
    _, where, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # mean rank of each value, from 1
    return float((rank[where][positive].sum() - p * (p + 1) / 2) / (p * (n - p)))


def ece(probabilities, target, bins: int = 15) -> float:
    """Expected calibration error: mean over equally wide bins of |confidence - share of right ones|, weighted by their size.

    Shapes  probabilities (N, C), rows that sum to 1, and target (N,) 0..C-1: confidence is the largest probability;
            or probabilities (N,) of class 1 and target (N,) of 0 and 1
    Notes   bins are open below and closed above, as in torchmetrics
    Ref     Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017, equation 3
    """
    p, target = array(probabilities).astype(np.float64), integers(target, "ece", "labels")
    if bins < 1:
        raise ValueError(f"ece: bins must be at least 1; got {bins}")
    if target.ndim != 1 or p.shape[:1] != target.shape or p.ndim > 2 or not target.size:
        raise ValueError(f"ece: probabilities must be (N,) or (N, C), labels (N,); got {p.shape} and {target.shape}")
    if not (p.min() >= -1e-6 and p.max() <= 1 + 1e-6) or (p.ndim == 2 and abs(p.sum(1) - 1).max() > 1e-3):
        raise ValueError("ece: these are no probabilities (0..1, rows that sum to 1); hint: softmax the scores first")
    confidence, right = (p, target) if p.ndim == 1 else (p.max(1), p.argmax(1) == target)
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    gap = np.bincount(which, confidence, bins) - np.bincount(which, right.astype(np.float64), bins)
    return float(np.abs(gap).sum() / len(target))


def bits_per_char(nll, characters: int | None = None) -> float:
    """Code length in bits of a character, from negative log-likelihoods in nats (the unit of F.cross_entropy).

    nll         the mean over characters, or an array of one value a character (any shape; the mean is taken)
    characters  if given, nll is the sum over a text of so many characters (for models over words or pieces)

    Example
    >>> round(bits_per_char(math.log(2)), 6), round(bits_per_char(10 * math.log(4), characters=10), 6)
    (1.0, 2.0)
    """
    return _mean_nll(nll, characters, "bits_per_char") / math.log(2)


def perplexity(nll, tokens: int | None = None) -> float:
    """exp of the mean negative log-likelihood in nats; arguments as for `bits_per_char`."""
    return math.exp(_mean_nll(nll, tokens, "perplexity"))


def _mean_nll(nll, count, name):
    nll = array(nll).astype(np.float64)
    if nll.size == 0:
        raise ValueError(f"{name}: there are no log-likelihoods")
    if count is None:
        return float(nll.mean())
    if not count > 0:
        raise ValueError(f"{name}: the number of characters or tokens must be positive; got {count}")
    return float(nll.sum() / count)
