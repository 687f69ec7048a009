"""CycleGAN between the two drawing styles of the emoji, Google's and Twitter's, unpaired: half of the names each.

Judged on test emoji, whose true counterparts are known: L1 to them. Baseline: the untranslated image.
"""

import numpy as np

from fastdl.data import emoji
from fastdl.models.cyclegan import CycleGAN
from fastdl.recipes import _generative
from fastdl.recipes._samples import emoji_styles

EPOCHS = 2
SETTINGS = {"ngf": 16, "blocks": 3, "lr": 4e-4, "batch_size": 4}


def build(settings):
    return CycleGAN(3, settings["ngf"], blocks=settings["blocks"], d_layers=2)


def learn(model, epochs, seed, settings, keep):
    google, twitter = emoji_styles(emoji().train)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(google))
    half = len(order) // 2
    return model.fit(
        google[order[:half]],
        twitter[order[half:]],  # other emoji: no pair is in both halves
        steps=epochs * (half // settings["batch_size"]),
        batch_size=settings["batch_size"],
        lr=settings["lr"],
        seed=seed,
        keep=keep,
    )


def translate(model, x, to="b"):
    """Drawings (N, 3, 32, 32) in -1..1 in the style "a" (Google's) or "b" (Twitter's)."""
    return model.translate(x, to)


def pictures(model, n, seed, settings):
    google, _ = emoji_styles(emoji().test)
    return _generative.beside(google, lambda x: translate(model, x).array, n, seed)


def judge(model, seed, settings):
    google, twitter = emoji_styles(emoji().test)
    moved = model.translate(google).array
    metrics = {
        "L1 to the true Twitter drawing": float(np.abs(moved - twitter).mean()),
        "L1 there and back": float(np.abs(model.translate(moved, to="a").array - google).mean()),
    }
    return metrics, {"L1 of the untranslated drawing": float(np.abs(google - twitter).mean())}


run = _generative.runner(__name__)
