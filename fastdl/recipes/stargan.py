"""StarGAN between the two drawing styles of the emoji, Google's and Twitter's: the label says which style is wanted.

Judged on test emoji, whose true counterparts are known: L1 to them, the share that a classifier takes for the wanted style, and
the Frechet distance to the real drawings of that style. Baselines: the untranslated drawings.
"""

import numpy as np

from fastdl.data import emoji
from fastdl.models.stargan import StarGAN
from fastdl.recipes import _emoji, _generative
from fastdl.recipes._samples import emoji_styles

EPOCHS = 4
SETTINGS = {
    "g_dim": 16, "d_dim": 16, "blocks": 3, "d_layers": 3, "lr": 1e-3, "n_critic": 1,
    "batch_size": 8, "lam_back": 25.0, "copy_steps": 400, "squared": 0.5, "ramp": 100, "labelled": True,
}  # fmt: skip
GOOGLE, TWITTER = np.eye(2, dtype=np.float32)


def build(settings):
    sizes = (settings[name] for name in ("g_dim", "d_dim", "blocks", "d_layers", "labelled"))
    return StarGAN(2, 32, 3, *sizes)


def learn(model, epochs, seed, settings, keep):
    google, twitter = emoji_styles(emoji().train)
    x = np.concatenate([google, twitter])
    labels = np.repeat([GOOGLE, TWITTER], len(google), 0)
    names = ("lr", "n_critic", "batch_size", "lam_back", "copy_steps", "squared", "ramp")
    given = {name: settings[name] for name in names}
    return model.fit(x, labels, steps=epochs * (len(x) // settings["batch_size"]), seed=seed, keep=keep, **given)


def translate(model, x, to="b"):
    """Drawings (N, 3, 32, 32) in -1..1 in the style "a" (Google's) or "b" (Twitter's)."""
    return model.translate(x, np.repeat([GOOGLE if to == "a" else TWITTER], len(x), 0))


def pictures(model, n, seed, settings):
    google, _ = emoji_styles(emoji().test)
    return _generative.beside(google, lambda x: translate(model, x).array, n, seed)


def judge(model, seed, settings):
    google, twitter = emoji_styles(emoji().test)
    moved = translate(model, google).array
    zero_one = lambda x: ((x + 1) / 2).clip(0, 1)  # noqa: E731

    def twitter_like(x):
        p = _emoji.features(zero_one(x))[1]
        return float((p.argmax(1) >= p.shape[1] // 2).mean())

    metrics, baselines = {}, {}
    for target, name, x in ((metrics, "", moved), (baselines, "untranslated, ", google)):
        target[f"{name}L1 to the true Twitter drawing"] = float(np.abs(x - twitter).mean())
        target[f"{name}taken for Twitter's style"] = twitter_like(x)
        target[f"{name}frechet distance to Twitter's"] = _emoji.distance(zero_one(x), zero_one(twitter))
    metrics["L1 there and back"] = float(np.abs(translate(model, moved, "a").array - google).mean())
    metrics["L1 where nothing was asked for"] = float(np.abs(translate(model, google, "a").array - google).mean())
    baselines["real Twitter drawings, taken for Twitter's style"] = twitter_like(twitter)
    return metrics, baselines


run = _generative.runner(__name__)
