"""Categorical: a die of m sides, m - 1 free parameters."""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.distributions.bernoulli import uniform_open
from fastdl.distributions.distribution import Distribution, tensors, value
from fastdl.ops.index import gather, one_hot
from fastdl.ops.random import numpy_generator
from fastdl.ops.reduce import logsumexp
from fastdl.ops.softmax import log_softmax, softmax


class Categorical(Distribution):
    """P(k) = probs[k], the last axis are the m cases.

    Parameters  probs (..., m), not negative, need not sum to 1; or logits (..., m), any numbers
    Shapes      sample((S,)) (S, ...) int64; log_prob of integers (S, ...) -> (S, ...)
    """

    def __init__(self, probs=None, logits=None):
        if (probs is None) == (logits is None):
            raise ValueError("Categorical: give either probs or logits")
        (given,) = tensors("Categorical", probs if logits is None else logits)
        if not given.shape or given.shape[-1] == 0:
            raise ValueError(f"Categorical: the last axis holds the cases; got shape {given.shape}")
        if logits is None:
            p = given.array
            if p.size and (p.min() < 0 or not np.isfinite(p).all() or (p.sum(-1) <= 0).any()):
                raise ValueError("Categorical: probs must be finite, not negative, and not all zero")
            p = given / given.sum(-1, keepdim=True)
            self.logits = p.clamp(min=float(np.finfo(p.array.dtype).tiny)).log()
        else:
            self.logits = log_softmax(given, -1)
        super().__init__(given.shape[:-1])

    @property
    def probs(self):
        return softmax(self.logits, -1)

    @property
    def mode(self):
        return self.logits.argmax(-1)

    @property
    def mean(self):
        """The mean of the numbers 0 .. m - 1."""
        return (self.probs * self._numbers()).sum(-1)

    @property
    def variance(self):
        n = self._numbers()
        return (self.probs * n * n).sum(-1) - self.mean**2

    def _numbers(self):
        return Tensor(np.arange(self.logits.shape[-1], dtype=self.logits.array.dtype))

    def sample(self, sample_shape=(), generator=None):
        """Inverse of the cumulated probabilities where they are few; an alias table where many draws share one row."""
        shape = self._extended(sample_shape)
        p = self.probs.array
        rng = numpy_generator(generator)
        if not self.batch_shape:
            return Tensor(AliasTable(p).sample(shape, rng))
        edges = np.cumsum(p, -1, dtype=np.float64)
        u = rng.random(shape) * edges[..., -1]
        return Tensor(np.minimum((u[..., None] >= edges).sum(-1), p.shape[-1] - 1).astype(np.int64))

    def log_prob(self, value_):
        labels = np.asarray(value_.array if isinstance(value_, Tensor) else value_)
        m = self.logits.shape[-1]
        if labels.size and (labels.min() < 0 or labels.max() >= m or (labels != np.floor(labels)).any()):
            raise ValueError(f"Categorical: values must be whole numbers 0 to {m - 1}")
        self._check_value(labels)
        shape = np.broadcast_shapes(labels.shape, self.batch_shape)
        index = Tensor(np.broadcast_to(labels, shape)[..., None].astype(np.int64))
        return gather(self.logits.expand(*shape, m), -1, index).squeeze(-1)

    def entropy(self):
        return -(self.probs * self.logits).sum(-1)

    @staticmethod
    def fit(x, cases, alpha=0.0):
        """Maximum likelihood of integers x (N,): relative frequencies, each count raised by alpha (Dirichlet smoothing)."""
        counts = np.bincount(np.asarray(x.array if isinstance(x, Tensor) else x).reshape(-1), minlength=cases)
        if len(counts) > cases:
            raise ValueError(f"Categorical.fit: a value {len(counts) - 1} is not among the {cases} cases")
        return Categorical(probs=(counts + alpha) / (counts.sum() + alpha * cases))


class AliasTable:
    """Draws from m cases in constant time each, after a table of m cells.

    Every cell i holds case i with probability keep[i] and another case, its alias, otherwise.
    Ref  Walker 1977; Vose 1991
    """

    def __init__(self, probs):
        p = np.asarray(probs, np.float64)
        m = len(p)
        scaled = p / p.sum() * m
        self.keep, self.alias = np.ones(m), np.arange(m)
        small, large = [i for i in range(m) if scaled[i] < 1], [i for i in range(m) if scaled[i] >= 1]
        while small and large:
            s, l = small.pop(), large.pop()
            self.keep[s], self.alias[s] = scaled[s], l
            scaled[l] -= 1 - scaled[s]
            (small if scaled[l] < 1 else large).append(l)

    def sample(self, shape, rng):
        """int64 array of `shape`."""
        cell = rng.integers(0, len(self.keep), shape)
        return np.where(rng.random(shape) < self.keep[cell], cell, self.alias[cell]).astype(np.int64)


class OneHotCategorical(Categorical):
    """The same with samples and values as one-hot vectors: event shape (m,)."""

    def __init__(self, probs=None, logits=None):
        super().__init__(probs, logits)
        self._index = Categorical(logits=self.logits)
        self.event_shape = self.logits.shape[-1:]

    def sample(self, sample_shape=(), generator=None):
        m = self.logits.shape[-1]
        return one_hot(self._index.sample(sample_shape, generator), m).to(self.logits.array.dtype)

    def log_prob(self, value_):
        return (value(value_, self.logits) * self.logits).sum(-1)

    @property
    def mean(self):
        return self.probs

    @property
    def variance(self):
        p = self.probs
        return p * (1 - p)


class RelaxedOneHotCategorical(Distribution):
    """A differentiable draw: softmax((logits + Gumbel noise) / temperature), event shape (m,).

    straight_through: the value is one-hot, the gradient that of the relaxed vector.
    Ref  Jang, Gu, Poole 2017; Maddison, Mnih, Teh 2017
    """

    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, straight_through=False):
        if not temperature > 0:
            raise ValueError(f"RelaxedOneHotCategorical: the temperature must be positive; got {temperature}")
        self.temperature, self.straight_through = float(temperature), straight_through
        self.logits = Categorical(probs, logits).logits
        super().__init__(self.logits.shape[:-1], self.logits.shape[-1:])

    def rsample(self, sample_shape=(), generator=None):
        u = uniform_open(self._extended(sample_shape), np.float64, generator)
        noise = Tensor((-np.log(-np.log(u))).astype(self.logits.array.dtype))
        y = softmax((self.logits + noise) / self.temperature, -1)
        if not self.straight_through:
            return y
        hard = one_hot(y.argmax(-1), y.shape[-1]).to(y.array.dtype)
        return y + Tensor(hard.array - y.array)

    def log_prob(self, value_):
        """The density of the relaxed vector on the simplex."""
        x = value(value_, self.logits)
        self._check_value(x)
        m, t = x.shape[-1], self.temperature
        score = self.logits - x.log() * t
        constant = float(np.sum(np.log(np.arange(1, m)))) + (m - 1) * np.log(t)
        return constant + (score - logsumexp(score, -1, keepdim=True)).sum(-1) - x.log().sum(-1)
