"""What generative recipes and gates share: grids of samples as PNG, and a report on what a generator makes."""

from pathlib import Path

import numpy as np

from fastdl.data import digits, mnist5k
from fastdl.data.emoji import composite
from fastdl.metrics import digit_features, digit_frechet_distance, mode_coverage, nearest_train_distance


def grid(images, columns=8, gap=1) -> np.ndarray:
    """(N, C, H, W) or (N, H, W) in 0..1 as one picture, uint8 (rows, columns[, 3])."""
    x = np.asarray(images, np.float32)
    x = x[:, None] if x.ndim == 3 else x
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(f"grid: expected images (N, 1 or 3, H, W); got shape {x.shape}")
    N, C, H, W = x.shape
    rows = -(-N // columns)
    sheet = np.full((C, rows * (H + gap) - gap, columns * (W + gap) - gap), 0.5, np.float32)
    for i, image in enumerate(x):
        r, c = divmod(i, columns)
        sheet[:, r * (H + gap) : r * (H + gap) + H, c * (W + gap) : c * (W + gap) + W] = image
    sheet = (sheet.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    return sheet[..., 0] if C == 1 else sheet


def save_grid(images, path, columns=8, scale=2) -> str | None:
    """Write the grid as PNG; None where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return None
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = grid(images, min(columns, len(images)))
    Image.fromarray(sheet.repeat(scale, 0).repeat(scale, 1)).save(path)
    return str(path)


def save_walk(images, path, milliseconds=120) -> str | None:
    """Write images (N, C, H, W) in 0..1 as an animated GIF, there and back; None where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return None
    frames = [Image.fromarray(grid(image[None], columns=1).repeat(4, 0).repeat(4, 1)) for image in np.asarray(images)]
    frames += frames[-2:0:-1]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)
    return str(path)


def judge_digits(samples, train, test) -> dict:
    """Metrics of generated 28x28 digits in 0..1 against real ones, and "warnings": what is wrong with them, in words.

    Shapes  samples (N, 1, 28, 28) or (N, 784); train, test (M, 1, 28, 28)
    """
    x = np.asarray(samples, np.float32).reshape(-1, 1, 28, 28)
    _, p = digit_features(x)
    coverage, near = mode_coverage(p), nearest_train_distance(x, train, test)
    classes = p / p.sum(1, keepdims=True)
    marginal = classes.mean(0)
    score = float(np.exp((classes * np.log((classes + 1e-12) / marginal)).sum(1).mean()))
    warnings = []
    if coverage.covered < 9:
        rare = ", ".join(str(c) for c in np.flatnonzero(coverage.counts < 0.02 * len(x)))
        warnings.append(f"collapsed modes: under 2 % of the samples are {rare}")
    if near.ratio < 0.7:
        warnings.append(f"copied training images: samples lie at {near.ratio:.2f} of the distance of held-out images")
    if len(np.unique(x.reshape(len(x), -1).round(2), axis=0)) < 0.95 * len(x):
        warnings.append("repeated samples: many are the same to two decimals")
    return {
        "frechet distance": digit_frechet_distance(x, test),
        "classifier score": score,
        "classes covered": coverage.covered,
        "nearest-training distance over held-out": near.ratio,
        "warnings": warnings,
    }


def gaussian_samples(train, n, seed=0):
    """n draws of the full-covariance Gaussian of the training pixels, clipped to 0..1: what every deep model must beat."""
    x = np.asarray(train, np.float64).reshape(len(train), -1)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    z = np.random.default_rng(seed).standard_normal((n, len(values)))
    return ((z * np.sqrt(values.clip(0))) @ vectors.T + x.mean(0)).clip(0, 1).astype(np.float32)


def gaussian_distance(train, test) -> float:
    """The Frechet distance of 1,000 draws of the full-covariance Gaussian."""
    return digit_frechet_distance(gaussian_samples(train, 1000).reshape(-1, 1, 28, 28), test)


def digits_in_0_1():
    """(train, test) images of MNIST 5k, (N, 1, 28, 28) in 0..1."""
    return tuple(part.tensors[0].array for part in mnist5k())


def binary_digits(side=28):
    """(learn, validation, test) vectors of 0 and 1 of MNIST 5k, or of the 8x8 digits: every tenth training image validates."""
    train, test = (
        (part.tensors[0].array.reshape(len(part), -1) >= 0.5).astype(np.float32)
        for part in (mnist5k() if side == 28 else digits())
    )
    validate = np.arange(len(train)) % 10 == 0
    return train[~validate], train[validate], test


def emoji_styles(part):
    """(google, twitter) drawings of a part of the emoji set, (N, 3, 32, 32) in -1..1 on white."""
    return tuple(composite(rgba) * 2 - 1 for rgba in (part.google, part.twitter))
