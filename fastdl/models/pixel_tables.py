"""Densities of binary images by counting: the baselines that every neural model has to beat.

IndependentBernoulli   p(x) = prod_i p(x_i)                        n parameters
MarkovChainImage       p(x) = prod_i p(x_i | x_{i-1..i-r})         2^r - 1 + (n - r) 2^r
BernoulliMixture       p(x) = sum_k w_k prod_i p_k(x_i)            K - 1 + K n
JointTable             p(x) itself                                 2^n - 1
"""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.distributions import independent_parameters, joint_parameters, markov_parameters
from fastdl.distributions.generative import GenerativeModel, array, seeded
from fastdl.ops.random import numpy_generator


def _bits(name, x, n=None):
    x = array(x).reshape(len(array(x)), -1)
    if ((x != 0) & (x != 1)).any():
        raise ValueError(f"{name}: values must be 0 or 1; hint: binarise first, e.g. x >= 0.5")
    if n is not None and x.shape[1] != n:
        raise ValueError(f"{name}: expected {n} variables; got shape {x.shape}")
    return x.astype(np.int64)


class IndependentBernoulli(GenerativeModel):
    """Every variable a coin of its own. alpha: counts added to either side (1: Laplace's rule).

    Example
    >>> IndependentBernoulli(784).num_parameters
    784
    """

    density = "exact"

    def __init__(self, n, alpha=1.0):
        self.n, self.alpha, self.p = n, alpha, np.full(n, 0.5)

    @property
    def num_parameters(self):
        return independent_parameters([2] * self.n)

    def fit(self, x):
        x = _bits("IndependentBernoulli", x, self.n)
        self.p = (x.sum(0) + self.alpha) / (len(x) + 2 * self.alpha)
        return self

    def log_prob(self, x):
        x = _bits("IndependentBernoulli", x, self.n)
        with np.errstate(divide="ignore"):
            return Tensor(np.where(x, np.log(self.p), np.log1p(-self.p)).sum(1))

    def sample(self, n, seed=None):
        return Tensor((numpy_generator(seeded(seed)).random((n, self.n)) < self.p).astype(np.float32))


class MarkovChainImage(GenerativeModel):
    """Every variable given the `order` before it, with a table of its own at every place.

    Example
    >>> MarkovChainImage(784, order=1).num_parameters
    1567
    """

    density = "exact"

    def __init__(self, n, order=1, alpha=0.5):
        if not 0 <= order < n:
            raise ValueError(f"MarkovChainImage: the order must lie in 0 .. {n - 1}; got {order}")
        if order > 20:
            raise ValueError(f"MarkovChainImage: tables of 2^{order} contexts at {n} places are too large")
        self.n, self.order, self.alpha = n, order, alpha
        self.p = np.full((n, 2**order), 0.5)

    @property
    def num_parameters(self):
        return markov_parameters(self.n, self.order)

    def _contexts(self, x):
        """(N, n): the bits before each place as one number, those before the first place counting as 0."""
        padded = np.pad(x, ((0, 0), (self.order, 0)))
        powers = [padded[:, self.order - 1 - k : self.order - 1 - k + self.n] << k for k in range(self.order)]
        return sum(powers) if powers else np.zeros_like(x)

    def fit(self, x):
        x = _bits("MarkovChainImage", x, self.n)
        context = self._contexts(x)
        place = np.broadcast_to(np.arange(self.n), x.shape)
        counts = np.zeros((self.n, 2**self.order, 2))
        np.add.at(counts, (place, context, x), 1)
        self.p = (counts[..., 1] + self.alpha) / (counts.sum(2) + 2 * self.alpha)
        return self

    def log_prob(self, x):
        x = _bits("MarkovChainImage", x, self.n)
        p = self.p[np.arange(self.n), self._contexts(x)]
        return Tensor(np.where(x, np.log(p), np.log1p(-p)).sum(1))

    def sample(self, n, seed=None):
        rng, x = numpy_generator(seeded(seed)), np.zeros((n, self.n), np.int64)
        context = np.zeros(n, np.int64)
        for i in range(self.n):
            x[:, i] = rng.random(n) < self.p[i, context]
            context = ((context << 1) | x[:, i]) & (2**self.order - 1)
        return Tensor(x.astype(np.float32))


