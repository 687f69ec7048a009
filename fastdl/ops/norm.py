"""Normalisations: batch, group, instance, layer, RMS and local response norm.

The first backward runs on the kernel; where it is itself recorded, it is made of differentiable functions.
"""

import numpy as np

from fastdl.autograd import Function, Tensor, is_grad_enabled, wrote
from fastdl.kernels.batch_norm import batch_norm_backward, batch_norm_forward
from fastdl.kernels.layer_norm import layer_norm_backward, layer_norm_forward


def _array(t):
    return None if t is None else t.array


def _wrap(needed, array):
    return Tensor(array) if needed else None


class BatchNorm(Function):
    """y = act((x - mean) rstd weight + bias + residual); also returns the statistics (see kernels/batch_norm.py)."""

    @staticmethod
    def forward(ctx, x, weight, bias, residual, stats, eps, groups, act):
        y, used = batch_norm_forward(x.array, _array(weight), _array(bias), eps, groups, stats, _array(residual), act)
        y, used = Tensor(y), Tensor(used)
        if ctx.recording:
            masked = act is not None and residual is not None
            ctx.save_for_backward(x, weight, bias, y if masked else None, used)
            ctx.options = (eps, groups, stats is not None, act, residual is not None)
            ctx.mark_non_differentiable(used)
            ctx.set_materialize_grads(False)
        return y, used

    @staticmethod
    def backward(ctx, dy, _):
        x, weight, bias, y, stats = ctx.saved_tensors
        eps, groups, given, act, with_residual = ctx.options
        need_x, need_weight, need_bias, need_residual, *_ = ctx.needs_input_grad
        if dy is None:
            return (None,) * 8
        if is_grad_enabled():
            return _batch_norm_gradient(dy, x, weight, bias, y, stats, *ctx.options)
        grads = batch_norm_backward(
            dy.array,
            x.array,
            _array(weight),
            _array(bias),
            stats.array,
            eps,
            groups,
            given,
            act,
            _array(y),
            with_residual,
        )
        return (
            _wrap(need_x, grads[0]),
            _wrap(need_weight, grads[1]),
            _wrap(need_bias, grads[2]),
            _wrap(need_residual, grads[3]) if with_residual else None,
            None, None, None, None,
        )  # fmt: skip


def _batch_norm_gradient(dy, x, weight, bias, y, stats, eps, groups, given, act, with_residual):
    """The gradients of BatchNorm in differentiable functions of dy, x, weight and bias."""
    N, C = x.array.shape[:2]
    per_channel = (1, C) + (1,) * (x.array.ndim - 2)
    space = (0, *range(2, x.array.ndim))
    if given:
        mean, var = (Tensor(stats.array[i].reshape(per_channel)) for i in (0, 1))
        z = (x - mean) / (var + eps).sqrt()
    elif groups is None:
        z = _standardised(x, space, eps)
    else:
        grouped = x.reshape(N, groups, -1)  # (N, C, ...) -> (N, groups, C/groups ...)
        z = _standardised(grouped, 2, eps).reshape(x.array.shape)
    result = z
    if weight is not None:
        result = result * weight.reshape(per_channel)
    if bias is not None:
        result = result + bias.reshape(per_channel)
    if act is not None:
        positive = (result if y is None else y).array > 0
        dy = dy * Tensor(positive.astype(dy.array.dtype))
    dz = dy if weight is None else dy * weight.reshape(per_channel)
    if given:
        dx = dz / (var + eps).sqrt()
    elif groups is None:
        dx = _standardised_gradient(dz, x, z, space, eps)
    else:
        flat = (N, groups, -1)
        dx = _standardised_gradient(dz.reshape(flat), grouped, z.reshape(flat), 2, eps).reshape(x.array.shape)
    return (
        dx,
        None if weight is None else (dy * z).sum(space),
        None if bias is None else dy.sum(space),
        dy if with_residual else None,
        None, None, None, None,
    )  # fmt: skip


def _standardised(x, axes, eps):
    centred = x - x.mean(axes, keepdim=True)
    return centred / ((centred * centred).mean(axes, keepdim=True) + eps).sqrt()


def _standardised_gradient(dz, x, z, axes, eps):
    centred = x - x.mean(axes, keepdim=True)
    deviation = ((centred * centred).mean(axes, keepdim=True) + eps).sqrt()
    return (dz - dz.mean(axes, keepdim=True) - z * (dz * z).mean(axes, keepdim=True)) / deviation


