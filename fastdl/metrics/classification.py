"""How many of the guesses are right."""

import numpy as np

from fastdl.autograd import Tensor


def _array(x):
    return x.array if isinstance(x, Tensor) else np.asarray(x)


def _checked(scores, target, name):
    scores, target = _array(scores), _array(target)
    if target.dtype.kind not in "iub":
        raise TypeError(f"{name}: the labels must be integers, not {target.dtype}; hint: labels.astype(int)")
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


def confusion(predicted, target, num_classes: int) -> np.ndarray:
    """Counts (num_classes, num_classes) int64: row = true class, column = predicted class.

    Shapes  predicted, target: integers of equal shape
    """
    predicted, target = _array(predicted), _array(target)
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
