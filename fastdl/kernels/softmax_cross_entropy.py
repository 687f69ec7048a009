"""Cross-entropy of softmax with integer labels: the loss and, in the same pass, its gradient.

Maths     lp = log softmax(logits) over the classes; of each label t that is not ignore_index
            loss = -(1 - s) weight[t] lp[t] - s / C sum_c weight[c] lp[c],  s = label_smoothing; an ignored label's
            loss is 0
          reduction: "none", "sum", or "mean" = sum / sum of weight[t] over the labels that count.
Shapes    logits (M, C) or (M, C, *spatial), or (C,) for one label: float32 or float64; labels (M, *spatial): any
          integer dtype; weight (C,) or None. loss: () or labels' shape; dlogits like logits, the classes innermost in
          memory.
Backward  dlogits = dloss / dlogits: (1 - s) weight[t] (p - onehot t) + s / C (p sum_c weight[c] - weight), p = softmax
          (over the divisor of "mean"); times dy.
Cost      about 24 n FLOPs; 1 n elements moved for the loss, 2 n with the gradient (n = size of logits).
Errors    ValueError names a label out of range and its place, and shapes that do not fit; TypeError for dtypes.
Notes     "mean" over no label is NaN, as in PyTorch. Logits of +-1e4 are safe: only differences to the largest are
          used.
"""

import numpy as np

from fastdl.kernels._memory import channels_inner, contiguous, empty
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import same_float_dtype

REDUCTIONS = ("none", "mean", "sum")


def softmax_cross_entropy_forward(
    logits, labels, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean", with_gradient=False
):
    """loss, or (loss, dlogits) if with_gradient: the gradient for dy = 1. See the top of this file."""
    rows, flat, divisor = _check(logits, labels, weight, ignore_index, label_smoothing, reduction)
    dtype = logits.dtype
    losses = empty((rows.shape[0],), dtype)
    dlogits = empty(rows.shape, dtype) if with_gradient else None
    implementation("softmax_cross_entropy", dtype).forward(
        rows, flat, _vector(weight), ignore_index, label_smoothing, 1 / divisor, None, losses, dlogits
    )
    if reduction == "none":
        loss = losses.reshape(labels.shape)
    else:
        loss = np.asarray(losses.sum(dtype=np.float64) / divisor, dtype)
    return (loss, _outside(dlogits, logits)) if with_gradient else loss


def softmax_cross_entropy_backward(
    dy, logits, labels, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean"
):
    """dlogits for the gradient dy of the loss; see the top of this file."""
    rows, flat, divisor = _check(logits, labels, weight, ignore_index, label_smoothing, reduction)
    same_float_dtype("cross_entropy", logits=logits, dy=dy)
    if dy.shape != (labels.shape if reduction == "none" else ()):
        raise ValueError(f"cross_entropy: dy has shape {dy.shape}; that of the loss was expected")
    dlogits = empty(rows.shape, logits.dtype)
    if reduction == "none":
        scale, row_scale = 1.0, contiguous(dy).reshape(-1)
    else:
        scale, row_scale = float(dy) / divisor, None
    implementation("softmax_cross_entropy", logits.dtype).forward(
        rows, flat, _vector(weight), ignore_index, label_smoothing, scale, row_scale, None, dlogits
    )
    return _outside(dlogits, logits)


def _check(logits, labels, weight, ignore_index, label_smoothing, reduction):
    """logits as (M, C), labels as int64 (M,), and what "mean" divides by."""
    same_float_dtype("cross_entropy", logits=logits, weight=weight)
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"cross_entropy: labels must be integers, got {labels.dtype} (class probabilities have the shape of logits)"
        )
    if logits.ndim == 0 or labels.shape != logits.shape[:1] * (logits.ndim > 1) + logits.shape[2:]:
        raise ValueError(
            f"cross_entropy: logits {logits.shape} are (M, C, ...), so labels must have shape "
            f"{logits.shape[:1] * (logits.ndim > 1) + logits.shape[2:]}; got {labels.shape}"
        )
    C = logits.shape[0] if logits.ndim == 1 else logits.shape[1]
    if weight is not None and weight.shape != (C,):
        raise ValueError(f"cross_entropy: weight must have shape ({C},), one for each class; got {weight.shape}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"cross_entropy: reduction must be one of {', '.join(REDUCTIONS)}; got {reduction!r}")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing must lie between 0 and 1; got {label_smoothing}")
    counted = _check_range(labels, C, ignore_index)
    rows = contiguous(logits.reshape(1, -1)) if logits.ndim == 1 else channels_inner(logits)
    flat = np.require(labels, np.int64, "CA").reshape(-1)
    if reduction != "mean":
        divisor = 1.0
    elif weight is None:
        divisor = float(flat.size if counted is None else np.count_nonzero(counted))
    else:
        chosen = flat if counted is None else flat[counted.reshape(-1)]
        divisor = float(weight[chosen].sum(dtype=np.float64))
    return rows.reshape(flat.size, C), flat, divisor or np.nan


def _check_range(labels, C, ignore_index):
    """Which labels count (None: all); ValueError for a label that is neither a class nor ignored."""
    if not labels.size or (labels.min() >= 0 and labels.max() < C and not 0 <= ignore_index < C):
        return None
    counted = labels != ignore_index
    bad = ((labels < 0) | (labels >= C)) & counted
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        index = place[0] if len(place) == 1 else place
        raise ValueError(
            f"cross_entropy: label {labels[place]} at index {index} is out of range for {C} classes (0 to {C - 1}; "
            f"ignore_index is {ignore_index})"
        )
    return counted


def _vector(v):
    return None if v is None else contiguous(v)


def _outside(rows, logits):
    """(M, C) as an array of the shape of logits."""
    if logits.ndim <= 2:
        return rows.reshape(logits.shape)
    inner = rows.reshape(logits.shape[0], *logits.shape[2:], logits.shape[1])
    return inner.transpose(0, logits.ndim - 1, *range(1, logits.ndim - 1))


def softmax_cross_entropy_forward_cost(logits, labels, weight=None, with_gradient=False, **params):
    """(FLOPs, bytes) of one call."""
    return 24 * logits.size, logits.nbytes * (1 + with_gradient)


def softmax_cross_entropy_backward_cost(dy, logits, labels, weight=None, **params):
    """(FLOPs, bytes) of one call."""
    return 24 * logits.size, 2 * logits.nbytes
