"""Lecture 8, DALL-E (entry 101): captions of MNIST digits to images, by a discrete VAE and a transformer."""

import numpy as np

from fastdl.data import mnist5k
from fastdl.gates import Claim, gate
from fastdl.metrics.digit_classifier import digit_features, digit_frechet_distance
from fastdl.models.dalle import DALLE, DiscreteVAE
from fastdl.nn.utils import clip_grad_norm_
from fastdl.optim import Adam

STROKES, SLANTS = ("thin", "medium", "thick"), ("left", "upright", "right")
DIGITS = "zero one two three four five six seven eight nine".split()
WORDS = ("<pad>", "a", *STROKES, *SLANTS, *DIGITS)


def _slant(images):
    """Horizontal shift of the ink for each row that one goes up."""
    rows, columns = np.mgrid[:28, :28]
    ink = images / images.sum((1, 2), keepdims=True)
    my, mx = (ink * rows).sum((1, 2)), (ink * columns).sum((1, 2))
    dy, dx = rows[None] - my[:, None, None], columns[None] - mx[:, None, None]
    return -(ink * dx * dy).sum((1, 2)) / (ink * dy**2).sum((1, 2))


def _captions(images, labels, bounds=None):
    """Tokens (N, 4) of "a thick right seven", and the bounds of the attributes, which come from the training images."""
    ink, slant = images.mean((1, 2)), _slant(images)
    bounds = bounds or (np.quantile(ink, (1 / 3, 2 / 3)), np.quantile(slant, (1 / 3, 2 / 3)))
    stroke, lean = (np.searchsorted(b, x) for b, x in zip(bounds, (ink, slant), strict=True))
    return np.stack([np.full(len(ink), 1), 2 + stroke, 5 + lean, 8 + labels], 1), bounds


def caption(text) -> np.ndarray:
    """Tokens (1, 4) of a caption such as "a thick upright seven"."""
    return np.array([[WORDS.index(w) for w in text.split()]])


def _vae(vocab):
    return DiscreteVAE(1, vocab=vocab, hidden=16, groups=3, n_blocks=1, init=32, likelihood="normal")


def _train_vae(x, steps, batch, vocab, rng):
    vae = _vae(vocab)
    vae.encoder.blocks.output.conv.w.array[...] *= 3  # codes that differ from the first step on
    optimizer = Adam(vae.parameters(), lr=4e-3)
    for step in range(steps):
        part = step / steps
        optimizer.param_groups[0]["lr"] = 4e-3 * min(1.0, 2 * (1 - part) + 0.02)
        temperature = max(1 / 16, (1 / 16) ** (part / 0.8))
        loss, _ = vae.loss(x[rng.integers(0, len(x), batch)], temperature, 0.0, usage_weight=0.5)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
    return vae


def _perplexity(codes, vocab):
    p = np.bincount(codes.reshape(-1), minlength=vocab) / codes.size
    return float(np.exp(-(p[p > 0] * np.log(p[p > 0])).sum()))


def _encode(vae, x):
    return np.concatenate([vae.encode(x[i : i + 250]) for i in range(0, len(x), 250)])


@gate(entry=101, name="dalle_digits")
def dalle_digits(seed=0, smoke=False):
    "A discrete VAE (32 codes, 7 x 7 places) and a transformer over captions and codes of MNIST 5k."
    train, test = mnist5k()
    x, y, tx, ty = (np.asarray(t.array) for part in (train, test) for t in part.tensors)
    rng, vocab = np.random.default_rng(seed), 32
    vae = _train_vae(x, 12 if smoke else 400, 16 if smoke else 32, vocab, rng)
    mean_error = float(((tx - x.mean(0)) ** 2).mean())
    judged = tx[:200] if smoke else tx
    codes = _encode(vae, judged)
    error = float(((vae.decode(codes) - judged) ** 2).mean())
    if smoke:
        start = float(((_vae(vocab).decode(codes) - judged) ** 2).mean())
        captions, _ = _captions(judged[:, 0], ty[:200])
        drawn = DALLE(len(WORDS), vocab, 4, 7, 32, 1).generate(captions[:2])
        return [
            Claim("squared error of reconstructions", error, "<", start, ("weights before training", start)),
            Claim("codes drawn for a caption", drawn[0].size, "==", 49),
        ]
    learn_codes = _encode(vae, x)
    captions, bounds = _captions(x[:, 0], y)
    test_captions, _ = _captions(tx[:, 0], ty, bounds)
    prior = DALLE(len(WORDS), vocab, 4, 7, d=96, layers=3, heads=4)
    optimizer, steps = Adam(prior.parameters(), lr=2e-3), 600
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * min(1.0, 2 * (1 - step / steps) + 0.02)
        rows = rng.integers(0, len(x), 32)
        loss = prior.loss(captions[rows], learn_codes[rows])
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(prior.parameters(), 1.0)
        optimizer.step()
    prior.eval()
    nll = np.mean(
        [prior.image_nll(test_captions[i : i + 250], codes[i : i + 250]).array.mean() for i in range(0, 1000, 250)]
    )
    unigram, chain = _baselines(learn_codes.reshape(-1, 49), codes.reshape(-1, 49), vocab)
    drawn = prior.generate(test_captions, top_p=0.95)
    samples = np.concatenate([vae.decode(drawn[i : i + 250]) for i in range(0, 1000, 250)])
    accuracy = float((digit_features(samples)[1].argmax(1) == ty).mean())
    return [
        Claim("squared error of reconstructions", error, "<=", 0.4 * mean_error, ("mean image", mean_error)),
        Claim("perplexity of the codes used", _perplexity(codes, vocab), ">=", 0.3 * vocab, ("collapsed", 1.0)),
        Claim("nats an image token", float(nll), "<=", 0.85 * unigram, ("counts at each place", unigram)),
        Claim("nats an image token, beside a chain", float(nll), "<", chain, ("chain of order 1", chain)),
        Claim("samples that show their caption's digit", accuracy, ">=", 0.60, ("chance", 0.1)),
        Claim("Frechet distance of samples", digit_frechet_distance(samples), "<", 655, ("full Gaussian", 655.0)),
    ]


def _baselines(train, test, vocab):
    """Nats a token of counts at each place, and of a chain (the token given the one before it), both smoothed by one."""
    place = np.ones((49, vocab))
    np.add.at(place, (np.tile(np.arange(49), len(train)), train.reshape(-1)), 1)
    place /= place.sum(1, keepdims=True)
    table = np.ones((vocab, vocab))
    np.add.at(table, (train[:, :-1].reshape(-1), train[:, 1:].reshape(-1)), 1)
    table /= table.sum(1, keepdims=True)
    unigram = -np.log(place[np.arange(49), test]).mean()
    chain = -(np.log(place[0, test[:, 0]]).sum() + np.log(table[test[:, :-1], test[:, 1:]]).sum()) / test.size
    return float(unigram), float(chain)
