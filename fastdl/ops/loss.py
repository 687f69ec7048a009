"""Losses, with torch's names, arguments and reductions ("mean", "sum", "none").

Cross-entropy on labels has a kernel of its own, which makes the gradient in the pass that makes the loss; everything else is
made of differentiable functions.
"""

import math
import warnings

import numpy as np

from fastdl.autograd import Function, Tensor, is_grad_enabled
from fastdl.kernels.softmax_cross_entropy import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from fastdl.ops.activation import logsigmoid, relu
from fastdl.ops.elementwise import where
from fastdl.ops.index import gather
from fastdl.ops.shape import broadcast_tensors
from fastdl.ops.softmax import log_softmax, softmax


def reduced(loss, reduction, name):
    """The mean or the sum of the losses, or themselves."""
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none'; got {reduction!r}")


def _same_shape(input, target, name):
    if input.array.shape != target.array.shape:
        warnings.warn(
            f"{name}: the target's shape {target.array.shape} differs from the input's {input.array.shape} and is "
            "broadcast, which is seldom meant; hint: x.squeeze(-1) or x.reshape(target.shape)",
            stacklevel=3,
        )
    return input, target


# ------------------------------------------------------------------------------------------------- classification


class SoftmaxCrossEntropy(Function):
    """Cross-entropy of logits (N, C, ...) with integer labels (N, ...); see kernels/softmax_cross_entropy.py."""

    @staticmethod
    def forward(ctx, logits, labels, weight, ignore_index, reduction, label_smoothing):
        options = (weight, ignore_index, label_smoothing, reduction)
        if not ctx.recording:
            return Tensor(softmax_cross_entropy_forward(logits.array, labels, *options))
        ctx.save_for_backward(logits)
        ctx.labels, ctx.options = labels, options
        if reduction == "none":
            ctx.unit_gradient = None
            return Tensor(softmax_cross_entropy_forward(logits.array, labels, *options))
        loss, ctx.unit_gradient = softmax_cross_entropy_forward(logits.array, labels, *options, with_gradient=True)
        return Tensor(loss)

    @staticmethod
    def backward(ctx, dy):
        (logits,) = ctx.saved_tensors
        rest = (None,) * 5
        if is_grad_enabled():
            return (_recorded_gradient(dy, logits, ctx.labels, *ctx.options), *rest)
        if ctx.unit_gradient is None:
            return (Tensor(softmax_cross_entropy_backward(dy.array, logits.array, ctx.labels, *ctx.options)), *rest)
        if dy.array == 1:
            return (Tensor(ctx.unit_gradient), *rest)
        return (Tensor(ctx.unit_gradient * dy.array), *rest)


def _recorded_gradient(dy, logits, labels, weight, ignore_index, label_smoothing, reduction):
    """dlogits = scale (p sum_c q_c - q) in differentiable functions of dy and logits; q: the weighted target."""
    x = logits if logits.array.ndim > 1 else logits.unsqueeze(0)
    labels = np.asarray(labels).reshape((x.array.shape[0], *x.array.shape[2:]))
    C, dtype = x.array.shape[1], x.array.dtype
    weight = np.ones(C, dtype) if weight is None else weight
    counted = labels != ignore_index
    safe = np.where(counted, labels, 0)
    per_class = weight.reshape((1, C) + (1,) * (labels.ndim - 1))
    q = np.broadcast_to(label_smoothing / C * per_class, x.array.shape).copy()
    at_label = np.take_along_axis(q, safe[:, None], 1) + ((1 - label_smoothing) * weight[safe])[:, None]
    np.put_along_axis(q, safe[:, None], at_label, 1)
    q *= counted[:, None]
    if reduction == "mean":
        dy = dy / float(weight[safe][counted].sum())
    elif reduction == "none":
        dy = dy.reshape(labels.shape).unsqueeze(1)
    grad = (softmax(x, 1) * Tensor(q.sum(1, keepdims=True)) - Tensor(q)) * dy
    return grad.reshape(logits.array.shape)


def cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """-log softmax(input) at the labels, averaged with the labels' weights.

    Shapes: input (N, C), (N, C, d1, ...) or (C,); target (N,), (N, d1, ...) or () of any integer dtype, or probabilities
    of input's shape; weight (C,). "mean" divides by the sum of the weights of the labels that are not ignore_index.
    Errors: ValueError for a label out of range (named with its place) and for shapes that do not fit.
    """
    if not isinstance(target, Tensor):
        target = Tensor(np.asarray(target))
    if target.array.dtype.kind == "f":
        if target.array.shape != input.array.shape:
            raise TypeError(
                f"cross_entropy: a target of dtype {target.array.dtype} holds probabilities and must have the input's "
                f"shape {input.array.shape}, not {target.array.shape}; hint: labels must be integers, target.long()"
            )
        return _cross_entropy_with_probabilities(input, target, weight, reduction, label_smoothing)
    weight = None if weight is None else weight.array
    return SoftmaxCrossEntropy.apply(input, target.array, weight, ignore_index, reduction, label_smoothing)


def _cross_entropy_with_probabilities(input, target, weight, reduction, label_smoothing):
    axis = 0 if input.array.ndim == 1 else 1
    C = input.array.shape[axis]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / C
    loss = log_softmax(input, axis) * target
    if weight is not None:
        loss = loss * weight.reshape((C,) if axis == 0 else (1, C) + (1,) * (input.array.ndim - 2))
    loss = -loss.sum(axis)
    if reduction == "mean":
        return loss.sum() / max(1, loss.array.size)
    return reduced(loss, reduction, "cross_entropy")


def nll_loss(input, target, weight=None, ignore_index=-100, reduction="mean"):
    """-input at the labels: cross-entropy on log probabilities (N, C, ...) or (C,); arguments as there."""
    labels = target.array if isinstance(target, Tensor) else np.asarray(target)
    x = input if input.array.ndim > 1 else input.unsqueeze(0)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"nll_loss: labels must be integers, got {labels.dtype}; hint: target.long()")
    expected = (x.array.shape[0], *x.array.shape[2:])
    if labels.shape != (expected if input.array.ndim > 1 else ()):
        raise ValueError(f"nll_loss: input {input.array.shape} needs labels of shape {expected}; got {labels.shape}")
    labels = labels.reshape(expected)
    C = x.array.shape[1]
    counted = labels != ignore_index
    bad = ((labels < 0) | (labels >= C)) & counted
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"nll_loss: label {labels[place]} at index {place} is out of range for {C} classes")
    safe = np.where(counted, labels, 0).astype(np.int64)
    scale = (np.ones(C, x.array.dtype) if weight is None else weight.array)[safe] * counted
    loss = -gather(x, 1, Tensor(safe[:, None])).squeeze(1) * Tensor(scale)
    if reduction == "mean":
        return loss.sum() / float(scale.sum()) if scale.sum() else loss.sum() * math.nan
    loss = loss if input.array.ndim > 1 else loss.squeeze(0)
    return reduced(loss, reduction, "nll_loss")


class BinaryCrossEntropy(Function):
    """-(t log p + (1 - t) log(1 - p)), element by element, for probabilities p and targets t of one shape and dtype.

    Logarithms count as at least -100, and p (1 - p) as at least 1e-12 in the slope (p - t) / (p (1 - p)), so that probabilities
    of exactly 0 and 1 have finite losses and gradients; torch does the same.
    """

    @staticmethod
    def forward(ctx, p, t):
        ctx.save_for_backward(p, t)
        with np.errstate(divide="ignore"):
            yes, no = np.maximum(np.log(p.array), -100), np.maximum(np.log1p(-p.array), -100)
        return Tensor(-(t.array * yes + (1 - t.array) * no))

    @staticmethod
    def backward(ctx, dy):
        p, t = ctx.saved_tensors
        need_p, need_t = ctx.needs_input_grad
        dp = dy * (p - t) / (p * (1 - p)).clamp(min=1e-12) if need_p else None
        dt = dy * ((-p).log1p().clamp(min=-100) - p.log().clamp(min=-100)) if need_t else None
        return dp, dt


