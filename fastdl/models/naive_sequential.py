"""The naive sequential model: every conditional p(x_t | x_1 .. x_t-1) sees the whole past, so its input grows with t.

FullyVisibleBeliefNet   a logistic regression of its own for every position: n (n + 1) / 2 parameters for n binary symbols
BagOfPast               the past as the sum of embeddings, one network for all positions

Ref  Frey, Hinton, Dayan 1996, "Does the wake-sleep algorithm produce good density estimators?" (fully visible belief networks)
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.distributions.sequential import SequentialModel, symbols
from fastdl.nn import functional as F
from fastdl.nn import init


class FullyVisibleBeliefNet(SequentialModel, nn.Module):
    """p(x_t = 1 | past) = sigmoid(b_t + sum_{s<t} w_ts x_s) for n binary symbols in a fixed order.

    Shapes      x (N, n) of 0 and 1
    Parameters  weight (n (n - 1) / 2,): the rows of the strictly lower triangle one after the other; bias (n,); both start 0

    Example
    >>> sum(p.numel() for p in FullyVisibleBeliefNet(64).parameters())
    2080
    """

    vocab = 2

    def __init__(self, n):
        super().__init__()
        if n < 1:
            raise ValueError(f"FullyVisibleBeliefNet: needs at least one variable; got {n}")
        self.n = n
        self.weight = nn.Parameter(np.zeros(n * (n - 1) // 2, np.float32))
        self.bias = nn.Parameter(np.zeros(n, np.float32))
        place = np.full((n, n), n * (n - 1) // 2)  # where row t finds w_ts; a zero for s >= t
        place[np.tril_indices(n, -1)] = np.arange(n * (n - 1) // 2)
        self._place = place

    def scores(self, x):
        """(N, n) log odds of every symbol given the ones before it."""
        from fastdl.ops.shape import cat

        matrix = cat([self.weight, Tensor(np.zeros(1, np.float32))])[Tensor(self._place)]  # (n, n)
        return F.linear(Tensor(x.astype(np.float32)), matrix, self.bias)

    def step_log_probs(self, x):
        x = symbols(x, 2, "FullyVisibleBeliefNet")
        if x.shape[1] != self.n:
            raise ValueError(f"FullyVisibleBeliefNet: expected {self.n} symbols a row; got shape {x.shape}")
        target = Tensor(x.astype(np.float32))
        return -F.binary_cross_entropy_with_logits(self.scores(x), target, reduction="none")

    def next_log_probs(self, past):
        t = past.shape[1]
        if t >= self.n:
            raise ValueError(f"FullyVisibleBeliefNet: has {self.n} variables; there is no next one")
        row = self.weight.array[t * (t - 1) // 2 : t * (t + 1) // 2]
        z = (past @ row.astype(np.float64) if t else 0.0) + np.full(len(past), self.bias.array[t], np.float64)
        return np.stack([-np.logaddexp(0, z), -np.logaddexp(0, -z)], 1)

    def sample(self, n, length=None, seed=None, start=None):
        """n rows of all variables, one after the other in their order."""
        return super().sample(n, self.n if length is None else length, seed, start)


class BagOfPast(SequentialModel, nn.Module):
    """softmax(W tanh(V sum_{s<t} e(x_s) / sqrt(t) + U e(x_t-1))): the whole past at a fixed size, its order forgotten.

    Shapes      x (N, T) symbols
    Parameters  embedding (vocab + 1, embed) (the last row stands before the first symbol), past, last, output
    """

    def __init__(self, vocab, embed=32, hidden=128):
        super().__init__()
        self.vocab = vocab
        self.embedding = nn.Embedding(vocab + 1, embed)
        self.past, self.last = nn.Linear(embed, hidden), nn.Linear(embed, hidden, bias=False)
        self.output = nn.Linear(hidden, vocab)
        init.normal_(self.embedding.weight, 0.0, 0.3)

    def scores(self, before):
        """(N, T, vocab) scores of what follows each of the symbols (N, T)."""
        e = self.embedding(before)  # (N, T, embed)
        steps = np.sqrt(np.arange(1, before.shape[1] + 1, dtype=np.float32))[:, None]
        return self.output(F.tanh(self.past(e.cumsum(1) / Tensor(steps)) + self.last(e)))

    def step_log_probs(self, x):
        x = symbols(x, self.vocab, "BagOfPast")
        N, T = x.shape
        before = np.concatenate([np.full((N, 1), self.vocab), x[:, :-1]], 1)[:, :T]
        scores = self.scores(before).reshape(N * T, self.vocab)
        return -F.cross_entropy(scores, x.reshape(-1), reduction="none").reshape(N, T)

    def next_log_probs(self, past):
        before = np.concatenate([np.full((len(past), 1), self.vocab), past], 1)
        return F.log_softmax(self.scores(before)[:, -1], -1).array
