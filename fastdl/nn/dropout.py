"""Layers that set random parts to zero while training, and do nothing in evaluation mode."""

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


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance of SELU's outputs (Klambauer et al. 2017)."""

    def forward(self, x):
        return F.alpha_dropout(x, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels (axis 1)."""

    def forward(self, x):
        return F.feature_alpha_dropout(x, self.p, self.training)
