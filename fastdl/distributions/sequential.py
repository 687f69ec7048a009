"""SequentialModel: one interface for every model p(x) = prod_t p(x_t | x_1 .. x_t-1) over symbols 0 .. vocab - 1.

A model writes scores(x) (differentiable, or plain arrays) and gets log_prob, bits, sample and generation from it.
"""

import math

import numpy as np

from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.generative import GenerativeModel, seeded
from fastdl.ops.random import numpy_generator


def symbols(x, vocab, name):
    """x as an int64 array (N, T), checked; a single sequence (T,) becomes (1, T)."""
    a = np.asarray(x.array if isinstance(x, Tensor) else x)
    if a.dtype.kind == "f" and (a == np.floor(a)).all():
        a = a.astype(np.int64)
    if a.ndim not in (1, 2) or a.dtype.kind not in "iub":
        raise ValueError(f"{name}: expected integers of shape (N, T) or (T,); got {a.dtype} of shape {a.shape}")
    a = np.atleast_2d(a.astype(np.int64))
    if a.size and (a.min() < 0 or a.max() >= vocab):
        bad = a.min() if a.min() < 0 else a.max()
        raise ValueError(f"{name}: symbol {bad} is out of range for a vocabulary of {vocab}")
    return a


class SequentialModel(GenerativeModel):
    """Mixin: a model has `vocab` and writes step_log_probs, log p(x_t | past), and next_log_probs, which sampling needs."""

    density = "exact"
    vocab = 0

    def step_log_probs(self, x):
        raise NotImplementedError(f"{type(self).__name__} must define step_log_probs(x)")

    def next_log_probs(self, past):
        """log p(next symbol | past), array (N, vocab), for past (N, t)."""
        raise NotImplementedError(f"{type(self).__name__} must define next_log_probs(past)")

    def log_prob(self, x):
        """log p(x) (N,) in nats, for symbols (N, T) or (T,)."""
        return self.step_log_probs(x).sum(1)

    def bits(self, x) -> float:
        """Mean -log2 p of a symbol."""
        with no_grad():
            p = self.step_log_probs(x).array
        return -float(p.mean(dtype=np.float64)) / math.log(2)

    def sample(self, n, length, seed=None, start=None):
        """(n, length) symbols, drawn one after the other; start (n, s) or (s,) is what they follow (not returned)."""
        rng = numpy_generator(seeded(seed))
        past = np.zeros((n, 0), np.int64) if start is None else symbols(start, self.vocab, type(self).__name__)
        past = np.broadcast_to(past, (n, past.shape[1]))
        for _ in range(length):
            with no_grad():
                p = np.exp(np.asarray(self.next_log_probs(past), np.float64))
            sums = np.cumsum(p, 1)
            new = (sums <= rng.random((n, 1)) * sums[:, -1:]).sum(1)
            past = np.concatenate([past, np.minimum(new, self.vocab - 1)[:, None]], 1)
        return past[:, past.shape[1] - length :]
