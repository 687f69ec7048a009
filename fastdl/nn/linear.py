"""Affine layers, and the one that does nothing."""

import math

import numpy as np

from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter


class Identity(Module):
    """Returns its input; takes and ignores any arguments when it is made."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, x):
        return x


class Linear(Module):
    """y = x W^T + b.

    Shapes      x (..., in_features) -> (..., out_features)
    Parameters  weight (out_features, in_features), bias (out_features,); both start uniform in +-1 / sqrt(in_features)

    Beyond torch: forward(x, act="relu") applies ReLU in the same pass.

    Example
    >>> Linear(3, 2)
    Linear(in_features=3, out_features=2, bias=True)
    """

    def __init__(self, in_features, out_features, bias=True, dtype=None):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        # In memory (in, out): x W^T is then a product of two matrices as they lie, and needs no transpose.
        self.weight = Parameter(np.empty((in_features, out_features), dtype or np.float32).T)
        self.register_parameter("bias", Parameter(np.empty(out_features, dtype or np.float32)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw new initial values."""
        init.default_linear_(self.weight, self.bias)

    def forward(self, x, act=None):
        return F.linear(x, self.weight, self.bias, act)

    def extra_repr(self):
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y[o] = x1^T W[o] x2 + b[o].

    Shapes      x1 (..., in1), x2 (..., in2) -> (..., out)
    Parameters  weight (out, in1, in2), bias (out,)
    """

    def __init__(self, in1_features, in2_features, out_features, bias=True, dtype=None):
        super().__init__()
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = Parameter(np.empty((out_features, in1_features, in2_features), dtype or np.float32))
        self.register_parameter("bias", Parameter(np.empty(out_features, dtype or np.float32)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.in1_features)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, x1, x2):
        return F.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self):
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )
