"""Lecture 7, recurrent networks (entries 85 to 89)."""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.gates import Claim, gate
from fastdl.gates._text import bible, chain_bits, rows_of_digits, train_recurrent_lm
from fastdl.gates.lecture7_sequences import TABLE
from fastdl.models.latent_ar import LatentAR, bits_carried, memory_probe
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.nn.gradient_flow import gradient_flow, lstm_gradient_flow, with_spectral_radius
from fastdl.nn.utils import clip_grad_norm_
from fastdl.optim import Adam
from fastdl.random import manual_seed

RATES = (2e-3, 4e-3, 8e-3)


def _fresh_state(cell, hidden, vocab, seed):
    """A language model, its state at the usual start of its kind: an LSTM's forget bias 1, a tanh RNN's matrix orthogonal."""
    manual_seed(seed)
    model = LatentAR(vocab, cell, embed=64, hidden=hidden)
    if cell == "lstm":
        model.rnn.bias_ih_l0.array[hidden : 2 * hidden] = 1
    elif cell == "rnn":
        init.orthogonal_(model.rnn.weight_hh_l0)
    return model


def _best_rate(cell, hidden, vocab, seed, train, steps):
    """The rate of RATES whose short training leaves the fewest bits on the last 20,000 training characters, kept out of it."""
    learn, judged, bits = train[:-20_000], train[-20_000:], {}
    for rate in RATES:
        model = _fresh_state(cell, hidden, vocab, seed)
        train_recurrent_lm(model, learn, steps, 32, 50, rate)
        bits[rate] = bits_carried(model, judged)
    return min(bits, key=bits.get)


@gate(entry=85, name="latent_autoregressive")
def latent_autoregressive(seed=0, smoke=False):
    """Linear (64), tanh (192) and LSTM (192) states over King James characters: held-out bits, and what a state remembers.

    The same effort for each: three rates (2e-3, 4e-3, 8e-3), 150 steps with each, judged on training characters set aside; then
    1,000 steps with the best. Each starts as its kind does: linear and tanh with orthogonal matrices, LSTM with forget bias 1.
    """
    tokenizer, train, test = bible()
    vocab, steps = len(tokenizer), 20 if smoke else 1000
    judged = test[:2000] if smoke else test[:20_000]
    base = chain_bits(train, judged, vocab, 1)
    found = {}
    for cell, hidden in (("lstm", 192),) if smoke else (("linear", 64), ("rnn", 192), ("lstm", 192)):
        rate = 6e-3 if smoke else _best_rate(cell, hidden, vocab, seed, train, 150)
        model = _fresh_state(cell, hidden, vocab, seed)
        train_recurrent_lm(model, train, steps, 32, 50, rate)
        found[cell] = bits_carried(model, judged)
        if cell == "rnn" or smoke:
            probe = memory_probe(model, judged[: 1900 if smoke else 8000], (1, 3, 10), 1400 if smoke else 5000)
    if smoke:
        return [
            Claim("bits a character, LSTM", found["lstm"], "<=", 4.4, ("order 0", TABLE[0])),
            Claim("newest symbol read off the state", probe[1], ">=", 0.8, ("10 steps back", probe[10])),
        ]
    return [
        Claim("bits a character, linear state", found["linear"], "<", base, ("chain of order 1", base)),
        Claim("bits a character, tanh state", found["rnn"], "<", found["linear"], ("linear state", found["linear"])),
        Claim("bits a character, LSTM state", found["lstm"], "<", found["rnn"], ("tanh state", found["rnn"])),
        Claim("newest symbol read off the state", probe[1], ">=", 0.95, ("10 steps back", probe[10])),
        Claim("symbol of 3 steps back", probe[3], "<", probe[1], ("10 steps back", probe[10])),
        Claim("symbol of 10 steps back", probe[10], "<", probe[3], ("3 steps back", probe[3])),
    ]


class _Rows(nn.Module):
    """A recurrent layer over the rows of an image and a linear layer on its last state."""

    def __init__(self, layer):
        super().__init__()
        self.rnn, self.output = layer, nn.Linear(layer.hidden_size, 10)

    def forward(self, x):
        return self.output(self.rnn(x)[0][:, -1])


