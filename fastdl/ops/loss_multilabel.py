"""Losses for several labels a sample: hinge and logistic forms, and the focal loss of one-stage detectors."""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.ops.activation import logsigmoid, relu
from fastdl.ops.index import gather
from fastdl.ops.loss import binary_cross_entropy_with_logits, reduced


def multilabel_margin_loss(input, target, reduction="mean"):
    """For every label t of a sample and every class c that is none: the mean over C of max(0, 1 - input[t] + input[c]).

    Shapes: input (N, C) or (C,); target of the same shape, integers: the labels of each row, ended by the first -1.
    Errors: ValueError for other shapes and for a label out of range.
    """
    labels = np.asarray(target.array if isinstance(target, Tensor) else target)
    if labels.shape != input.array.shape or labels.ndim not in (1, 2) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"multilabel_margin_loss: input {input.array.shape} needs integer targets of the same shape (N, C) or (C,), "
            f"the labels of each row followed by -1; got {labels.dtype} of shape {labels.shape}"
        )
    x, labels = (input, labels) if labels.ndim == 2 else (input.unsqueeze(0), labels[None])
    C = x.array.shape[1]
    labels = labels.astype(np.int64)
    listed = np.cumprod(labels != -1, axis=1).astype(bool)  # (N, C): the entries before the first -1
    if labels[listed].size and (labels[listed].min() < 0 or labels[listed].max() >= C):
        n, j = (int(i) for i in np.argwhere(listed & ((labels < 0) | (labels >= C)))[0])
        raise ValueError(
            f"multilabel_margin_loss: label {labels[n, j]} at index ({n}, {j}) is out of range for {C} classes"
        )
    safe = np.where(listed, labels, 0)
    positive = np.zeros(x.array.shape, bool)
    np.logical_or.at(positive, (np.arange(len(labels))[:, None], safe), listed)
    gap = relu(x.unsqueeze(1) - gather(x, 1, Tensor(safe)).unsqueeze(2) + 1)  # (N, label, class)
    counted = listed[:, :, None] & ~positive[:, None, :]
    loss = (gap * Tensor(counted.astype(x.array.dtype))).sum((1, 2)) / C
    return reduced(loss if input.array.ndim == 2 else loss.squeeze(0), reduction, "multilabel_margin_loss")


def multilabel_soft_margin_loss(input, target, weight=None, reduction="mean"):
    """The mean over the classes (last axis) of binary cross-entropy with logits; target has input's shape, 0 or 1."""
    if input.array.shape != target.array.shape:
        raise ValueError(
            f"multilabel_soft_margin_loss: input {input.array.shape} needs a target of the same shape, "
            f"not {target.array.shape}"
        )
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    loss = (loss if weight is None else loss * weight).mean(-1)
    return reduced(loss, reduction, "multilabel_soft_margin_loss")


def sigmoid_focal_loss(inputs, targets, alpha=0.25, gamma=2.0, reduction="none"):
    """alpha_t (1 - p_t)^gamma (-log p_t), p_t the probability sigmoid(inputs) gives to the target 0 or 1.

    gamma = 0 and alpha < 0 (no weight) is binary cross-entropy; torchvision's name and defaults.
    Ref: Lin, Goyal, Girshick, He, Dollar, "Focal Loss for Dense Object Detection", 2017, arXiv 1708.02002, section 3
    """
    bce = binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    p = inputs.sigmoid()
    wrong = p * (1 - targets) + (1 - p) * targets  # 1 - p_t
    loss = bce * wrong**gamma
    if alpha >= 0:
        loss = loss * (alpha * targets + (1 - alpha) * (1 - targets))
    return reduced(loss, reduction, "sigmoid_focal_loss")