class LayerNorm(Function):
    """Layer norm or RMS norm over the last `axes` axes."""

    @staticmethod
    def forward(ctx, x, weight, bias, eps, axes, rms):
        y, stats = layer_norm_forward(x.array, _array(weight), _array(bias), eps, axes, None, rms)
        if ctx.recording:
            ctx.save_for_backward(x, weight)
            ctx.stats, ctx.options = stats, (eps, axes, rms)
        return Tensor(y)

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        eps, axes, rms = ctx.options
        _, need_weight, need_bias, *_ = ctx.needs_input_grad
        if not is_grad_enabled():
            dx, dw, db = layer_norm_backward(
                dy.array, x.array, _array(weight), ctx.stats, eps, axes, rms, None, need_weight, need_bias
            )
            return Tensor(dx), _wrap(need_weight, dw), _wrap(need_bias, db), None, None, None
        last = tuple(range(x.array.ndim - axes, x.array.ndim))
        rows = tuple(range(x.array.ndim - axes))
        dz = dy if weight is None else dy * weight
        if rms:
            deviation = ((x * x).mean(last, keepdim=True) + eps).sqrt()
            z = x / deviation
            dx = (dz - z * (dz * z).mean(last, keepdim=True)) / deviation
        else:
            z = _standardised(x, last, eps)
            dx = _standardised_gradient(dz, x, z, last, eps)
        dw = (dy * z).sum(rows) if rows else dy * z
        db = dy.sum(rows) if rows else dy
        return dx, dw if need_weight else None, db if need_bias else None, None, None, None


def batch_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
    residual=None,
    act=None,
):
    """Every channel of input (N, C, ...) to mean 0 and variance 1, scaled by weight and shifted by bias.

    training: with the statistics of the batch, which also update the running ones: running <- (1 - momentum) running +
    momentum batch (variance: unbiased). Otherwise with the running ones. Beyond torch: residual (input's shape) is added
    and act="relu" applied in the same pass.
    """
    x = input.array
    if not training and (running_mean is None or running_var is None):
        raise ValueError("batch_norm: running_mean and running_var are needed where training is False")
    if training and x.ndim >= 2 and x.shape[1] and x.size // x.shape[1] == 1:
        raise ValueError(
            f"batch_norm: expected more than one value per channel when training, got input of shape {x.shape}; "
            "hint: a larger batch, drop_last=True in the loader, or eval()"
        )
    stats = None
    if not training:
        stats = np.zeros((3, 1, running_mean.array.size), x.dtype)
        stats[0, 0], stats[1, 0] = running_mean.array, running_var.array
    y, used = BatchNorm.apply(input, weight, bias, residual, stats, eps, None, act)
    if training and running_mean is not None and x.size:
        count = x.size // x.shape[1]
        mean, var = used.array[0, 0], used.array[1, 0] * (count / max(1, count - 1))
        for running, batch in ((running_mean, mean), (running_var, var)):
            running.array[...] = (1 - momentum) * running.array + momentum * batch
            wrote(running, "batch_norm")
    return y


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Every group of channels of every sample of input (N, C, ...) to mean 0 and variance 1."""
    return BatchNorm.apply(input, weight, bias, None, None, eps, num_groups, None)[0]


def instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    """Every channel of every sample of input (N, C, ...) to mean 0 and variance 1."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    x = input.array
    if x.ndim > 2 and x[0, 0].size == 1 and x.size:
        raise ValueError(f"instance_norm: expected more than one value per channel, got input of shape {x.shape}")
    y, used = BatchNorm.apply(input, weight, bias, None, None, eps, x.shape[1], None)
    if running_mean is not None and x.size:
        count = x[0, 0].size
        mean, var = used.array[0].mean(0), used.array[1].mean(0) * (count / max(1, count - 1))
        for running, batch in ((running_mean, mean), (running_var, var)):
            running.array[...] = (1 - momentum) * running.array + momentum * batch
            wrote(running, "instance_norm")
    return y


def _last_axes(name, input, normalized_shape):
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or input.array.shape[-len(shape) :] != shape:
        raise RuntimeError(
            f"{name}: the last axes of the input {input.array.shape} must be normalized_shape {shape}; "
            "hint: normalized_shape is the size of the features, without the batch"
        )
    return len(shape)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """The last axes of input (..., *normalized_shape) to mean 0 and variance 1, scaled by weight, shifted by bias."""
    return LayerNorm.apply(input, weight, bias, eps, _last_axes("layer_norm", input, normalized_shape), False)


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """input divided by the root of its mean square over the last axes, scaled by weight."""
    axes = _last_axes("rms_norm", input, normalized_shape)
    eps = float(np.finfo(input.array.dtype).eps) if eps is None else eps
    return LayerNorm.apply(input, weight, None, eps, axes, True)


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """input / (k + alpha / size * sum of squares over `size` neighbouring channels)^beta (Krizhevsky et al. 2012, 3.3)."""
    if input.array.ndim < 2:
        raise ValueError(f"local_response_norm: expected (N, C, ...), got shape {input.array.shape}")
    square = input * input
    C = input.array.shape[1]
    total = None
    for shift in range(-(size // 2), (size - 1) // 2 + 1):  # channel c takes c + shift; outside there is nothing
        low, high = max(0, -shift), min(C, C - shift)
        if low >= high:
            continue
        part = square.narrow(1, low + shift, high - low)
        if high - low < C:
            zeros = square.narrow(1, 0, 1) * 0.0
            parts = [zeros] * low + [part] + [zeros] * (C - high)
            part = _cat(parts)
        total = part if total is None else total + part
    return input / (total * (alpha / size) + k) ** beta


def _cat(parts):
    from fastdl.ops.shape import cat

    return cat(parts, 1)


def normalize(input, p=2.0, dim=1, eps=1e-12):
    """input divided by its p-norm along dim, which counts as eps where it is smaller."""
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)
