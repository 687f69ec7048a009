"""Lecture 3: the adaptive optimizers, Adagrad to AdamP."""

import re
from collections import Counter

import numpy as np

from fastdl import nn, optim
from fastdl.autograd import Tensor
from fastdl.data import kjv_verses
from fastdl.gates import Claim, gate
from fastdl.gates._optimizers import digits_claim, plain_gradient, small_digits
from fastdl.gates._small import accuracy, few_digits
from fastdl.gates._text import batches_for, numbers
from fastdl.kernels.optim_step import rectify
from fastdl.models import transformer
from fastdl.nn import Parameter
from fastdl.nn import functional as F
from fastdl.random import manual_seed


# --- rates of their own for every weight ------------------------------------------------------------------------------
def bags_of_words(verses, tests, seed, words=3000):
    """Which of the `words` most frequent words a verse holds (N, words), the group of its book (N,): training and test."""
    train, test = kjv_verses()
    rng = np.random.default_rng(seed)
    picks = [(half, rng.permutation(len(half.text))[:n]) for half, n in ((train, verses), (test, tests))]
    tokens = [[re.findall("[a-z]+", half.text[i].lower()) for i in chosen] for half, chosen in picks]
    counts = Counter(word for verse in tokens[0] for word in set(verse))
    places = {word: i for i, (word, _) in enumerate(counts.most_common(words))}
    out = []
    for (half, chosen), lists in zip(picks, tokens, strict=True):
        x = np.zeros((len(lists), words), np.float32)
        for row, verse in zip(x, lists, strict=True):
            row[[places[w] for w in verse if w in places]] = 1
        out += [x, np.asarray(half.group)[chosen]]
    frequency = np.array([counts[w] for w in places] + [0] * (words - len(places)))
    return *out, frequency


def fit_words(name, settings, x, y, seed, epochs=2):
    """Softmax regression on bags of words, by batches of 32."""
    manual_seed(seed)
    model = nn.Linear(x.shape[1], 6)
    model.weight.array[...] = 0
    model.bias.array[...] = 0
    optimizer = getattr(optim, name)(model.parameters(), **settings)
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for begin in range(0, len(x), 32):
            rows = order[begin : begin + 32]
            optimizer.zero_grad()
            F.cross_entropy(model(Tensor(x[rows])), Tensor(y[rows])).backward()
            optimizer.step()
    return model


@gate(entry=26, name="adagrad")
def adagrad(seed=0, smoke=False):
    """The Bible's book groups from bags of words, Adagrad beside SGD at equal epochs, each at the best of five rates; MNIST 5k."""
    claims, gains, rare_gains, levels = [], [], [], []
    for run in range(1 if smoke else 3):
        x, y, xt, yt, frequency = bags_of_words(*((800, 400) if smoke else (6000, 2000)), seed + run)
        fitted = len(x) * 4 // 5
        scores = {}
        for name, rates in (("SGD", (0.1, 0.3, 1, 3, 10)), ("Adagrad", (0.01, 0.03, 0.1, 0.3, 1))):
            if smoke:
                rates = rates[2:4]
            held = {
                lr: accuracy(fit_words(name, {"lr": lr}, x[:fitted], y[:fitted], run), x[fitted:], y[fitted:])
                for lr in rates
            }
            model = fit_words(name, {"lr": max(held, key=held.get)}, x, y, run)
            rare = xt[:, frequency < 20].sum(1) >= 2  # verses with two rare words and more
            scores[name] = accuracy(model, xt, yt), accuracy(model, xt[rare], yt[rare])
        gains.append(scores["Adagrad"][0] - scores["SGD"][0])
        rare_gains.append(scores["Adagrad"][1] - scores["SGD"][1])
        levels.append(scores["SGD"][0])
    sgd = ("SGD, per cent", float(np.mean(levels)))
    bound = -5.0 if smoke else 0.0
    claims.append(
        Claim("test accuracy of Adagrad - SGD on bags of words, points", float(np.mean(gains)), ">=", bound, sgd)
    )
    claims.append(Claim("the same on verses with rare words, points", float(np.mean(rare_gains)), ">=", bound))
    w = Parameter(np.ones(50))
    optimizer, rng, steps = optim.Adagrad([w], lr=0.1), np.random.default_rng(seed), []
    for _ in range(100):
        w.grad = Tensor(rng.standard_normal(50))
        optimizer.step()
        steps.append(0.1 / np.sqrt(optimizer.state[w]["sum"]))
    claims.append(
        Claim("largest growth of any coordinate's effective rate", float(np.diff(steps, axis=0).max()), "<=", 0)
    )
    return [*claims, digits_claim("Adagrad", seed, smoke, bound=0.94)]