class BernoulliMixture(GenerativeModel):
    """K images of coins, one of which is chosen: fitted by expectation maximisation."""

    density = "exact"

    def __init__(self, n, components=30, alpha=0.1, seed=0):
        self.n, self.K, self.alpha, self.seed = n, components, alpha, seed
        self.weights, self.p = np.full(components, 1 / components), np.full((components, n), 0.5)

    @property
    def num_parameters(self):
        return self.K - 1 + self.K * self.n

    def _joint(self, x):
        return np.log(self.weights) + x @ np.log(self.p).T + (1 - x) @ np.log1p(-self.p).T  # (N, K)

    def fit(self, x, steps=60):
        x = _bits("BernoulliMixture", x, self.n).astype(np.float64)
        rng = np.random.default_rng(self.seed)
        self.p = 0.25 + 0.5 * x[rng.permutation(len(x))[np.arange(self.K) % len(x)]] * rng.uniform(
            0.8, 1, (self.K, self.n)
        )
        for _ in range(steps):
            logs = self._joint(x)
            r = np.exp(logs - logs.max(1, keepdims=True))
            r /= r.sum(1, keepdims=True)
            total = r.sum(0)
            self.weights = (total + self.alpha) / (len(x) + self.K * self.alpha)
            self.p = (r.T @ x + self.alpha) / (total[:, None] + 2 * self.alpha)
        return self

    def log_prob(self, x):
        logs = self._joint(_bits("BernoulliMixture", x, self.n).astype(np.float64))
        top = logs.max(1)
        return Tensor(top + np.log(np.exp(logs - top[:, None]).sum(1)))

    def sample(self, n, seed=None):
        rng = numpy_generator(seeded(seed))
        which = rng.choice(self.K, n, p=self.weights / self.weights.sum())
        return Tensor((rng.random((n, self.n)) < self.p[which]).astype(np.float32))


class JointTable(GenerativeModel):
    """One probability for every combination of values; num_parameters is exact for any size, the table is for small ones.

    cards: the number of cases of every variable. alpha: a count added to every cell.

    Example
    >>> JointTable([256, 256, 256]).num_parameters
    16777215
    """

    density = "exact"
    CELLS = 2**24  # most cells that are stored

    def __init__(self, cards, alpha=0.0):
        self.cards, self.alpha, self.p = tuple(int(c) for c in cards), alpha, None

    @property
    def num_parameters(self):
        return joint_parameters(self.cards)

    def _cells(self, x):
        x = np.asarray(x.array if isinstance(x, Tensor) else x).astype(np.int64)
        if x.ndim != 2 or x.shape[1] != len(self.cards):
            raise ValueError(f"JointTable: expected (N, {len(self.cards)}) values; got shape {x.shape}")
        if (x < 0).any() or (x >= self.cards).any():
            raise ValueError(f"JointTable: values must lie below the numbers of cases {self.cards}")
        return np.ravel_multi_index(x.T, self.cards)

    def fit(self, x):
        cells = self.num_parameters + 1
        if cells > self.CELLS:
            raise ValueError(
                f"JointTable: {cells} cells are too many to store (at most {self.CELLS}): this is what independence, Markov "
                "chains and neural conditionals are for"
            )
        counts = np.bincount(self._cells(x), minlength=cells) + self.alpha
        self.p = counts / counts.sum()
        return self

    def log_prob(self, x):
        if self.p is None:
            raise RuntimeError("JointTable: fit it first")
        with np.errstate(divide="ignore"):
            return Tensor(np.log(self.p[self._cells(x)]))

    def sample(self, n, seed=None):
        if self.p is None:
            raise RuntimeError("JointTable: fit it first")
        draws = numpy_generator(seeded(seed)).choice(len(self.p), n, p=self.p)
        return Tensor(np.stack(np.unravel_index(draws, self.cards), 1).astype(np.float32))
