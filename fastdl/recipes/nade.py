"""NADE on binary MNIST 5k: 3,600 images to learn from, 400 to choose the epoch by, 1,000 to be judged on, in nats an image.

Baselines on the same images: independent pixels, a Markov chain, a mixture of 30 coins.
"""

from fastdl.models.nade import NADE
from fastdl.models.pixel_tables import BernoulliMixture, IndependentBernoulli, MarkovChainImage
from fastdl.recipes import _generative
from fastdl.recipes._samples import binary_digits

EPOCHS = 30
SETTINGS = {"hidden": 200, "lr": 3e-3, "weight_decay": 0.3}


def build(settings):
    return NADE(784, settings["hidden"])


def learn(model, epochs, seed, settings, keep):
    x, validate, _ = binary_digits()
    return model.fit(x, epochs, settings["lr"], settings["weight_decay"], seed=seed, validation=validate, keep=keep)


def pictures(model, n, seed, settings):
    return model.sample(n, seed).array.reshape(-1, 1, 28, 28)


def judge(model, seed, settings):
    x, _, test = binary_digits()
    baselines = {
        "independent pixels": IndependentBernoulli(784).fit(x).mean_nll(test),
        "Markov chain": MarkovChainImage(784, 1).fit(x).mean_nll(test),
        "mixture of 30 coins": BernoulliMixture(784, 30).fit(x).mean_nll(test),
    }
    return {"nats an image": model.mean_nll(test)}, baselines


run = _generative.runner(__name__)