def binary_cross_entropy(input, target, weight=None, reduction="mean"):
    """-(target log input + (1 - target) log(1 - input)) for probabilities; see BinaryCrossEntropy for 0 and 1."""
    _same_shape(input, target, "binary_cross_entropy")
    x = input.array
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(
            "binary_cross_entropy: all inputs must lie between 0 and 1; hint: binary_cross_entropy_with_logits takes any number"
        )
    if input.array.shape != target.array.shape:
        input, target = broadcast_tensors(input, target)
    loss = BinaryCrossEntropy.apply(input, target.to(input.dtype))
    return reduced(loss if weight is None else loss * weight, reduction, "binary_cross_entropy")


def binary_cross_entropy_with_logits(input, target, weight=None, reduction="mean", pos_weight=None):
    """binary_cross_entropy(sigmoid(input), target), safe for logits of any size; pos_weight multiplies the positive part."""
    _same_shape(input, target, "binary_cross_entropy_with_logits")
    factor = 1 if pos_weight is None else (pos_weight - 1) * target + 1
    loss = (1 - target) * input - factor * logsigmoid(input)
    return reduced(loss if weight is None else loss * weight, reduction, "binary_cross_entropy_with_logits")


def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, reduction="mean"):
    """Mean over the classes c other than the label t of max(0, margin - input[t] + input[c])^p weight[t]."""
    x = input if input.array.ndim > 1 else input.unsqueeze(0)
    labels = np.asarray(target.array if isinstance(target, Tensor) else target).reshape(-1).astype(np.int64)
    N, C = x.array.shape
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p must be 1 or 2; got {p}")
    if labels.shape != (N,) or (N and (labels.min() < 0 or labels.max() >= C)):
        raise ValueError(f"multi_margin_loss: input {input.array.shape} needs {N} labels in 0..{C - 1}; got {labels}")
    at_label = Tensor(labels[:, None])
    gap = relu(x - gather(x, 1, at_label) + margin)
    other = np.ones(x.array.shape, x.array.dtype)
    np.put_along_axis(other, labels[:, None], 0, 1)
    loss = (gap if p == 1 else gap**p) * Tensor(other)
    if weight is not None:
        loss = loss * Tensor(weight.array[labels][:, None])
    loss = loss.sum(1) / x.array.shape[1]
    return reduced(loss if input.array.ndim > 1 else loss.squeeze(0), reduction, "multi_margin_loss")


# ------------------------------------------------------------------------------------------------------ regression


def mse_loss(input, target, reduction="mean"):
    """(input - target)^2."""
    input, target = _same_shape(input, target, "mse_loss")
    difference = input - target
    return reduced(difference * difference, reduction, "mse_loss")


def l1_loss(input, target, reduction="mean"):
    """|input - target|."""
    input, target = _same_shape(input, target, "l1_loss")
    return reduced((input - target).abs(), reduction, "l1_loss")


