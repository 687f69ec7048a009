"""Layers that set random parts to zero while training, and do nothing in evaluation mode."""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.nn import functional as F
from fastdl.nn.module import Module


class _Dropout(Module):
    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p must lie in [0, 1]; got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self):
        return f"p={self.p}"


class Dropout(_Dropout):
    """Each element is zero with probability p, the others are divided by 1 - p (Srivastava et al. 2014)."""

    def forward(self, x):
        return F.dropout(x, self.p, self.training)


class Dropout1d(_Dropout):
    """Each channel (N, C, L) is zero with probability p, the others are divided by 1 - p."""

    def forward(self, x):
        return F.dropout1d(x, self.p, self.training)


class Dropout2d(_Dropout):
    """Each channel (N, C, H, W) is zero with probability p, the others are divided by 1 - p."""

    def forward(self, x):
        return F.dropout2d(x, self.p, self.training)


class Dropout3d(_Dropout):
    """Each channel (N, C, D, H, W) is zero with probability p, the others are divided by 1 - p."""

    def forward(self, x):
        return F.dropout3d(x, self.p, self.training)


class LockedDropout(_Dropout):
    """Dropout with one mask for all time steps, as recurrent networks want it (variational dropout).

    Shapes  x (T, N, D), or (N, T, D) where batch_first -> same
    Ref     Gal and Ghahramani 2016, arXiv 1512.05287
    """

    def __init__(self, p=0.5, batch_first=False):
        super().__init__(p)
        self.batch_first = batch_first

    def forward(self, x):
        if x.ndim != 3:
            raise ValueError(f"LockedDropout: expected (T, N, D) or (N, T, D), got shape {x.shape}")
        if not self.training or self.p == 0:
            return x
        time = 1 if self.batch_first else 0
        ones = Tensor(np.ones([1 if axis == time else n for axis, n in enumerate(x.shape)], x.array.dtype))
        return x * F.dropout(ones, self.p)


class StochasticDepth(_Dropout):
    """Whole residual branches set to zero: mode "row" for each sample by itself, "batch" for all at once.

    Shapes  x (N, ...) -> same
    Ref     Huang, Sun, Liu, Sedra, Weinberger 2016, arXiv 1603.09382
    """

    def __init__(self, p, mode="row"):
        super().__init__(p)
        if mode not in ("row", "batch"):
            raise ValueError(f"StochasticDepth: mode must be 'row' or 'batch'; got {mode!r}")
        self.mode = mode

    def forward(self, x):
        return F.stochastic_depth(x, self.p, self.mode, self.training)


class DropPath(StochasticDepth):
    """StochasticDepth for each sample by itself, under the name that vision transformers use."""

    def __init__(self, drop_prob=0.0):
        super().__init__(drop_prob)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance of SELU's outputs (Klambauer et al. 2017)."""

    def forward(self, x):
        return F.alpha_dropout(x, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels (axis 1)."""

    def forward(self, x):
        return F.feature_alpha_dropout(x, self.p, self.training)