def _digit_rows(layer, seed, epochs, limit=None, lr=2e-3, batch=50):
    x, y, tx, ty = rows_of_digits()
    x, y = (x[:limit], y[:limit]) if limit else (x, y)
    model, rng = _Rows(layer), np.random.default_rng(seed)
    optimizer = Adam(model.parameters(), lr=lr)
    steps = epochs * (len(x) // batch)
    for step in range(steps):
        if step % (len(x) // batch) == 0:
            order = rng.permutation(len(x))
        rows = order[(step % (len(x) // batch)) * batch :][:batch]
        optimizer.param_groups[0]["lr"] = lr * min(1.0, 2 * (1 - step / steps) + 0.05)
        loss = F.cross_entropy(model(Tensor(x[rows])), y[rows])
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with no_grad():
        return float((model(Tensor(tx)).array.argmax(1) == ty).mean())


def _row_claim(layer, seed, smoke, bound, epochs, lr=2e-3, least=0.4):
    if smoke:
        accuracy = _digit_rows(layer, seed, 2, 2000, lr=2.5 * lr, batch=20)
        return Claim("accuracy, rows of MNIST 5k, two passes of half", accuracy, ">=", least, ("chance", 0.1))
    accuracy = _digit_rows(layer, seed, epochs, lr=lr)
    return Claim("accuracy, rows of MNIST 5k", accuracy, ">=", bound, ("logistic regression on all pixels", 0.906))


@gate(entry=86, name="rnn")
def rnn(seed=0, smoke=False):
    "A tanh RNN (128) reads the 28 rows of an MNIST 5k digit; test accuracy."
    layer = nn.RNN(28, 128, batch_first=True)
    count = sum(p.numel() for p in nn.RNN(10, 20).parameters())
    return [_row_claim(layer, seed, smoke, 0.89, 40, 1e-3, 0.2), Claim("parameters of RNN(10, 20)", count, "==", 640)]


@gate(entry=87, name="vanishing_gradient")
def vanishing_gradient(seed=0, smoke=False):
    """Gradients of the last state with respect to earlier ones over 50 steps: sigmoid, ReLU and LSTM; clipping.

    All recurrent matrices are random with spectral radius 1 (ReLU 1.5), in the LSTM every gate's; tanh, ReLU and LSTM get
    inputs of a tenth. With torch's initial weights (radius 0.58) and inputs of 1, forget bias 1 keeps about 1e-5 only:
    a gate of s(1) = 0.73 fades too.
    """
    one, more = with_spectral_radius(64, 1.0, seed), with_spectral_radius(64, 1.5, seed)
    sigmoid = gradient_flow(one, 50, "sigmoid", seed=seed)
    relu = gradient_flow(more * np.sqrt(2), 50, "relu", scale=0.1, seed=seed)  # ReLU halves the variance
    tanh = gradient_flow(one, 50, "tanh", scale=0.1, seed=seed)
    lstm = lstm_gradient_flow(64, 50, 1.0, seed=seed, radius=1.0, scale=0.1)
    fresh, wide = (lstm_gradient_flow(64, 50, bias, seed=seed) for bias in (1.0, 3.0))
    lost, kept, small, open_ = (flow[0] / flow[-1] for flow in (sigmoid, lstm, fresh, wide))
    bound = 0.25 * np.linalg.norm(one, 2)
    factors = sigmoid[:-1] / np.maximum(sigmoid[1:], 1e-300)
    p = nn.Parameter(np.zeros(3, np.float32))
    p.grad = Tensor(np.array([3.0, 4.0, 12.0], np.float32))
    clip_grad_norm_([p], 1.0)
    return [
        Claim("sigmoid, gradient at step 0 over step 50", lost, "<", 1e-10, ("LSTM", kept)),
        Claim("sigmoid, largest factor of a step", factors.max(), "<=", bound),
        Claim("ReLU with radius 1.5, gradient at step 0 over step 50", relu[0] / relu[-1], ">", 1e4),
        Claim("tanh, gradient at step 0 over step 50", tanh[0] / tanh[-1], "<", 1.0),
        Claim("LSTM with forget bias 1, at least", kept, ">=", 1e-3, ("sigmoid", lost)),
        Claim("LSTM with forget bias 1, at most", kept, "<=", 1e3),
        Claim("LSTM with torch's weights, forget bias 3, at least", open_, ">=", 1e-3, ("forget bias 1", small)),
        Claim("LSTM with torch's weights, forget bias 3, at most", open_, "<=", 1e3),
        Claim("norm of a clipped gradient", float(np.linalg.norm(p.grad.array)), "<=", 1.0001),
    ]


def _bible_lm(cell, seed, smoke, bound, steps):
    tokenizer, train, test = bible()
    judged = test[:3000] if smoke else test
    model = LatentAR(len(tokenizer), cell, embed=64, hidden=192)
    train_recurrent_lm(model, train, 12 if smoke else steps, 32, 60 if smoke else 100, 5e-3 if smoke else 3e-3)
    bits = bits_carried(model, judged)
    if smoke:
        return Claim("bits a character after 12 steps", bits, "<=", 4.6, ("uniform", float(np.log2(len(tokenizer)))))
    return Claim(
        "bits a character", bits, "<=", bound, ("counts of 2 characters", chain_bits(train, test, len(tokenizer), 2))
    )


@gate(entry=88, name="lstm")
def lstm(seed=0, smoke=False):
    "An LSTM (192) as a language model of King James characters, and over the rows of MNIST 5k digits."
    count = sum(p.numel() for p in nn.LSTM(10, 20).parameters())
    return [
        _bible_lm("lstm", seed, smoke, 2.30, 900),
        _row_claim(nn.LSTM(28, 128, batch_first=True), seed, smoke, 0.94, 12),
        Claim("parameters of LSTM(10, 20)", count, "==", 2560),
    ]


@gate(entry=89, name="gru")
def gru(seed=0, smoke=False):
    "A GRU (192) on King James characters and on the rows of MNIST 5k digits; the lecture's form beside torch's."
    from fastdl.nn.rnn_lecture import LectureGRU, to_lecture

    rng = np.random.default_rng(seed)
    lecture, layer = LectureGRU(10, 20), nn.GRU(10, 20, bias=False)
    x = Tensor(rng.standard_normal((7, 3, 10)).astype(np.float32))
    to_lecture(layer, lecture)
    apart = np.abs(lecture(x)[0].array - layer(x)[0].array).max()  # z agrees, the place of the reset does not
    to_lecture(layer, lecture, reset=False)
    same = np.abs(lecture(x)[0].array - _without_reset(layer, x)).max()
    return [
        _bible_lm("gru", seed, smoke, 2.35, 600),
        _row_claim(nn.GRU(28, 128, batch_first=True), seed, smoke, 0.94, 12),
        Claim(
            "parameters of GRU(10, 20), torch's form", sum(p.numel() for p in nn.GRU(10, 20).parameters()), "==", 1920
        ),
        Claim(
            "parameters of GRU(10, 20), the lecture's form", sum(p.numel() for p in lecture.parameters()), "==", 1800
        ),
        Claim("the two forms differ with the same weights by", float(apart), ">=", 1e-4),
        Claim("... and agree without the reset gate to", float(same), "<=", 1e-5),
    ]


def _without_reset(layer, x):
    """Outputs of torch's form with r = 1, step by step."""
    w, u = layer.weight_ih_l0.array, layer.weight_hh_l0.array
    H = layer.hidden_size
    h, rows = np.zeros((x.shape[1], H), np.float32), []
    for t in range(x.shape[0]):
        v, s = x.array[t] @ w.T, h @ u.T
        z = 1 / (1 + np.exp(-(v + s)[:, H : 2 * H]))
        h = (1 - z) * np.tanh(v[:, 2 * H :] + s[:, 2 * H :]) + z * h
        rows.append(h)
    return np.stack(rows)
