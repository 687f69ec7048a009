"""A fixed span of the past: p(x_t | x_t-tau .. x_t-1), by an MLP over embeddings (neural n-gram) or causal convolutions (TDNN).

Ref  Bengio, Ducharme, Vincent, Jauvin 2003, "A Neural Probabilistic Language Model"; Waibel et al. 1989 (time-delay networks).
"""

import itertools

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.distributions.sequential import SequentialModel, symbols
from fastdl.nn import functional as F
from fastdl.nn import init


class _Span(SequentialModel, nn.Module):
    """Symbols before the first one are the extra symbol `vocab`."""

    def __init__(self, vocab, tau):
        super().__init__()
        if tau < 1 or vocab < 1:
            raise ValueError(f"{type(self).__name__}: tau and vocab must be at least 1; got tau={tau}, vocab={vocab}")
        self.vocab, self.tau = vocab, tau

    def spans(self, x):
        """(N, T, tau): the tau symbols before each of x (N, T)."""
        N, T = x.shape
        past = np.concatenate([np.full((N, self.tau), self.vocab), x[:, : max(T - 1, 0)]], 1)
        return np.lib.stride_tricks.sliding_window_view(past, self.tau, 1)[:, :T]

    def step_log_probs(self, x):
        x = symbols(x, self.vocab, type(self).__name__)
        N, T = x.shape
        scores = self.forward(self.spans(x).reshape(N * T, self.tau))
        return -F.cross_entropy(scores, x.reshape(-1), reduction="none").reshape(N, T)

    def next_log_probs(self, past):
        span = np.concatenate([np.full((len(past), self.tau), self.vocab), past], 1)[:, -self.tau :]
        return F.log_softmax(self.forward(span), -1).array


class WindowLM(_Span):
    """Embeddings of the last tau symbols side by side -> hidden layer (tanh) -> scores.

    Shapes      spans (M, tau) -> (M, vocab)
    Parameters  embedding (vocab + 1, embed), hidden (hidden, tau embed), output (vocab, hidden)

    Example
    >>> WindowLM(73, tau=4)(np.zeros((2, 4), np.int64)).shape
    (2, 73)
    """

    def __init__(self, vocab, tau=8, embed=32, hidden=256):
        super().__init__(vocab, tau)
        self.embedding = nn.Embedding(vocab + 1, embed)
        self.hidden = nn.Linear(tau * embed, hidden)
        self.output = nn.Linear(hidden, vocab)
        init.normal_(self.embedding.weight, 0.0, 0.3)

    def forward(self, spans):
        e = self.embedding(np.ascontiguousarray(spans)).flatten(1)  # (M, tau embed)
        return self.output(F.tanh(self.hidden(e)))


class TimeDelayNet(_Span):
    """Causal convolutions over time, each of width 2 and twice the dilation of the one before: a span of tau = 2^layers.

    Shapes      spans (M, tau) -> (M, vocab)
    Parameters  embedding, layers.0 .. (channels, channels, 2), output
    """

    def __init__(self, vocab, layers=3, embed=32, channels=96):
        super().__init__(vocab, 2**layers)
        self.embedding = nn.Embedding(vocab + 1, embed)
        sizes = [embed, *[channels] * layers]
        self.layers = nn.ModuleList(
            [nn.Conv1d(a, b, 2, dilation=2**i) for i, (a, b) in enumerate(itertools.pairwise(sizes))]
        )
        self.output = nn.Linear(channels, vocab)
        init.normal_(self.embedding.weight, 0.0, 0.3)

    def forward(self, spans):
        return self._over(np.ascontiguousarray(spans))[:, -1]

    def _over(self, x):
        """(M, T, vocab) for symbols (M, T + tau - 1): one pass over a whole sequence instead of one a position."""
        h = self.embedding(x).transpose(1, 2)  # (M, embed, T + tau - 1)
        for layer in self.layers:
            h = F.relu(layer(h))
        return self.output(h.transpose(1, 2))

    def step_log_probs(self, x):
        x = symbols(x, self.vocab, "TimeDelayNet")
        N, T = x.shape
        if T == 0:
            return Tensor(np.zeros((N, 0), np.float32))
        past = np.concatenate([np.full((N, self.tau), self.vocab), x[:, :-1]], 1)  # (N, tau + T - 1)
        scores = self._over(past).reshape(N * T, self.vocab)
        return -F.cross_entropy(scores, x.reshape(-1), reduction="none").reshape(N, T)
