"""Progressive GAN from 4x4 to 32x32 on MNIST 5k (padded to 32), or in colour on emoji (--data emoji): WGAN-GP, 1,000 samples of
the averaged generator judged by Frechet distance, classifier score and novelty.

Baselines: a full-covariance Gaussian of the pixels; for emoji also real images. An epoch is once through the images at every
one of the four sizes, those that fade in apart from those that stay.
"""

import numpy as np

from fastdl.models.progressive_gan import ProgressiveGAN, sliced_wasserstein
from fastdl.recipes import _adversarial, _generative
from fastdl.recipes._adversarial import DATA  # noqa: F401

EPOCHS = {"mnist": 2, "emoji": 2}
SETTINGS = {"data": "mnist", "fmap_base": 512, "fmap_max": 32, "lr": 2e-3, "batch_size": 16, "ema": 0.99}


def build(settings):
    channels = 1 if settings["data"] == "mnist" else 3
    return ProgressiveGAN(32, channels, settings["fmap_base"], settings["fmap_max"])


def images(settings):
    """(train, test) at 32x32 in 0..1."""
    parts = _adversarial.images(settings)
    return parts if settings["data"] == "emoji" else tuple(np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))) for x in parts)


def learn(model, epochs, seed, settings, keep):
    train, _ = images(settings)
    return model.fit(
        train * 2 - 1, epochs * len(train), settings["batch_size"], settings["lr"], ema=settings["ema"], seed=seed, keep=keep
    )  # fmt: skip


def pictures(model, n, seed, settings):
    return ((model.sample(n, seed).array + 1) / 2).clip(0, 1)


def judge(model, seed, settings):
    samples = pictures(model, 1000, 1, settings)
    train, test = images(settings)
    middle = samples if settings["data"] == "emoji" else samples[:, :, 2:30, 2:30]
    metrics, baselines = _adversarial.judgement(middle, settings)
    for name, target, value in (("", metrics, samples), ("real training images, ", baselines, train)):
        for side, apart in zip((32, 16), sliced_wasserstein(value[: len(test)], test), strict=True):
            target[f"{name}sliced Wasserstein distance at {side}x{side}"] = apart
    return metrics, baselines


run = _generative.runner(__name__)
