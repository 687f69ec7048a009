"""Mixtures: one of K components is drawn by a categorical, then the value from it."""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.distributions.categorical import Categorical
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.normal import Normal
from fastdl.ops.reduce import logsumexp


class MixtureSameFamily(Distribution):
    """p(x) = sum_k weights[k] component_k(x); the components are the last batch axis of one distribution.

    Parameters  mixture: Categorical with logits (..., K); components: a Distribution of batch shape (..., K)
    """

    def __init__(self, mixture, components):
        if not isinstance(mixture, Categorical):
            raise TypeError(f"MixtureSameFamily: the mixture must be a Categorical, not a {type(mixture).__name__}")
        K = mixture.logits.shape[-1]
        if not components.batch_shape or components.batch_shape[-1] != K:
            raise ValueError(
                f"MixtureSameFamily: {K} weights, but components of batch shape {components.batch_shape}: its last axis "
                f"must be {K}"
            )
        self.mixture, self.components = mixture, components
        super().__init__(np.broadcast_shapes(mixture.batch_shape, components.batch_shape[:-1]), components.event_shape)

    def _spread(self, x):
        """x (..., *event) with an axis of length 1 for the components."""
        return x.unsqueeze(len(x.shape) - len(self.event_shape))

    def log_prob(self, value):
        x = value if isinstance(value, Tensor) else Tensor(np.asarray(value, self.mixture.logits.array.dtype))
        self._check_value(x)
        return logsumexp(self.mixture.logits + self.components.log_prob(self._spread(x)), -1)

    def cdf(self, value):
        """P(X <= x), for components that have a cdf."""
        x = value if isinstance(value, Tensor) else Tensor(np.asarray(value, self.mixture.logits.array.dtype))
        return (self.mixture.probs * self.components.cdf(self._spread(x))).sum(-1)

    def sample(self, sample_shape=(), generator=None):
        shape = self._extended(sample_shape)
        lead = shape[: len(shape) - len(self.event_shape)]
        sample_only = lead[: len(lead) - len(self.batch_shape)]
        draws = self.components.sample(sample_only, generator).array  # (*lead, K, *event)
        draws = np.broadcast_to(draws, (*lead, self.components.batch_shape[-1], *self.event_shape))
        extra = lead[: len(lead) - len(self.mixture.batch_shape)]
        which = np.broadcast_to(self.mixture.sample(extra, generator).array, lead)
        index = which.reshape(*lead, 1, *(1,) * len(self.event_shape))
        return Tensor(np.take_along_axis(draws, index, len(lead)).squeeze(len(lead)))

    @property
    def mean(self):
        return (self._weights() * self.components.mean).sum(-1 - len(self.event_shape))

    @property
    def variance(self):
        axis = -1 - len(self.event_shape)
        m = self.components.mean
        return (self._weights() * (self.components.variance + m * m)).sum(axis) - self.mean**2

    def _weights(self):
        p = self.mixture.probs
        return p.reshape(*p.shape, *(1,) * len(self.event_shape))


class MixtureNormal(MixtureSameFamily):
    """A mixture of one-dimensional normals: weights, means and scales (..., K).

    Example
    >>> MixtureNormal([0.5, 0.5], [-1.0, 1.0], [1.0, 1.0]).mean.item()
    0.0
    """

    def __init__(self, weights, loc, scale, logits=None):
        super().__init__(Categorical(probs=weights, logits=logits), Normal(loc, scale))

    @staticmethod
    def fit(x, components, steps=100, floor=1e-3, seed=0):
        """Maximum likelihood of numbers x (N,) by expectation maximisation; scales stay above `floor` times the data's."""
        x = np.asarray(x.array if isinstance(x, Tensor) else x, np.float64).reshape(-1)
        if len(x) < components:
            raise ValueError(f"MixtureNormal.fit: {len(x)} numbers are too few for {components} components")
        rng = np.random.default_rng(seed)
        mean = np.quantile(x, (np.arange(components) + 0.5) / components) + 1e-3 * x.std() * rng.standard_normal(
            components
        )
        least = floor * x.std() + 1e-12
        scale, weight = np.full(components, x.std() / components + least), np.full(components, 1 / components)
        for _ in range(steps):
            logs = np.log(weight) - np.log(scale) - 0.5 * ((x[:, None] - mean) / scale) ** 2  # (N, K)
            r = np.exp(logs - logs.max(1, keepdims=True))
            r /= r.sum(1, keepdims=True)
            total = r.sum(0) + 1e-300
            weight, mean = total / len(x), (r * x[:, None]).sum(0) / total
            scale = np.sqrt((r * (x[:, None] - mean) ** 2).sum(0) / total + least**2)
        return MixtureNormal(weight, mean, scale)