def smooth_l1_loss(input, target, reduction="mean", beta=1.0):
    """d^2 / (2 beta) where d = |input - target| < beta, else d - beta / 2 (Girshick 2015)."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative; got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    input, target = _same_shape(input, target, "smooth_l1_loss")
    difference = input - target
    d = difference.abs()
    return reduced(where(d < beta, difference * difference / (2 * beta), d - beta / 2), reduction, "smooth_l1_loss")


def huber_loss(input, target, reduction="mean", delta=1.0):
    """d^2 / 2 where d = |input - target| < delta, else delta (d - delta / 2)."""
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive; got {delta}")
    input, target = _same_shape(input, target, "huber_loss")
    difference = input - target
    d = difference.abs()
    return reduced(where(d < delta, difference * difference / 2, delta * (d - delta / 2)), reduction, "huber_loss")


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """0.5 (log var + (input - target)^2 / var), var at least eps; full adds 0.5 log 2 pi."""
    if not isinstance(var, Tensor):
        var = Tensor(np.full(input.array.shape, var, input.array.dtype))
    if var.array.size and var.array.min() < 0:
        raise ValueError("gaussian_nll_loss: var has a negative entry; hint: predict its logarithm and pass exp()")
    if var.array.ndim == input.array.ndim - 1 and var.array.shape == input.array.shape[:-1]:
        var = var.unsqueeze(-1)
    var = var + Tensor(np.maximum(var.array, eps) - var.array)  # the floor does not stop the gradient
    difference = input - target
    loss = (var.log() + difference * difference / var) * 0.5
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction, "gaussian_nll_loss")


def poisson_nll_loss(input, target, log_input=True, full=False, eps=1e-8, reduction="mean"):
    """exp(input) - target input (log_input), or input - target log(input + eps); full adds Stirling's term."""
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        t = target.array
        with np.errstate(divide="ignore", invalid="ignore"):
            stirling = t * np.log(t) - t + 0.5 * np.log(2 * np.pi * t)
        loss = loss + Tensor(np.where(t > 1, stirling, 0).astype(loss.array.dtype))
    return reduced(loss, reduction, "poisson_nll_loss")


def kl_div(input, target, reduction="mean", log_target=False):
    """target (log target - input) for log probabilities `input`; "batchmean" divides by the first axis: the true KL."""
    _same_shape(input, target, "kl_div")
    if log_target:
        loss = target.exp() * (target - input)
    else:
        positive = Tensor(target.array > 0)
        safe = where(positive, target, target * 0 + 1)  # 0 log 0 = 0
        loss = where(positive, target * (safe.log() - input), -target * input)
    if reduction == "batchmean":
        return loss.sum() / loss.array.shape[0]
    return reduced(loss, reduction, "kl_div")


# ------------------------------------------------------------------------------------------ similarity and ranking


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """x1 . x2 / (|x1| |x2|) along dim, each norm at least eps."""
    n1 = (x1 * x1).sum(dim).clamp(min=eps * eps).sqrt()
    n2 = (x2 * x2).sum(dim).clamp(min=eps * eps).sqrt()
    return (x1 * x2).sum(dim) / (n1 * n2)


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """The p-norm of x1 - x2 + eps along the last axis."""
    return (x1 - x2 + eps).norm(p, -1, keepdim)


def cosine_embedding_loss(input1, input2, target, margin=0.0, reduction="mean"):
    """1 - cos where target is 1, max(0, cos - margin) where it is -1."""
    cos = cosine_similarity(input1, input2, -1)
    loss = where(Tensor(target.array == 1), 1 - cos, relu(cos - margin))
    return reduced(loss, reduction, "cosine_embedding_loss")


def margin_ranking_loss(input1, input2, target, margin=0.0, reduction="mean"):
    """max(0, -target (input1 - input2) + margin)."""
    return reduced(relu(-target * (input1 - input2) + margin), reduction, "margin_ranking_loss")


def hinge_embedding_loss(input, target, margin=1.0, reduction="mean"):
    """input where target is 1, max(0, margin - input) where it is -1."""
    loss = where(Tensor(target.array == 1), input, relu(margin - input))
    return reduced(loss, reduction, "hinge_embedding_loss")


def soft_margin_loss(input, target, reduction="mean"):
    """log(1 + exp(-target input))."""
    return reduced(-logsigmoid(target * input), reduction, "soft_margin_loss")


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, reduction="mean"):
    """max(0, |anchor - positive| - |anchor - negative| + margin); swap: the nearer of the two distances to negative."""
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        other = pairwise_distance(positive, negative, p, eps)
        far = where(Tensor(far.array < other.array), far, other)
    return reduced(relu(near - far + margin), reduction, "triplet_margin_loss")


def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):
    """triplet_margin_loss with a distance of one's own: a function of two tensors (N, D) that gives (N,)."""
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        other = distance(positive, negative)
        far = where(Tensor(far.array < other.array), far, other)
    return reduced(relu(near - far + margin), reduction, "triplet_margin_with_distance_loss")
