"""The latent autoregressive model: h_t = g(h_t-1, x_t-1), x_t ~ p(x | h_t): a summary of the past in place of the past.

With cell "lstm" or "gru" and symbols this is the recurrent language model (Mikolov et al. 2010; Graves 2013, arXiv 1308.0850);
with real numbers and a Gaussian or mixture head, a model of continuous sequences.
"""

import math

import numpy as np

from fastdl import decoding, nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.sequential import SequentialModel, symbols
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.ops.shape import cat

CELLS = ("linear", "rnn", "relu", "gru", "lstm")


class LinearCell(nn.Module):
    """h_t = A h_t-1 + B x_t + b with no nonlinearity; called like nn.RNN with batch_first."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input, self.state = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)
        init.orthogonal_(self.state.weight)
        self.state.weight.array[...] *= 0.9  # a memory that fades
        self.hidden_size = hidden_size

    def forward(self, x, h=None):
        z, outputs = self.input(x), []
        h = Tensor(np.zeros((x.shape[0], self.hidden_size), np.float32)) if h is None else h[0]
        for t in range(x.shape[1]):
            h = z[:, t] + self.state(h)
            outputs.append(h.unsqueeze(1))
        y = cat(outputs, 1) if outputs else Tensor(np.zeros((x.shape[0], 0, self.hidden_size), np.float32))
        return y, h.unsqueeze(0)


def make_cell(cell, input_size, hidden, layers=1, dropout=0.0):
    """A recurrent layer by name, batch first."""
    if cell not in CELLS:
        raise ValueError(f"LatentAR: cell must be one of {', '.join(CELLS)}; got {cell!r}")
    if cell == "linear":
        if layers != 1:
            raise ValueError("LatentAR: layers of a linear cell collapse into one; use layers=1")
        return LinearCell(input_size, hidden)
    options = {"num_layers": layers, "batch_first": True, "dropout": dropout if layers > 1 else 0.0}
    if cell in ("rnn", "relu"):
        return nn.RNN(input_size, hidden, nonlinearity="tanh" if cell == "rnn" else "relu", **options)
    return {"gru": nn.GRU, "lstm": nn.LSTM}[cell](input_size, hidden, **options)


class LatentAR(SequentialModel, nn.Module):
    """A recurrent state and a distribution of the next element.

    head        "categorical": symbols 0 .. vocab - 1 through an embedding; "gaussian": real vectors (N, T, vocab), diagonal;
                "mixture": the same with `components` Gaussians
    Shapes      forward(x (N, T)[, state]) -> (scores of the element after each (N, T, outputs), state); the state of chunk after
                chunk makes truncated back-propagation: pass detach(state)
    Parameters  embedding (vocab, embed), rnn.* under torch's names, output (outputs, hidden)

    Example
    >>> model = LatentAR(vocab=73, cell="lstm", embed=64, hidden=192)
    >>> sum(p.numel() for p in model.parameters())
    216905
    """

    def __init__(
        self, vocab, cell="gru", head="categorical", embed=64, hidden=192, layers=1, dropout=0.0, components=5
    ):
        super().__init__()
        if head not in ("categorical", "gaussian", "mixture"):
            raise ValueError(f"LatentAR: head must be categorical, gaussian or mixture; got {head!r}")
        self.vocab, self.cell, self.head, self.components = vocab, cell, head, components
        self.config = {
            "vocab": vocab, "cell": cell, "head": head, "embed": embed, "hidden": hidden, "layers": layers,
            "dropout": dropout, "components": components,
        }  # fmt: skip
        self.embedding = nn.Embedding(vocab, embed) if head == "categorical" else nn.Linear(vocab, embed)
        self.rnn = make_cell(cell, embed, hidden, layers, dropout)
        outputs = {"categorical": vocab, "gaussian": 2 * vocab, "mixture": components * (1 + 2 * vocab)}[head]
        self.output = nn.Linear(hidden, outputs)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, state=None):
        h, state = self.states(x, state)
        return self.output(h), state

    def states(self, x, state=None):
        """(hidden states (N, T, hidden) after each element, last state)."""
        if self.head == "categorical":
            x = symbols(x, self.vocab, "LatentAR")
        elif not isinstance(x, Tensor):
            x = Tensor(np.asarray(x, np.float32))
        if x.shape[1] == 0:  # nothing is read: no states, the same last one
            return Tensor(np.zeros((x.shape[0], 0, self.config["hidden"]), np.float32)), state
        h, state = self.rnn(self.drop(self.embedding(x)), state)
        return self.drop(h), state

    # ------------------------------------------------------------------------------------------------------ probability

    def nll(self, outputs, x):
        """-log p of elements x given the outputs before each: (N, T) nats."""
        if self.head == "categorical":
            x = symbols(x, self.vocab, "LatentAR")
            N, T = x.shape
            return F.cross_entropy(outputs.reshape(N * T, self.vocab), x.reshape(-1), reduction="none").reshape(N, T)
        x = x if isinstance(x, Tensor) else Tensor(np.asarray(x, np.float32))
        D = self.vocab
        if self.head == "gaussian":
            mean, s = outputs[..., :D], outputs[..., D:].clamp(-7, 7)  # s: log variance
            return 0.5 * ((x - mean) ** 2 * (-s).exp() + s + math.log(2 * math.pi)).sum(-1)
        K = self.components
        weight = F.log_softmax(outputs[..., :K], -1)
        rest = outputs[..., K:].reshape(*outputs.shape[:-1], K, 2 * D)
        mean, s = rest[..., :D], rest[..., D:].clamp(-7, 7)
        each = -0.5 * ((x.unsqueeze(-2) - mean) ** 2 * (-s).exp() + s + math.log(2 * math.pi)).sum(-1)
        return -(weight + each).logsumexp(-1)

    def step_log_probs(self, x):
        """log p(x_t | past) (N, T); the first element is judged by the output for the zero state."""
        if self.head == "categorical":
            x = symbols(x, self.vocab, "LatentAR")
        else:
            x = np.asarray(x.array if isinstance(x, Tensor) else x, np.float32)
        first = self.output(Tensor(np.zeros((x.shape[0], 1, self.config["hidden"]), np.float32)))
        outputs = first if x.shape[1] < 2 else cat([first, self(x[:, :-1])[0]], 1)
        return -self.nll(outputs[:, : x.shape[1]], x)

    def next_log_probs(self, past):
        if self.head != "categorical":
            raise ValueError("LatentAR.next_log_probs: only a categorical head has a table of symbols; use draw")
        if past.shape[1] == 0:
            return F.log_softmax(
                self.output(Tensor(np.zeros((len(past), self.config["hidden"]), np.float32))), -1
            ).array
        return F.log_softmax(self(past)[0][:, -1], -1).array

    def draw(self, n, length, seed=None):
        """(n, length, vocab) real vectors from a gaussian or mixture head."""
        if self.head == "categorical":
            raise ValueError("LatentAR.draw: for real vectors; a categorical head has sample and generate")
        rng, D, rows, state = np.random.default_rng(seed), self.vocab, [], None
        outputs = self.output(Tensor(np.zeros((n, 1, self.config["hidden"]), np.float32)))
        with no_grad():
            for _ in range(length):
                o = outputs.array[:, -1].astype(np.float64)
                if self.head == "mixture":
                    K = self.components
                    p = decoding.probabilities(o[:, :K])
                    pick = (np.cumsum(p, 1) <= rng.random((n, 1))).sum(1).clip(max=K - 1)
                    o = o[:, K:].reshape(n, K, 2 * D)[np.arange(n), pick]
                x = o[:, :D] + np.exp(o[:, D:].clip(-7, 7) / 2) * rng.standard_normal((n, D))
                rows.append(x.astype(np.float32)[:, None])
                outputs, state = self(rows[-1], state)
        return np.concatenate(rows, 1) if rows else np.empty((n, 0, D), np.float32)

    def generate(self, prompt, max_new_tokens=100, **options):
        """Continue prompts of symbols (N, P) or (P,), P >= 1, one step of the cell a symbol; options: see decoding.decode."""
        ids = np.asarray(prompt)
        alone, ids = ids.ndim == 1, np.atleast_2d(ids)
        if ids.shape[1] == 0:
            raise ValueError("LatentAR.generate: the prompt is empty; give at least one symbol to go on from")
        was_training = self.training
        self.eval()
        try:
            with no_grad():
                session = Session(self)
                scores = session.read(ids)
                tokens = decoding.decode(session, scores, max_new_tokens, prompt=ids, **options)
        finally:
            self.train(was_training)
        return tokens[0] if alone else tokens


class Session:
    """Decoding in progress (see fastdl/decoding.py): the recurrent state."""

    def __init__(self, model):
        self.model, self.state = model, None

    def read(self, ids):
        outputs, self.state = self.model(ids, self.state)
        return outputs.array[:, -1]

    def step(self, tokens):
        return self.read(tokens[:, None])

    def reorder(self, rows):
        pick = lambda s: Tensor(s.array[:, rows])  # noqa: E731
        self.state = tuple(map(pick, self.state)) if isinstance(self.state, tuple) else pick(self.state)


def detach(state):
    """A state cut off from its past: where back-propagation stops."""
    return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


def streams(ids, batch, length):
    """Parts (inputs, targets), each (batch, length) or shorter at the end, of `batch` streams, each going on where it stopped.

    ids (T,) is cut into `batch` equal pieces that are read side by side; what does not fill them is left out.
    """
    n = (len(ids) - 1) // batch
    if n < 1:
        raise ValueError(f"streams: a text of {len(ids)} symbols cannot be cut into {batch} streams")
    x, y = ids[: n * batch].reshape(batch, n), ids[1 : n * batch + 1].reshape(batch, n)
    for start in range(0, n, length):
        yield x[:, start : start + length], y[:, start : start + length]


def bits_carried(model, ids, streams_=8, length=500) -> float:
    """Mean -log2 p of the symbols of a text (T,), the state carried along (the text in a few streams, to save time)."""
    was_training, total, count, state = model.training, 0.0, 0, None
    model.eval()
    with no_grad():
        for x, y in streams(np.asarray(ids), streams_, length):
            outputs, state = model(x, state)
            total += float(model.nll(outputs, y).array.sum(dtype=np.float64))
            count += y.size
    model.train(was_training)
    return total / count / math.log(2)


def memory_probe(model, ids, lags=(1, 2, 5, 10, 20), train=4000) -> dict:
    """{k: accuracy} with which x_{t-k+1} can be read off h_t by linear regression: what the state remembers (k = 1: the newest).

    ids (T,) symbols; the regression is fitted on the first `train` states and judged on the rest.
    """
    ids = np.asarray(ids)
    with no_grad():
        was = model.training
        model.eval()
        h = model.states(ids[None])[0].array[0].astype(np.float64)  # (T, hidden)
        model.train(was)
    h = np.concatenate([h, np.ones((len(h), 1))], 1)
    found = {}
    for k in lags:
        H, target = h[k - 1 :], ids[: len(ids) - k + 1]
        onehot = np.eye(model.vocab)[target[:train]]
        A = H[:train].T @ H[:train] + 1e-3 * np.eye(H.shape[1])
        W = np.linalg.solve(A, H[:train].T @ onehot)
        found[k] = float(((H[train:] @ W).argmax(1) == target[train:]).mean())
    return found
