"""Bernoulli: a biased coin, one parameter."""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.distributions.distribution import Distribution, tensors, value
from fastdl.ops.activation import logsigmoid, softplus
from fastdl.ops.random import numpy_generator


def logits_of(probs, eps=None):
    """log p - log (1 - p), with p kept away from 0 and 1 by eps (default: that of the dtype)."""
    eps = float(np.finfo(probs.array.dtype).eps) if eps is None else eps
    p = probs.clamp(eps, 1 - eps)
    return p.log() - (-p).log1p()


def uniform_open(shape, dtype, generator):
    """Uniform numbers in the open interval (0, 1)."""
    u = numpy_generator(generator).random(shape, np.float64)
    return np.clip(u, 1e-12, 1 - 1e-12).astype(dtype)


class Bernoulli(Distribution):
    """P(1) = p = sigmoid(logits).

    Maths       log P(x) = x logits - softplus(logits): finite for logits of any size
    Parameters  probs or logits, any shape (exactly one of them)
    """

    def __init__(self, probs=None, logits=None):
        if (probs is None) == (logits is None):
            raise ValueError("Bernoulli: give either probs or logits")
        if logits is None:
            (self._probs,) = tensors("Bernoulli", probs)
            p = self._probs.array
            if p.size and not (p.min() >= 0 and p.max() <= 1):
                raise ValueError("Bernoulli: probs must lie between 0 and 1")
            self.logits = logits_of(self._probs)
        else:
            (self.logits,) = tensors("Bernoulli", logits)
            self._probs = None
        super().__init__(self.logits.shape)

    @property
    def probs(self):
        return self.logits.sigmoid() if self._probs is None else self._probs

    @property
    def mean(self):
        return self.probs

    @property
    def variance(self):
        p = self.probs
        return p * (1 - p)

    @property
    def mode(self):
        return Tensor((self.logits.array > 0).astype(self.logits.array.dtype))

    def sample(self, sample_shape=(), generator=None):
        shape = self._extended(sample_shape)
        u = numpy_generator(generator).random(shape, np.float32)
        return Tensor((u < self.probs.array).astype(self.logits.array.dtype))

    def log_prob(self, value_):
        x = value(value_, self.logits)
        self._check_value(x)
        bad = (x.array != 0) & (x.array != 1)
        if bad.any():
            raise ValueError("Bernoulli: values must be 0 or 1; hint: binarise first, e.g. x >= 0.5")
        return x * logsigmoid(self.logits) + (1 - x) * logsigmoid(-self.logits)

    def entropy(self):
        return softplus(self.logits, threshold=50.0) - self.logits * self.probs

    @staticmethod
    def fit(x, alpha=0.0, beta=0.0):
        """Maximum likelihood along the first axis: p = mean; or the posterior mean under a prior Beta(alpha, beta)."""
        x = np.asarray(x.array if isinstance(x, Tensor) else x, np.float64)
        return Bernoulli(probs=(x.sum(0) + alpha) / (len(x) + alpha + beta))


class RelaxedBernoulli(Distribution):
    """A Bernoulli made differentiable: sigmoid((logits + logistic noise) / temperature).

    Ref  Maddison, Mnih, Teh 2017; Jang, Gu, Poole 2017 (Gumbel-sigmoid)
    """

    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None):
        if not temperature > 0:
            raise ValueError(f"RelaxedBernoulli: the temperature must be positive; got {temperature}")
        self.temperature = float(temperature)
        self.logits = Bernoulli(probs, logits).logits
        super().__init__(self.logits.shape)

    def rsample(self, sample_shape=(), generator=None):
        u = uniform_open(self._extended(sample_shape), np.float64, generator)
        noise = Tensor((np.log(u) - np.log1p(-u)).astype(self.logits.array.dtype))
        return ((self.logits + noise) / self.temperature).sigmoid()

    def log_prob(self, value_):
        """The density of the relaxed value in (0, 1)."""
        x = value(value_, self.logits)
        self._check_value(x)
        y = logits_of(x)
        d = self.logits - y * self.temperature
        jacobian = x.log() + (-x).log1p()
        return np.log(self.temperature) + d - 2 * softplus(d, threshold=50.0) - jacobian
