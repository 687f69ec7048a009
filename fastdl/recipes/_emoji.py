"""The emoji set as colour images, and a judge of generated ones.

The judge's features are the 64 penultimate activations of a small classifier of the ten categories and two styles, trained on
the training images with a fixed seed whenever it is first asked for (some seconds): distances compare within one version only,
so every report has the distances of real images and of simple models beside it.
"""

import functools

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.data import emoji
from fastdl.metrics import classifier_score, frechet_distance, nearest_train_distance
from fastdl.nn import functional as F
from fastdl.optim import Adam
from fastdl.random import fork_rng, manual_seed
from fastdl.recipes._samples import emoji_styles, gaussian_samples

STEPS = 250  # of the judge's training


@functools.cache
def both_styles():
    """(train, test): the Google drawings of a part, then the Twitter ones, (N, 3, 32, 32) in 0..1 on white."""
    return tuple((np.concatenate(emoji_styles(part)) + 1) / 2 for part in emoji())


class Judge(nn.Module):
    """Images (N, 3, 32, 32) -> features (N, 64) -> scores of categories and styles (N, 2 x categories)."""

    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 24, 5, 2, 2), nn.ReLU(), nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(48, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(768, 64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        return self.head(self.body(x))


@functools.cache
def _judge():
    train, _ = both_styles()
    kinds = emoji().train.category_id
    labels = np.concatenate([kinds, kinds + kinds.max() + 1])
    with fork_rng():
        manual_seed(0)
        net, rng = Judge(int(labels.max()) + 1), np.random.default_rng(0)
        optimizer = Adam(net.parameters(), lr=2e-3)
        for _ in range(STEPS):
            rows = rng.integers(0, len(train), 64)
            x = train[rows]
            x = np.where(rng.random(64)[:, None, None, None] < 0.5, x[..., ::-1], x)
            optimizer.zero_grad()
            F.cross_entropy(net(Tensor(np.ascontiguousarray(x))), labels[rows]).backward()
            optimizer.step()
    return net.eval()


def features(x):
    """(features (N, 64), probabilities) of images (N, 3, 32, 32) in 0..1."""
    net, parts = _judge(), []
    with no_grad():
        for i in range(0, len(x), 250):
            h = net.body(Tensor(np.ascontiguousarray(x[i : i + 250], np.float32)))
            parts.append((h.array, F.softmax(net.head(h), -1).array))
    return tuple(np.concatenate(p) for p in zip(*parts, strict=True))


def distance(samples, reference) -> float:
    """Frechet distance of two sets of images in the judge's features."""
    return frechet_distance(features(samples)[0], features(reference)[0])


def judge(samples):
    """(metrics, anchors) of samples (N, 3, 32, 32) in 0..1; metrics["warnings"] says in words what is wrong with them."""
    train, test = both_styles()
    x = np.asarray(samples, np.float32).clip(0, 1)
    near = nearest_train_distance(x, train, test)
    metrics = {
        "frechet distance": distance(x, test),
        "classifier score": classifier_score(features(x)[1]),
        "nearest-training distance over held-out": near.ratio,
        "warnings": [],
    }
    spread = float(x.std(0).mean() / test.std(0).mean())
    metrics["spread of the pixels over real images'"] = spread
    if spread < 0.6:
        metrics["warnings"].append(
            f"collapsed: the pixels of the samples spread {spread:.2f} times as far as real ones"
        )
    if near.ratio < 0.7:
        words = f"copied training images: samples lie at {near.ratio:.2f} of the distance of held-out images"
        metrics["warnings"].append(words)
    rows = np.random.default_rng(0).permutation(len(train))[: len(x)]
    anchors = {
        "real training images, frechet distance": distance(train[rows], test),
        "full-covariance Gaussian, frechet distance": distance(gaussian_samples(train, len(x)).reshape(x.shape), test),
        "the mean image, frechet distance": distance(np.repeat(train.mean(0)[None], len(x), 0), test),
        "real test images, classifier score": classifier_score(features(test)[1]),
    }
    return metrics, anchors
