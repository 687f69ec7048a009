"""Activations as layers. x is any shape, and the result has the same, unless said otherwise."""

import numpy as np

from fastdl.nn import functional as F
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter


class _Settings(Module):
    """An activation with settings: the names in `settings`, in the order of the arguments."""

    settings = ()

    def extra_repr(self):
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.settings)


class ReLU(Module):
    """max(x, 0)."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace

    def forward(self, x):
        return F.relu(x, self.inplace)

    def extra_repr(self):
        return "inplace=True" if self.inplace else ""


class ReLU6(ReLU):
    """min(max(x, 0), 6)."""

    def forward(self, x):
        return F.relu6(x, self.inplace)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x):
        return x.sigmoid()


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x):
        return x.tanh()


class SiLU(ReLU):
    """x sigmoid(x)."""

    def forward(self, x):
        return F.silu(x, self.inplace)


class Mish(ReLU):
    """x tanh(softplus(x))."""

    def forward(self, x):
        return F.mish(x, self.inplace)


class SELU(ReLU):
    """s max(x, 0) + s a min(exp(x) - 1, 0), with the s and a that keep mean 0 and variance 1."""

    def forward(self, x):
        return F.selu(x, self.inplace)


class Hardswish(ReLU):
    """x relu6(x + 3) / 6."""

    def forward(self, x):
        return F.hardswish(x, self.inplace)


class Hardsigmoid(ReLU):
    """relu6(x + 3) / 6."""

    def forward(self, x):
        return F.hardsigmoid(x, self.inplace)


class LogSigmoid(Module):
    """log(sigmoid(x))."""

    def forward(self, x):
        return F.logsigmoid(x)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, x):
        return F.softsign(x)


class Tanhshrink(Module):
    """x - tanh(x)."""

    def forward(self, x):
        return F.tanhshrink(x)


class LeakyReLU(_Settings):
    """x where x > 0, else negative_slope x."""

    settings = ("negative_slope",)

    def __init__(self, negative_slope=0.01, inplace=False):
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, x):
        return F.leaky_relu(x, self.negative_slope, self.inplace)


class ELU(_Settings):
    """x where x > 0, else alpha (exp(x) - 1)."""

    settings = ("alpha",)

    def __init__(self, alpha=1.0, inplace=False):
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, x):
        return F.elu(x, self.alpha, self.inplace)


class CELU(ELU):
    """x where x > 0, else alpha (exp(x / alpha) - 1)."""

    def forward(self, x):
        return F.celu(x, self.alpha, self.inplace)


class GELU(_Settings):
    """x times the normal distribution function of x; approximate="tanh" for the tanh formula."""

    settings = ("approximate",)

    def __init__(self, approximate="none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, x):
        return F.gelu(x, self.approximate)


class Softplus(_Settings):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""

    settings = ("beta", "threshold")

    def __init__(self, beta=1.0, threshold=20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, x):
        return F.softplus(x, self.beta, self.threshold)


class Hardtanh(_Settings):
    """x clamped to [min_val, max_val]."""

    settings = ("min_val", "max_val")

    def __init__(self, min_val=-1.0, max_val=1.0, inplace=False):
        super().__init__()
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, x):
        return F.hardtanh(x, self.min_val, self.max_val, self.inplace)


class Hardshrink(_Settings):
    """x where |x| > lambd, else 0."""

    settings = ("lambd",)

    def __init__(self, lambd=0.5):
        super().__init__()
        self.lambd = lambd

    def forward(self, x):
        return F.hardshrink(x, self.lambd)


class Softshrink(Hardshrink):
    """x moved towards 0 by lambd, and 0 where |x| <= lambd."""

    def forward(self, x):
        return F.softshrink(x, self.lambd)


class Threshold(_Settings):
    """x where x > threshold, else value."""

    settings = ("threshold", "value")

    def __init__(self, threshold, value, inplace=False):
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, x):
        return F.threshold(x, self.threshold, self.value, self.inplace)


class PReLU(_Settings):
    """x where x > 0, else weight x, with one trained weight, or one for each channel (axis 1)."""

    settings = ("num_parameters",)

    def __init__(self, num_parameters=1, init=0.25, dtype=None):
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(np.full(num_parameters, init, dtype or np.float32))

    def forward(self, x):
        return F.prelu(x, self.weight)


class RReLU(_Settings):
    """x where x >= 0, else a x: a drawn for each element from [lower, upper] in training, their mean in evaluation.

    Ref  Xu, Wang, Chen, Li, "Empirical Evaluation of Rectified Activations", 2015, arXiv 1505.00853
    """

    settings = ("lower", "upper")

    def __init__(self, lower=1 / 8, upper=1 / 3, inplace=False):
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, x):
        return F.rrelu(x, self.lower, self.upper, self.training, self.inplace)


class Maxout(_Settings):
    """The largest of every `pieces` neighbours along axis `dim`: (..., n pieces, ...) -> (..., n, ...).

    After Linear(d, n * pieces) it is the maxout unit: n maxima of `pieces` affine functions each.
    Ref  Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks", 2013, arXiv 1302.4389
    """

    settings = ("pieces", "dim")

    def __init__(self, pieces, dim=1):
        super().__init__()
        self.pieces, self.dim = pieces, dim

    def forward(self, x):
        return F.maxout(x, self.pieces, self.dim)


class GLU(_Settings):
    """The first half of axis `dim` times the sigmoid of the second: (..., 2 n, ...) -> (..., n, ...)."""

    settings = ("dim",)

    def __init__(self, dim=-1):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return F.glu(x, self.dim)


class Softmax(_Settings):
    """exp(x) / sum of exp(x) over axis `dim`."""

    settings = ("dim",)

    def __init__(self, dim=-1):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return F.softmax(x, self.dim)


class LogSoftmax(Softmax):
    """x - log(sum of exp(x)) over axis `dim`."""

    def forward(self, x):
        return F.log_softmax(x, self.dim)


class Softmin(Softmax):
    """Softmax of -x."""

    def forward(self, x):
        return F.softmax(-x, self.dim)


class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, x):
        return F.softmax(x, -3)
