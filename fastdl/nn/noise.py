"""Noise while training, on activations or on weights; in evaluation mode these layers do nothing."""

from contextlib import contextmanager

import numpy as np

from fastdl.autograd import Tensor
from fastdl.nn import functional as F
from fastdl.nn.module import Module
from fastdl.random import generator


class GaussianNoise(Module):
    """x + sigma times normal noise, drawn anew at every call.

    For a linear model on n samples, the noise adds n sigma^2 |w|^2 to the expected sum of squares: it is a ridge.
    Shapes  x any -> same
    Ref     Bishop, "Training with Noise is Equivalent to Tikhonov Regularization", Neural Computation 7, 1995
    """

    def __init__(self, sigma=0.1):
        super().__init__()
        if sigma < 0:
            raise ValueError(f"GaussianNoise: sigma must not be negative; got {sigma}")
        self.sigma = sigma

    def forward(self, x):
        if not self.training or self.sigma == 0:
            return x
        return x + Tensor(_normal(x.array.shape, x.array.dtype, self.sigma))

    def extra_repr(self):
        return f"sigma={self.sigma}"


def _normal(shape, dtype, sigma):
    draw = dtype if dtype in (np.float32, np.float64) else np.float32
    return (generator().standard_normal(shape, draw) * draw.type(sigma)).astype(dtype, copy=False)


@contextmanager
def replaced_parameters(module, function, chosen=None):
    """Inside the block every parameter p of `module` is function(p), a Tensor made from it; afterwards p again.

    chosen: a function of (name, parameter) that says which. Gradients flow through `function` to the parameters.
    """
    new, old = {}, []
    try:
        for path, owner in module.named_modules():
            for name, p in owner._parameters.items():
                if p is None or (chosen is not None and not chosen(f"{path}.{name}" if path else name, p)):
                    continue
                if id(p) not in new:  # shared parameters stay shared
                    new[id(p)] = function(p)
                old.append((owner, name, p))
                owner.__dict__[name] = new[id(p)]
        yield
    finally:
        for owner, name, p in old:
            owner.__dict__[name] = p


class _OfWeights(Module):
    """A module whose weights are changed for each call in training mode."""

    def __init__(self, module):
        super().__init__()
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: expected a Module, got {type(module).__name__}")
        self.module = module

    def forward(self, *args, **kwargs):
        if not self.training:
            return self.module(*args, **kwargs)
        with replaced_parameters(self.module, self.changed, self.chosen):
            return self.module(*args, **kwargs)


class WeightNoise(_OfWeights):
    """`module` with sigma times normal noise on its parameters, drawn for each call; the gradient goes to the parameters.

    Keys of state_dict: those of the module after "module.".
    Ref  Graves, "Practical Variational Inference for Neural Networks", 2011; An, Neural Computation 8, 1996
    """

    def __init__(self, module, sigma=0.01):
        super().__init__(module)
        if sigma < 0:
            raise ValueError(f"WeightNoise: sigma must not be negative; got {sigma}")
        self.sigma = sigma

    def changed(self, p):
        return p + Tensor(_normal(p.array.shape, p.array.dtype, self.sigma))

    chosen = None

    def extra_repr(self):
        return f"sigma={self.sigma}"


class DropConnect(_OfWeights):
    """`module` with each weight 0 with probability p, the others divided by 1 - p; one mask a call, biases stay.

    Dropout zeroes activations, this zeroes connections. Keys of state_dict: those of the module after "module.".
    Ref  Wan, Zeiler, Zhang, LeCun, Fergus, "Regularization of Neural Networks using DropConnect", ICML 2013
    """

    def __init__(self, module, p=0.5):
        super().__init__(module)
        if not 0 <= p <= 1:
            raise ValueError(f"DropConnect: p must lie in [0, 1]; got {p}")
        self.p = p

    def changed(self, p):
        return F.dropout(p, self.p)

    @staticmethod
    def chosen(name, p):
        return p.array.ndim > 1

    def extra_repr(self):
        return f"p={self.p}"
