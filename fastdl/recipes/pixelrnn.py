"""PixelRNN on binary 8x8 digits: two layers of Diagonal BiLSTM (or of Row LSTM), judged in nats an image on the test part.

Baselines on the same images: independent pixels, a Markov chain, a mixture of 30 coins.
"""

from fastdl.models.pixel_tables import BernoulliMixture, IndependentBernoulli, MarkovChainImage
from fastdl.models.pixelrnn import PixelRNN
from fastdl.recipes import _generative
from fastdl.recipes._samples import binary_digits

EPOCHS = 24
SETTINGS = {"kind": "diagonal", "layers": 2, "h": 24, "lr": 4e-3, "weight_decay": 0.1}


def build(settings):
    return PixelRNN(settings["kind"], settings["layers"], settings["h"], maps=32, first=5)


def learn(model, epochs, seed, settings, keep):
    x, validate, _ = binary_digits(8)
    x, validate = (a.reshape(-1, 1, 8, 8) for a in (x, validate))
    return model.fit(x, epochs, settings["lr"], settings["weight_decay"], seed=seed, validation=validate, keep=keep)


def pictures(model, n, seed, settings):
    return model.sample(n, seed, size=8).array


def judge(model, seed, settings):
    x, _, test = binary_digits(8)
    baselines = {
        "independent pixels": IndependentBernoulli(64).fit(x).mean_nll(test),
        "Markov chain": MarkovChainImage(64, 1).fit(x).mean_nll(test),
        "mixture of 30 coins": BernoulliMixture(64, 30).fit(x).mean_nll(test),
    }
    return {"nats an image": model.mean_nll(test.reshape(-1, 1, 8, 8))}, baselines


run = _generative.runner(__name__)
