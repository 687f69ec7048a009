"""A GAN of dense layers, 64-256-512-784, on MNIST 5k: 1,000 samples judged by distance, score, coverage and novelty.

Baseline: a full-covariance Gaussian of the pixels. Samples come from the generator in evaluation mode; the distance in training
mode (batch norm with the statistics of the batch) is reported beside it.
"""

from fastdl.models.gan import gan_small
from fastdl.recipes import _generative
from fastdl.recipes._adversarial import judge, learn, pictures  # noqa: F401  (parts of this recipe, see _generative.py)

EPOCHS = 48
DATA = ("mnist",)
SETTINGS = {"data": "mnist", "loss": "nonsaturating", "g_lr": 4e-4, "d_lr": 2e-4}


def build(settings):
    return gan_small()


run = _generative.runner(__name__)