@gate(entry=27, name="adadelta")
def adadelta(seed=0, smoke=False):
    """The path on softmax regression when the loss is multiplied by 1,000, beside the path when it is not; MNIST 5k.

    eps is the one number with a unit: it is small against the squared gradients here, and pixels that are (almost) always 0,
    whose gradients are not above it, are left out.
    """
    x, y, _, _ = small_digits()
    x = x[:, x.std(0) > 0.05]

    def path(scale, make):
        w = Parameter(np.zeros((10, x.shape[1])))
        optimizer, rng, points = make([w]), np.random.default_rng(seed), []
        for _ in range(100 if smoke else 300):
            rows = rng.integers(0, len(x), 32)
            w.grad = Tensor(scale * plain_gradient(w.array, x[rows], y[rows]))
            optimizer.step()
            points.append(w.array.copy())
        return points[20:]

    def apart(make):
        pairs = zip(path(1, make), path(1000, make), strict=True)
        return max(float(np.linalg.norm(a - b) / np.linalg.norm(a)) for a, b in pairs)

    sgd = ("SGD", apart(lambda p: optim.SGD(p, lr=1e-3)))
    return [
        Claim(
            "distance of the paths after 20 steps, relative",
            apart(lambda p: optim.Adadelta(p, eps=1e-10)),
            "<=",
            0.01,
            sgd,
        ),
        digits_claim("Adadelta", seed, smoke, bound=0.94),
    ]


def ravine_loss(make, steps=300):
    """1/2 w' diag(1, 1000) w from (1, 1) after so many steps."""
    curvature, w = np.array([1.0, 1000.0]), Parameter(np.ones(2))
    optimizer = make([w])
    for _ in range(steps):
        w.grad = Tensor(curvature * w.array)
        optimizer.step()
    return float(0.5 * (curvature * w.array**2).sum())


@gate(entry=28, name="rmsprop")
def rmsprop(seed=0, smoke=False):
    """A quadratic of condition 1,000, beside gradient descent at its best rate; MNIST 5k."""
    plain = ravine_loss(lambda p: optim.SGD(p, lr=2 / 1001))
    ours = ravine_loss(lambda p: optim.RMSprop(p, lr=0.01, alpha=0.9, form="lecture"))
    return [
        Claim("loss after 300 steps / that of gradient descent", ours / plain, "<=", 0.1),
        digits_claim("RMSprop", seed, smoke),
    ]


@gate(entry=29, name="adam")
def adam(seed=0, smoke=False):
    """A quadratic of condition 1,000, beside gradient descent at its best rate; both forms; MNIST 5k by Adam and AdamW."""
    plain = ravine_loss(lambda p: optim.SGD(p, lr=2 / 1001))
    ours = ravine_loss(lambda p: optim.Adam(p, lr=0.03))
    lecture = ravine_loss(lambda p: optim.Adam(p, lr=0.03, form="lecture"))
    return [
        Claim("loss after 300 steps / that of gradient descent", ours / plain, "<=", 0.1),
        Claim("both forms at eps 1e-8, relative difference of the losses", abs(lecture / ours - 1), "<=", 0.01),
        digits_claim("Adam", seed, smoke),
        digits_claim("AdamW", seed, smoke),
    ]


def without_warm_up(name, data, seed, steps, batch):
    """Training loss, mean of the last 20 steps, of a post-LN Transformer from number words to digits at the rate 0.01.

    That is ten times the rate such a net takes with Adam; no warm-up, no clipping.
    """
    manual_seed(seed)
    source, target = data.vocabularies
    model = transformer.Transformer(
        src_vocab=len(source), tgt_vocab=len(target), d_model=64, nhead=4, num_encoder_layers=2, num_decoder_layers=2,
        dim_feedforward=256, dropout=0.0, norm_first=False, shared="output", max_len=128,
    )  # fmt: skip
    optimizer, losses = getattr(optim, name)(model.parameters(), lr=1e-2), []
    for src, tgt in batches_for(data, steps, batch, np.random.default_rng(seed)):
        loss = transformer.loss(model(src, tgt[:, :-1]), tgt[:, 1:], 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses[-20:]))


