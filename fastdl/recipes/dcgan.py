"""DCGAN at 28x28 on MNIST 5k, or at 32x32 in colour on emoji (--data emoji): 1,000 samples judged by Frechet distance, classifier
score, coverage and novelty.

Baseline: a full-covariance Gaussian of the pixels. Samples come from the generator in evaluation mode; the distance in training
mode (batch norm with the statistics of the batch) is reported beside it.
"""

from fastdl.models.dcgan import DCGAN
from fastdl.recipes import _generative
from fastdl.recipes._adversarial import DATA, judge, learn, pictures  # noqa: F401  (parts of this recipe, see _generative.py)

EPOCHS = {"mnist": 16, "emoji": 25}
SETTINGS = {
    "data": "mnist", "loss": "nonsaturating", "latent": 64, "ngf": 64, "ndf": 32, "g_lr": 5e-4, "d_lr": 2e-4,
    "augment": True,
}  # fmt: skip


def build(settings):
    size, channels = (28, 1) if settings["data"] == "mnist" else (32, 3)
    return DCGAN(size, channels, settings["latent"], settings["ngf"], settings["ndf"])


run = _generative.runner(__name__)
