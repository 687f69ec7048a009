"""Markov models: the next symbol depends on the last `order` symbols alone.

    p(x_1 .. x_T) = prod_t p(x_t | x_{t-r} .. x_{t-1})

MarkovModel counts (any order, smoothed by the shorter contexts); MarkovTable learns the same table for order 1 by gradient
steps; GaussianAR1 is the chain over real numbers. K states have (K - 1) + K (K - 1) free parameters at order 1.

Ref  Witten and Bell 1991 (smoothing by the number of different successors); Kneser and Ney 1995.
"""

import math

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.distributions.sequential import SequentialModel, symbols
from fastdl.nn import functional as F


class MarkovModel(SequentialModel):
    """Counts of every context up to `order` symbols, combined so that no symbol has probability 0.

    smoothing  "witten-bell": p_r(s | c) = (n(c s) + t(c) p_{r-1}(s | c')) / (n(c) + t(c)), t(c): different successors of c;
               "kneser-ney": (max(n(c s) - 0.75, 0) + 0.75 t(c) p_{r-1}(s | c')) / n(c), lower orders counting contexts;
               "add": (n(c s) + alpha) / (n(c) + alpha V), no shorter contexts; "none": counts alone, zeros and all
    The start of a sequence has the contexts that are there. p_{-1} is uniform.

    Example
    >>> m = MarkovModel(order=1, vocab=2).fit(np.array([0, 1, 0, 1, 0, 1, 1]))
    >>> m.transition_matrix().round(2).tolist()
    [[0.11, 0.89], [0.58, 0.42]]
    """

    def __init__(self, order=1, smoothing="witten-bell", vocab=None, alpha=1.0):
        if order < 0:
            raise ValueError(f"MarkovModel: order must be at least 0; got {order}")
        if smoothing not in ("witten-bell", "kneser-ney", "add", "none"):
            raise ValueError(f"MarkovModel: smoothing must be witten-bell, kneser-ney, add or none; got {smoothing!r}")
        self.order, self.smoothing, self.vocab, self.alpha = order, smoothing, vocab, alpha
        self.chars = None  # of a model that was fitted to text
        self._tables = None

    # -------------------------------------------------------------------------------------------------------- fitting

    def fit(self, x):
        """Count symbols (N, T) or (T,), or a text, whose characters become the vocabulary."""
        if isinstance(x, str):
            self.chars = "".join(sorted(set(x)))
            self.vocab = len(self.chars)
        x = self._symbols(x)
        if not x.size:
            raise ValueError("MarkovModel.fit: there is no symbol to count")
        if self.vocab is None:
            self.vocab = int(x.max()) + 1
        if (self.vocab + 1.0) ** (self.order + 1) >= 2**63:
            raise ValueError(
                f"MarkovModel: order {self.order} with {self.vocab} symbols has too many contexts to number"
            )
        raw = [self._count(self._codes(x, r + 1)) for r in range(self.order + 1)]
        if self.smoothing == "kneser-ney":  # below the top: in how many contexts was a symbol seen, not how often
            top = [raw[-1]]
            for r in range(self.order - 1, -1, -1):
                longer = raw[r + 1][0]
                top.insert(0, self._count(longer % (self.vocab + 1) ** (r + 1)))
            raw = top
        self._tables = [self._contexts(*table) for table in raw]
        return self

    def _symbols(self, x):
        if isinstance(x, str):
            if self.chars is None:
                raise ValueError("MarkovModel: fitted to numbers; give numbers, not text")
            index = {c: i for i, c in enumerate(self.chars)}
            strange = sorted(set(x) - index.keys())
            if strange:
                raise ValueError(f"MarkovModel: unknown characters {' '.join(map(repr, strange[:10]))}")
            return np.fromiter((index[c] for c in x), np.int64, len(x))[None]
        return symbols(x, 2**31 if self.vocab is None else self.vocab, "MarkovModel")

    def _codes(self, x, length):
        """(M,) numbers of all runs of `length` symbols inside the sequences."""
        base = self.vocab + 1
        n = x.shape[1] - length + 1
        if n < 1:
            return np.empty(0, np.int64)
        code = np.zeros((x.shape[0], n), np.int64)
        for i in range(length):
            code = code * base + x[:, i : i + n] + 1
        return code.reshape(-1)

    @staticmethod
    def _count(codes):
        return np.unique(codes, return_counts=True)

    def _contexts(self, codes, counts):
        """Sorted codes with counts, and the sorted contexts with their sums and numbers of successors."""
        context, start = np.unique(codes // (self.vocab + 1), return_index=True)
        sums = np.add.reduceat(counts, start) if len(counts) else counts
        return codes, counts, context, sums, np.diff(np.append(start, len(codes)))

    # ------------------------------------------------------------------------------------------------------ probability

    def _probabilities(self, context_symbols, new):
        """p(new | context) for context_symbols (M, L) (-1: before the start) and new (M,), as float64 (M,)."""
        if self._tables is None:
            raise RuntimeError("MarkovModel: call fit first")
        base, V = self.vocab + 1, self.vocab
        p = np.full(len(new), 1.0 / V)
        context = np.zeros(len(new), np.int64)
        exists = np.ones(len(new), bool)
        for r, (codes, counts, contexts, sums, kinds) in enumerate(self._tables):
            if r:
                symbol = context_symbols[:, -r]
                exists = exists & (symbol >= 0)
                context = context + (symbol + 1) * base ** (r - 1)
            n_c, t_c = _look_up(contexts, context, sums, kinds)
            n_cs, _ = _look_up(codes, context * base + new + 1, counts, counts)
            if self.smoothing == "witten-bell":
                q = (n_cs + t_c * p) / np.maximum(n_c + t_c, 1)
                q = np.where(n_c > 0, q, p)
            elif self.smoothing == "kneser-ney":
                q = (np.maximum(n_cs - 0.75, 0) + 0.75 * t_c * p) / np.maximum(n_c, 1)
                q = np.where(n_c > 0, q, p)
            elif self.smoothing == "add":
                q = (n_cs + self.alpha) / (n_c + self.alpha * V)
            else:
                q = np.where(n_c > 0, n_cs / np.maximum(n_c, 1), 0.0)
            p = np.where(exists, q, p)
        return p

    def step_log_probs(self, x):
        x = self._symbols(x)
        N, T = x.shape
        past = np.concatenate([np.full((N, self.order), -1), x], 1)
        contexts = np.stack([past[:, i : i + T] for i in range(self.order)], -1) if self.order else np.empty((N, T, 0))
        p = self._probabilities(contexts.reshape(N * T, self.order).astype(np.int64), x.reshape(-1))
        with np.errstate(divide="ignore"):
            return Tensor(np.log(p).reshape(N, T))

    def next_log_probs(self, past):
        past, V, r = np.asarray(past), self.vocab, self.order
        N = len(past)
        context = np.full((N, r), -1)
        have = min(r, past.shape[1])
        if have:
            context[:, r - have :] = past[:, past.shape[1] - have :]
        p = self._probabilities(np.repeat(context, V, 0), np.tile(np.arange(V), N)).reshape(N, V)
        with np.errstate(divide="ignore"):
            return np.log(p)

    def sample(self, n, length, seed=None, start=None):
        """As SequentialModel.sample; a model of text takes a text to start from and gives a list of texts."""
        if isinstance(start, str):
            start = self._symbols(start)
        drawn = super().sample(n, length, seed, start)
        return drawn if self.chars is None else ["".join(self.chars[i] for i in row) for row in drawn]

    # ------------------------------------------------------------------------------------------- what order 1 is good for

    def initial(self):
        """(V,) p(x_1)."""
        return np.exp(self.next_log_probs(np.zeros((1, 0), np.int64))[0])

    def transition_matrix(self):
        """(V, V): row i is p(next | i). Order 1 only."""
        if self.order != 1:
            raise ValueError(f"MarkovModel.transition_matrix: needs order 1, not {self.order}")
        return np.exp(self.next_log_probs(np.arange(self.vocab)[:, None]))

    def stationary(self):
        """(V,) pi = pi P: how often each symbol is met in the long run."""
        return stationary(self.transition_matrix())

    def entropy_rate(self):
        """Nats a symbol of the chain itself: -sum_i pi_i sum_j P_ij log P_ij."""
        P, pi = self.transition_matrix(), self.stationary()
        return float(-(pi[:, None] * P * np.log(np.where(P > 0, P, 1))).sum())


def _look_up(sorted_keys, keys, first, second):
    """The two values of each key, 0 where it is not among the sorted ones."""
    if not len(sorted_keys):
        return np.zeros(len(keys)), np.zeros(len(keys))
    place = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    hit = sorted_keys[place] == keys
    return np.where(hit, first[place], 0), np.where(hit, second[place], 0)


def stationary(P):
    """(V,) the distribution with pi = pi P, for a transition matrix P (V, V) with one closed class."""
    V = len(P)
    A = np.vstack([P.T - np.eye(V), np.ones(V)])
    pi = np.linalg.lstsq(A, np.append(np.zeros(V), 1.0), rcond=None)[0]
    pi = np.maximum(pi, 0)
    return pi / pi.sum()


def parameters(K: int) -> int:
    """Free parameters of a first-order chain of K states: (K - 1) + K (K - 1)."""
    return (K - 1) + K * (K - 1)


class MarkovTable(SequentialModel, nn.Module):
    """The first-order table as trainable scores: its maximum-likelihood values are the counts' (unsmoothed).

    Parameters  start (V,), table (V, V): scores of the next symbol, from 0 (uniform)
    """

    def __init__(self, vocab):
        super().__init__()
        self.vocab = vocab
        self.start = nn.Parameter(np.zeros(vocab, np.float32))
        self.table = nn.Parameter(np.zeros((vocab, vocab), np.float32))

    def step_log_probs(self, x):
        from fastdl.ops.shape import cat

        x = symbols(x, self.vocab, "MarkovTable")
        N, T = x.shape
        rows = self.start.reshape(1, 1, self.vocab).expand(N, 1, self.vocab)
        scores = cat([rows, F.embedding(x[:, :-1], self.table)], 1)[:, :T]  # (N, T, V)
        return -F.cross_entropy(scores.reshape(N * T, self.vocab), x.reshape(-1), reduction="none").reshape(N, T)

    def next_log_probs(self, past):
        scores = self.table.array[past[:, -1]] if past.shape[1] else np.tile(self.start.array, (len(past), 1))
        return F.log_softmax(Tensor(scores), -1).array


class GaussianAR1:
    """x_t = a x_{t-1} + b + s noise over real numbers, fitted in closed form (least squares).

    Example
    >>> m = GaussianAR1().fit(GaussianAR1(0.8, 1.0, 0.5).sample(1, 5000, seed=0))
    >>> round(m.a, 1), round(m.s, 1)
    (0.8, 0.5)
    """

    def __init__(self, a=0.0, b=0.0, s=1.0):
        self.a, self.b, self.s = float(a), float(b), float(s)

    def fit(self, x):
        """Real numbers (N, T) or (T,), T at least 2."""
        x = np.atleast_2d(np.asarray(x, np.float64))
        if x.shape[1] < 2:
            raise ValueError("GaussianAR1.fit: needs at least two steps")
        past, now = x[:, :-1].reshape(-1), x[:, 1:].reshape(-1)
        variance = past.var()
        self.a = float(((past - past.mean()) * (now - now.mean())).mean() / variance) if variance > 0 else 0.0
        self.b = float(now.mean() - self.a * past.mean())
        self.s = float(max(np.sqrt(np.mean((now - self.a * past - self.b) ** 2)), 1e-12))
        return self

    def log_prob(self, x):
        """log p(x_2 .. x_T | x_1) (N,) in nats."""
        x = np.atleast_2d(np.asarray(x, np.float64))
        z = (x[:, 1:] - self.a * x[:, :-1] - self.b) / self.s
        return (-0.5 * z**2 - math.log(self.s) - 0.5 * math.log(2 * math.pi)).sum(1)

    def sample(self, n, length, seed=None, start=0.0):
        """(n, length) real numbers that follow `start`."""
        rng = np.random.default_rng(seed)
        x, rows = np.full(n, float(start)), []
        for _ in range(length):
            x = self.a * x + self.b + self.s * rng.standard_normal(n)
            rows.append(x)
        return np.stack(rows, 1) if rows else np.empty((n, 0))

    def stationary(self):
        """(mean, standard deviation) in the long run; for |a| < 1."""
        if abs(self.a) >= 1:
            raise ValueError(f"GaussianAR1: a = {self.a:.3g}; a chain with |a| >= 1 has no stationary distribution")
        return self.b / (1 - self.a), self.s / math.sqrt(1 - self.a**2)
