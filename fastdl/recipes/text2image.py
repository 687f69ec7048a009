"""Text to image: digits in five inks from sentences, or emoji from their names (--data emoji), 32x32 in colour.

Judged on captions of the test part: R-precision (how often an image's own caption is the best of ten by the joint embedding),
beside that of the real images and of a caption drawn at random, and the Frechet distance of emoji (recipes/_emoji.py).
"""

import functools

import numpy as np

from fastdl.autograd import Tensor
from fastdl.models.text2image import Text2Image
from fastdl.recipes import _captions, _emoji, _generative

DATA = ("mnist", "emoji")
EPOCHS = {"mnist": 12, "emoji": 20}
SETTINGS = {
    "data": "mnist", "latent": 32, "text_dim": 64, "text": 32, "ngf": 32, "ndf": 24, "g_lr": 5e-4, "d_lr": 5e-4,
    "batch_size": 32, "encoder_steps": 400,
}  # fmt: skip


@functools.cache
def captioned(data):
    """(train, test, sentences), train and test being (images, captions, meanings)."""
    return _captions.inked_digits() if data == "mnist" else _captions.named_emoji()


def build(settings):
    *_, sentences = captioned(settings["data"])
    sizes = {name: settings[name] for name in ("latent", "text_dim", "text", "ngf", "ndf")}
    return Text2Image(sentences, image_size=32, d_norm=False, **sizes)


def learn(model, epochs, seed, settings, keep):
    (x, captions, meanings), *_ = captioned(settings["data"])
    model.fit_encoder(x, captions, meanings, steps=settings["encoder_steps"], lr=2e-3, seed=seed)
    steps = epochs * (len(x) // settings["batch_size"])
    rates = {"lr": settings["d_lr"], "g_lr": settings["g_lr"], "batch_size": settings["batch_size"]}
    return model.fit(x, captions, meanings, steps, seed=seed, hard=3, keep=keep, **rates)


def asked(n, settings):
    """n captions of the test part."""
    _, (_, captions, _), _ = captioned(settings["data"])
    rows = np.random.default_rng(0).permutation(len(captions))
    return [captions[rows[i % len(rows)]] for i in range(n)]


def pictures(model, n, seed, settings):
    return (model.generate(asked(n, settings), seed).array + 1) / 2


def judge(model, seed, settings):
    _, (x, captions, _), sentences = captioned(settings["data"])
    drawn = model.generate(captions, seed=1)
    pool = sentences if settings["data"] == "mnist" else list(dict.fromkeys(captions))
    same = _captions.same_meaning if settings["data"] == "mnist" else None
    shuffled = [captions[i] for i in np.random.default_rng(0).permutation(len(captions))]
    metrics = {"R-precision of 10": model.r_precision(drawn, captions, pool, same)}
    baselines = {
        "R-precision of real images": model.r_precision(Tensor(x), captions, pool, same),
        "R-precision of images of other captions": model.r_precision(drawn, shuffled, pool, same),
    }
    if settings["data"] == "emoji":
        quality, anchors = _emoji.judge((drawn.array + 1) / 2)
        metrics, baselines = metrics | quality, baselines | anchors
    return metrics, baselines


run = _generative.runner(__name__)
