"""Images against images.

Ref  Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004
"""

import math

import numpy as np

from fastdl.metrics._arrays import same_shape


def psnr(predicted, target, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in decibels, 10 log10(data_range^2 / mean squared error); inf for equal images.

    Shapes  equal; data_range: largest minus smallest possible value (1 for 0..1, 2 for -1..1, 255 for bytes)
    """
    predicted, target = same_shape(predicted, target, "psnr", "images")
    _check_range(data_range, predicted, target, "psnr")
    error = np.mean((predicted - target) ** 2)
    return math.inf if error == 0 else float(10 * math.log10(data_range**2 / error))


def ssim(predicted, target, data_range: float = 1.0, sigma: float = 1.5, k1: float = 0.01, k2: float = 0.03) -> float:
    """Structural similarity, 1 for equal images: luminance, contrast and structure in Gaussian windows of 11 pixels.

    Shapes  equal: (H, W), (C, H, W) or (N, C, H, W), at least 11 x 11; the mean over all windows inside the images
    Notes   weighted (biased) covariances and the valid region, as scikit-image has with gaussian_weights=True,
            use_sample_covariance=False
    """
    x, y = same_shape(predicted, target, "ssim", "images")
    _check_range(data_range, x, y, "ssim")
    radius = int(3.5 * sigma + 0.5)
    if x.ndim < 2 or min(x.shape[-2:]) < 2 * radius + 1:
        raise ValueError(f"ssim: images must be at least {2 * radius + 1} pixels high and wide; got {x.shape}")
    window = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    window /= window.sum()
    mx, my = _blur(x, window), _blur(y, window)
    vx, vy = _blur(x * x, window) - mx**2, _blur(y * y, window) - my**2
    vxy = _blur(x * y, window) - mx * my
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    return float(np.mean((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))))


def _blur(x, window):
    """Separable correlation along the last two axes, valid region: (..., H, W) -> (..., H-10, W-10) for 11 weights."""
    n = len(window)
    x = sum(w * x[..., i : x.shape[-2] - n + 1 + i, :] for i, w in enumerate(window))
    return sum(w * x[..., i : x.shape[-1] - n + 1 + i] for i, w in enumerate(window))


def _check_range(data_range, x, y, name):
    if not data_range > 0:
        raise ValueError(f"{name}: data_range must be positive; got {data_range}")
    spread = max(x.max(), y.max()) - min(x.min(), y.min())
    if spread > 2 * data_range:
        raise ValueError(f"{name}: the values span {spread:g}, data_range is {data_range:g}; hint: 255 for bytes")
