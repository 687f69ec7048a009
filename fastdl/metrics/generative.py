"""Samples against data: Frechet distance, classifier score, mode coverage, distance to what was learned by heart.

Ref  Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
     Nash Equilibrium", 2017 (Frechet distance); Salimans et al., "Improved Techniques for Training GANs", 2016 (score)
"""

from typing import NamedTuple

import numpy as np

from fastdl.metrics._arrays import array


def frechet_distance(a, b) -> float:
    """Distance of the Gaussians fitted to two sets of features: |mu_a - mu_b|^2 + Tr(Ca + Cb - 2 (Ca Cb)^(1/2)).

    Shapes  a (N, D), b (M, D) features, for example of `digit_features`; N and M at least 2, better far above D
    Notes   in float64; the trace of the root is the sum of the roots of the eigenvalues of Ca^(1/2) Cb Ca^(1/2), which is
            symmetric, so nothing complex comes up

    Example
    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> round(frechet_distance(x, x + 2), 6)
    12.0
    """
    a, b = (array(x).astype(np.float64) for x in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"frechet_distance: features must be (N, D) and (M, D), N and M > 1; got {a.shape}, {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("frechet_distance: the features are not finite; look at the samples first")
    ca, cb = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    values, vectors = np.linalg.eigh(ca)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    trace_of_root = np.sqrt(np.linalg.eigvalsh(root @ cb @ root).clip(0)).sum()
    distance = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * trace_of_root
    return float(max(distance, 0.0))


def classifier_score(probabilities) -> float:
    """exp of the mean KL divergence of p(class | sample) from p(class): high if samples are clear and diverse.

    Shapes  probabilities (N, C) of a classifier; between 1 and C. With Inception this is the Inception score.
    """
    p = array(probabilities).astype(np.float64)
    if p.ndim != 2 or not len(p) or p.min() < -1e-6 or abs(p.sum(1) - 1).max() > 1e-3:
        raise ValueError(f"classifier_score: needs probabilities (N, C), rows that sum to 1; got shape {p.shape}")
    p = p.clip(0)
    marginal = p.mean(0)  # (C,)
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)
    return float(np.exp((p * np.log(ratio)).sum(1).mean()))


class Coverage(NamedTuple):
    """Which classes a generator makes."""

    counts: np.ndarray  # (C,) samples of each class
    covered: int  # classes with at least 2 % of the samples (or the share asked for)
    entropy: float  # of the histogram, in nats; ln C if all are made equally often


def mode_coverage(probabilities, share: float = 0.02) -> Coverage:
    """Histogram of the classes that a classifier sees in samples. Shapes: probabilities (N, C)."""
    p = array(probabilities)
    if p.ndim != 2 or not len(p):
        raise ValueError(f"mode_coverage: needs probabilities (N, C); got shape {p.shape}")
    counts = np.bincount(p.argmax(1), minlength=p.shape[1])
    f = counts / counts.sum()
    entropy = -(f[f > 0] * np.log(f[f > 0])).sum()
    return Coverage(counts, int((f >= share).sum()), float(entropy))


class NearestDistance(NamedTuple):
    """How near samples lie to the training data."""

    samples: float  # median distance of the samples to their nearest training item
    held_out: float | None  # the same for data that were not trained on: what to expect of something new
    ratio: float | None  # samples / held_out; far below 1: the samples are copies


def nearest_distances(samples, train, chunk: int = 512) -> np.ndarray:
    """L2 distance of each sample to the nearest training item. Shapes: (N, ...), (M, ...) -> (N,) float64."""
    x, t = (array(a) for a in (samples, train))
    if not len(x) or not len(t) or x.shape[1:] != t.shape[1:]:
        raise ValueError(f"nearest_distances: items must have one shape; got {x.shape} and {t.shape}")
    x, t = (a.reshape(len(a), -1).astype(np.float64) for a in (x, t))
    squares = (t * t).sum(1)
    nearest = np.concatenate([(squares - 2 * (x[i : i + chunk] @ t.T)).argmin(1) for i in range(0, len(x), chunk)])
    return np.sqrt(((x - t[nearest]) ** 2).sum(1))  # once more, exactly: the expansion above loses digits near 0


def nearest_train_distance(samples, train, held_out=None) -> NearestDistance:
    """Median L2 distance of samples to their nearest training item, beside that of held-out items.

    Shapes  samples (N, ...), train (M, ...), held_out (K, ...), all with the same item shape and scale
    """
    median = float(np.median(nearest_distances(samples, train)))
    if held_out is None:
        return NearestDistance(median, None, None)
    expected = float(np.median(nearest_distances(held_out, train)))
    if expected == 0:
        raise ValueError("nearest_train_distance: the held-out items are in the training data")
    return NearestDistance(median, expected, median / expected)
