"""How many of the guesses are right, and of which kind the wrong ones are."""

import numpy as np

from fastdl.metrics._arrays import array, integers


def _checked(scores, target, name):
    scores, target = array(scores), integers(target, name, "labels")
    if scores.ndim != target.ndim + 1 or scores.shape[:1] + scores.shape[2:] != target.shape:
        raise ValueError(
            f"{name}: scores {scores.shape} and labels {target.shape} do not fit: (N, C, ...) and (N, ...)"
        )
    if target.size == 0:
        raise ValueError(f"{name}: there are no labels")
    return scores, target


def accuracy(scores, target) -> float:
    """Share of labels that are the class of the largest score.

    Shapes  scores (N, C, ...) numbers, target (N, ...) integers

    Example
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    scores, target = _checked(scores, target, "accuracy")
    return float((scores.argmax(1) == target).mean())


def topk(scores, target, k: int = 5) -> float:
    """Share of labels among the k classes of largest score; ties count against the label.

    Shapes  scores (N, C, ...), target (N, ...) integers
    """
    scores, target = _checked(scores, target, "topk")
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"topk: k must lie between 1 and the number of classes {scores.shape[1]}; got {k}")
    own = np.take_along_axis(scores, target[:, None].astype(np.intp), 1)  # (N, 1, ...)
    not_below = (scores >= own).sum(1)  # (N, ...) the label itself included
    return float((not_below <= k).mean())


def topk_error(scores, target, k=(1, 5)) -> tuple[float, ...]:
    """For every number in k the share of labels that are not among so many best scores, as ILSVRC counts; see topk.

    Example
    >>> topk_error(np.array([[3, 2, 1], [1, 1, 1]]), np.array([1, 0]), k=(1, 2))
    (1.0, 0.5)
    """
    return tuple(1 - topk(scores, target, n) for n in (k if isinstance(k, (tuple, list)) else (k,)))


def confusion(predicted, target, num_classes: int) -> np.ndarray:
    """Counts (num_classes, num_classes) int64: row = true class, column = predicted class.

    Shapes  predicted, target: integers of equal shape
    """
    predicted, target = array(predicted), array(target)
    if predicted.shape != target.shape:
        raise ValueError(f"confusion: predictions {predicted.shape} and labels {target.shape} must have the same shape")
    for name, labels in (("predictions", predicted), ("labels", target)):
        if labels.dtype.kind not in "iub":
            raise TypeError(f"confusion: {name} must be integers, not {labels.dtype}")
        if labels.size and not (labels.min() >= 0 and labels.max() < num_classes):
            raise ValueError(
                f"confusion: {name} must lie in 0..{num_classes - 1}; found {labels.min()}..{labels.max()}"
            )
    index = target.reshape(-1).astype(np.int64) * num_classes + predicted.reshape(-1).astype(np.int64)
    return np.bincount(index, minlength=num_classes**2).reshape(num_classes, num_classes)


def precision_recall_f1(predicted, target, num_classes: int | None = None, average: str | None = "macro"):
    """(precision, recall, F1): right among those called so, right among those that are so, their harmonic mean.

    Shapes   predicted, target: integers of equal shape
    average  "macro": mean over the classes that occur in either; "micro": over all decisions; "weighted": by the number of
             true items; None: arrays (num_classes,), one number a class; "binary": class 1 of 0 and 1 alone.
    A quotient 0/0 counts as 0 (scikit-learn's zero_division=0).
    """
    if average not in ("macro", "micro", "weighted", "binary", None):
        raise ValueError(f"precision_recall_f1: average is macro, micro, weighted, binary or None; got {average!r}")
    predicted = integers(predicted, "precision_recall_f1", "predictions")
    target = integers(target, "precision_recall_f1", "labels")
    if target.size == 0:
        raise ValueError("precision_recall_f1: there are no labels")
    if num_classes is None:
        num_classes = 2 if average == "binary" else int(max(predicted.max(), target.max())) + 1
    counts = confusion(predicted, target, num_classes)
    hit, called, true = np.diag(counts), counts.sum(0), counts.sum(1)  # (C,) each
    if average == "micro":
        hit, called, true = hit.sum(), called.sum(), true.sum()
    precision, recall = _ratio(hit, called), _ratio(hit, true)
    f1 = _ratio(2 * hit, called + true)
    if average is None:
        return precision, recall, f1
    if average == "micro":
        return float(precision), float(recall), float(f1)
    if average == "binary":
        if num_classes != 2:
            raise ValueError(f"precision_recall_f1: average='binary' is for two classes; there are {num_classes}")
        return float(precision[1]), float(recall[1]), float(f1[1])
    weight = true if average == "weighted" else (called + true > 0)
    return tuple(float((value * weight).sum() / weight.sum()) for value in (precision, recall, f1))


def precision(predicted, target, num_classes: int | None = None, average: str | None = "macro"):
    """Share of right ones among those that were called so; see `precision_recall_f1`."""
    return precision_recall_f1(predicted, target, num_classes, average)[0]


def recall(predicted, target, num_classes: int | None = None, average: str | None = "macro"):
    """Share of right ones among those that are so; see `precision_recall_f1`."""
    return precision_recall_f1(predicted, target, num_classes, average)[1]


def f1(predicted, target, num_classes: int | None = None, average: str | None = "macro"):
    """Harmonic mean of precision and recall; see `precision_recall_f1`."""
    return precision_recall_f1(predicted, target, num_classes, average)[2]


def _ratio(a, b):
    return np.divide(a, b, out=np.zeros(np.shape(a)), where=np.asarray(b) > 0)
