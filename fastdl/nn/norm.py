"""Normalization layers."""

from contextlib import contextmanager

import numpy as np

from fastdl.autograd import Tensor, wrote
from fastdl.nn import functional as F
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter

_keep = False  # inside keep_statistics()


@contextmanager
def keep_statistics():
    """Inside, batch norm in training mode normalizes as ever but leaves its running statistics as they are."""
    global _keep
    before, _keep = _keep, True
    try:
        yield
    finally:
        _keep = before


class _BatchStatistics(Module):
    """weight and bias of every channel, and the running statistics."""

    axes = (2, 3)

    def __init__(self, num_features, eps, momentum, affine, track_running_stats, dtype):
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        dtype = dtype or np.float32
        self.register_parameter("weight", Parameter(np.ones(num_features, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(num_features, dtype)) if affine else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", Tensor(np.zeros(num_features, dtype)) if tracked else None)
        self.register_buffer("running_var", Tensor(np.ones(num_features, dtype)) if tracked else None)
        self.register_buffer("num_batches_tracked", Tensor(np.zeros((), np.int64)) if tracked else None)

    def reset_parameters(self):
        """weight 1, bias 0, and the statistics of no batch."""
        for t, value in (
            (self.weight, 1),
            (self.bias, 0),
            (self.running_mean, 0),
            (self.running_var, 1),
            (self.num_batches_tracked, 0),
        ):
            if t is not None:
                t.array[...] = value
                wrote(t, "reset_parameters")

    def check(self, x):
        if len(x.shape) not in self.axes:
            expected = " or ".join(str(n) for n in self.axes)
            raise ValueError(f"{type(self).__name__}: expected an input of {expected} axes; got shape {x.shape}")

    def extra_repr(self):
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchStatistics):
    """Every channel to mean 0 and variance 1 over the batch, then scaled and shifted.

    In training mode with the statistics of the batch, which are also averaged: running <- (1 - momentum) running +
    momentum batch (momentum None: the plain mean over all batches; the running variance is the unbiased one).
    In evaluation mode with the running statistics.

    Beyond torch: forward(x, residual, act="relu") adds a tensor of x's shape and applies ReLU in the same pass; a
    Sequential does the latter by itself where ReLU follows.

    Shapes      x (N, C) or (N, C, L) -> same
    Parameters  weight (C,), bias (C,); buffers running_mean (C,), running_var (C,), num_batches_tracked ()
    Ref         Ioffe and Szegedy 2015, arXiv 1502.03167
    """

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, dtype=None):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x, residual=None, act=None):
        self.check(x)
        momentum = 0.0 if self.momentum is None else self.momentum
        update = self.training and self.track_running_stats and not _keep
        if update:
            self.num_batches_tracked.array += 1
            if self.momentum is None:
                momentum = 1.0 / int(self.num_batches_tracked.array)
        batch = self.training or self.running_mean is None
        mean, var = (self.running_mean, self.running_var) if update or not batch else (None, None)
        return F.batch_norm(x, mean, var, self.weight, self.bias, batch, momentum, self.eps, residual, act)


class BatchNorm2d(BatchNorm1d):
    """BatchNorm1d over images: every channel over batch, height and width.

    Shapes      x (N, C, H, W) -> same
    """

    axes = (4,)


class InstanceNorm1d(_BatchStatistics):
    """Every channel of every sample to mean 0 and variance 1, optionally scaled and shifted.

    Shapes      x (C, L) or (N, C, L) -> same
    Ref         Ulyanov, Vedaldi, Lempitsky 2016, arXiv 1607.08022
    """

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=False, track_running_stats=False, dtype=None):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x):
        self.check(x)
        batched = len(x.shape) == max(self.axes)
        y = F.instance_norm(
            x if batched else x.unsqueeze(0),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum,
            self.eps,
        )
        return y if batched else y.squeeze(0)


class InstanceNorm2d(InstanceNorm1d):
    """InstanceNorm1d over images.

    Shapes      x (C, H, W) or (N, C, H, W) -> same
    """

    axes = (3, 4)


class LayerNorm(Module):
    """The last axes of every sample to mean 0 and variance 1, then scaled and shifted.

    Shapes      x (..., *normalized_shape) -> same
    Parameters  weight, bias: normalized_shape
    Ref         Ba, Kiros, Hinton 2016, arXiv 1607.06450
    """

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, dtype=None):
        super().__init__()
        shape = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        self.normalized_shape, self.eps = tuple(shape), eps
        self.elementwise_affine = elementwise_affine
        affine, dtype = elementwise_affine, dtype or np.float32
        self.register_parameter("weight", Parameter(np.ones(self.normalized_shape, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(self.normalized_shape, dtype)) if affine and bias else None)

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(Module):
    """The last axes divided by their root mean square, then scaled (eps None: the smallest step of the dtype).

    Shapes      x (..., *normalized_shape) -> same
    Parameters  weight: normalized_shape
    Ref         Zhang and Sennrich 2019, arXiv 1910.07467
    """

    def __init__(self, normalized_shape, eps=None, elementwise_affine=True, dtype=None):
        super().__init__()
        shape = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        self.normalized_shape, self.eps, self.elementwise_affine = tuple(shape), eps, elementwise_affine
        self.register_parameter(
            "weight", Parameter(np.ones(self.normalized_shape, dtype or np.float32)) if elementwise_affine else None
        )

    def forward(self, x):
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Groups of channels of every sample to mean 0 and variance 1, then scaled and shifted by channel.

    Shapes      x (N, C, ...) -> same
    Parameters  weight (C,), bias (C,)
    Ref         Wu and He 2018, arXiv 1803.08494
    """

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True, dtype=None):
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_groups={num_groups} must divide num_channels={num_channels}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        dtype = dtype or np.float32
        self.register_parameter("weight", Parameter(np.ones(num_channels, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(num_channels, dtype)) if affine else None)

    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LocalResponseNorm(Module):
    """x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta.

    Shapes      x (N, C, ...) -> same
    Ref         Krizhevsky, Sutskever, Hinton 2012, section 3.3
    """

    def __init__(self, size, alpha=1e-4, beta=0.75, k=1.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x):
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self):
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class PixelNorm(Module):
    """Every place's vector of channels divided by its root mean square: x / sqrt(mean over C of x^2 + eps).

    Shapes      x (N, C, ...) -> same; no parameters
    Ref         Karras, Aila, Laine, Lehtinen 2018, arXiv 1710.10196, section 4.2
    """

    def __init__(self, eps=1e-8):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return x / ((x * x).mean(1, keepdim=True) + self.eps).sqrt()

    def extra_repr(self):
        return f"eps={self.eps}"