@gate(entry=30, name="radam")
def radam(seed=0, smoke=False):
    """When the adaptive step sets in; a post-LN Transformer at ten times its rate, no warm-up, by Adam and by RAdam; MNIST 5k."""
    worked = {6: 0.0258, 10: 0.0490, 100: 0.215, 1000: 0.645}
    apart = max(abs(rectify(t, 0.999) / r - 1) for t, r in worked.items())
    first = {
        threshold: next(t for t in range(1, 20) if rectify(t, 0.999, threshold) is not None) for threshold in (4, 5)
    }
    claims = [
        Claim("first rectified step, threshold 4", first[4], "==", 5),
        Claim("first rectified step, threshold 5", first[5], "==", 6),
        Claim("rectification at steps 6, 10, 100, 1000, relative to the worked values", apart, "<=", 3e-3),
        digits_claim("RAdam", seed, smoke),
    ]
    data, _ = numbers("en", 1000 if smoke else 8000, 60)
    size = (60, 8) if smoke else (240, 32)
    runs = [
        [without_warm_up(name, data, seed + run, *size) for name in ("Adam", "RAdam")]
        for run in range(1 if smoke else 3)
    ]
    if smoke:
        return [*claims, Claim("loss of the Transformer by RAdam / by Adam", runs[0][1] / runs[0][0], "<", 1)]
    trained = sum(ours < 1.0 <= adams for adams, ours in runs)
    medians = np.median(runs, axis=0)
    return [
        *claims,
        Claim("of 3 seeds, those where RAdam comes below a loss of 1 and Adam does not", trained, ">=", 2),
        Claim("loss of the Transformer, median", float(medians[1]), "<", 1, ("Adam", float(medians[0]))),
    ]


def normed_cnn(seed):
    """Two convolutions, each before a BatchNorm, so that the length of their weights means nothing."""
    manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def growth(name, seed, steps, x, y):
    """The length of the convolutions' weights after so many steps over that before, less 1."""
    model = normed_cnn(seed)
    weights = [model[0].weight, model[4].weight]
    before = [np.linalg.norm(w.array) for w in weights]
    optimizer = getattr(optim, name)(model.parameters(), lr=5e-3)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        rows = rng.integers(0, len(x), 32)
        optimizer.zero_grad()
        F.cross_entropy(model(Tensor(x[rows])), Tensor(y[rows])).backward()
        optimizer.step()
    return float(np.mean([np.linalg.norm(w.array) / b - 1 for w, b in zip(weights, before, strict=True)]))


@gate(entry=31, name="adamp")
def adamp(seed=0, smoke=False):
    """Convolutions before BatchNorm on MNIST 5k: how much longer Adam and AdamP make their weights; accuracy."""
    x, y, _, _ = few_digits(500 if smoke else 4000, seed)
    steps = 40 if smoke else 500
    adams = growth("Adam", seed, steps, x, y)
    ours = growth("AdamP", seed, steps, x, y)
    rng = np.random.default_rng(seed)
    w = Parameter(rng.standard_normal((32, 16, 3, 3)).astype(np.float32))
    before = w.array.astype(np.float64)
    g = rng.standard_normal(w.shape)
    g -= before * ((before * g).sum((1, 2, 3)) / (before**2).sum((1, 2, 3)))[:, None, None, None]
    w.grad = Tensor(g.astype(np.float32))
    optim.AdamP([w], lr=1.0).step()
    update = w.array - before
    cosine = (update * before).sum((1, 2, 3)) / np.sqrt((update**2).sum((1, 2, 3)) * (before**2).sum((1, 2, 3)))
    return [
        Claim("largest |cos(update, weights)|", float(np.abs(cosine).max()), "<=", 1e-6),
        Claim("growth of the weights / that by Adam", ours / adams, "<=", 1 / 3, ("Adam's growth", adams)),
        digits_claim("AdamP", seed, smoke),
        digits_claim("SGDP", seed, smoke),
    ]
