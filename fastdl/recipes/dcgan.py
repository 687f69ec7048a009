"""DCGAN at 28x28 on MNIST 5k: 1,000 samples judged by Frechet distance, classifier score, coverage and novelty.

Baseline: a full-covariance Gaussian of the pixels. Samples come from the generator in evaluation mode; the distance in training
mode (batch norm with the statistics of the batch) is reported beside it.
"""

import sys

from fastdl.autograd import no_grad
from fastdl.metrics import digit_frechet_distance
from fastdl.models.dcgan import DCGAN
from fastdl.recipes import _generative
from fastdl.recipes._samples import digits_in_0_1, gaussian_distance, judge_digits

EPOCHS = 16
SETTINGS = {"loss": "nonsaturating", "latent": 64, "ngf": 64, "ndf": 32, "g_lr": 5e-4, "d_lr": 2e-4}


def build(settings):
    return DCGAN(28, 1, settings["latent"], settings["ngf"], settings["ndf"])


def learn(model, epochs, seed, settings):
    train, _ = digits_in_0_1()
    rates = {name: settings[name] for name in ("loss", "g_lr", "d_lr")}
    return model.fit(train * 2 - 1, steps=epochs * (len(train) // 64), seed=seed, **rates)


def pictures(model, n, seed):
    return (model.sample(n, seed).array.reshape(-1, 1, 28, 28) + 1) / 2


def judge(model, seed):
    train, test = digits_in_0_1()
    metrics = judge_digits(pictures(model, 1000, 1), train, test)
    model.generator.train()
    with no_grad():
        in_training_mode = model.generator(model.latent(1000)).array.reshape(-1, 1, 28, 28)
    model.generator.eval()
    metrics["frechet distance, batch norm in training mode"] = digit_frechet_distance((in_training_mode + 1) / 2, test)
    return metrics, {"full-covariance Gaussian, frechet distance": gaussian_distance(train, test)}


def run(
    out="runs/dcgan", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True, **settings
) -> dict:
    """Train, judge, write weights, history and grids of samples to `out`. settings: see SETTINGS."""
    return _generative.run(sys.modules[__name__], "dcgan", out, epochs, seed, resume, progress, settings)
