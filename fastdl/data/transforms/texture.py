"""Blur, noise, erasing and elastic deformation: what changes a neighbourhood."""

import math

import numpy as np

from fastdl.data.transforms.base import Transform, interval, probability
from fastdl.data.transforms.geometry import hull, nearest
from fastdl.kernels.warp import warp_forward


def blur(x, sigma, radius, mode="reflect"):
    """Images (N, C, H, W) under a normal density of width sigma (N,), cut off at `radius` pixels: two passes of 2 radius + 1."""
    offsets = np.arange(-radius, radius + 1)
    weight = np.exp(-0.5 * (offsets / np.asarray(sigma, np.float64)[:, None]) ** 2)  # (N, taps)
    weight = (weight / weight.sum(1, keepdims=True)).astype(x.dtype)
    for axis in (2, 3):
        size = x.shape[axis]
        pad = [(0, 0)] * 4
        pad[axis] = (radius, radius)
        padded = np.pad(x, pad, mode=mode)
        x = np.zeros_like(x)
        for t in range(len(offsets)):
            part = padded[:, :, t : t + size] if axis == 2 else padded[:, :, :, t : t + size]
            x += weight[:, t, None, None, None] * part
    return x


class GaussianBlur(Transform):
    """Blur with a normal density whose width is drawn for each image.

    kernel_size  odd: the pixels each pixel is mixed from, along each axis
    sigma        (low, high) of the width in pixels, or one number
    """

    def __init__(self, kernel_size, sigma=(0.1, 2.0)):
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"GaussianBlur: kernel_size must be odd and positive; got {kernel_size}")
        self.kernel_size = kernel_size
        self.sigma = interval("GaussianBlur", "sigma", (sigma, sigma) if np.isscalar(sigma) else sigma, 1e-6)

    def draw(self, shape, rng):
        if min(shape[2:]) <= self.kernel_size // 2:
            raise ValueError(f"GaussianBlur: kernel_size {self.kernel_size} is too large for images of shape {shape}")
        return rng.uniform(*self.sigma, shape[0])

    def images(self, x, sigma):
        return blur(x, sigma, self.kernel_size // 2)


class GaussianNoise(Transform):
    """Normal noise of mean `mean` and width `sigma` added to every number; clip: back to 0..1."""

    def __init__(self, mean=0.0, sigma=0.1, clip=True):
        if sigma < 0:
            raise ValueError(f"GaussianNoise: sigma must not be negative; got {sigma}")
        self.mean, self.sigma, self.clip = mean, sigma, clip

    def draw(self, shape, rng):
        return rng.standard_normal(shape, np.float32)

    def images(self, x, noise):
        y = x + (noise * np.float32(self.sigma) + np.float32(self.mean)).astype(x.dtype, copy=False)
        return y.clip(0, 1) if self.clip else y


def _rectangles(top, left, height, width, size):
    """(N, 1, H, W): True inside the rectangle of each image; all (N,)."""
    y, x = np.arange(size[0]), np.arange(size[1])
    rows = (y >= top[:, None]) & (y < (top + height)[:, None])  # (N, H)
    columns = (x >= left[:, None]) & (x < (left + width)[:, None])
    return rows[:, None, :, None] & columns[:, None, None, :]


class RandomErasing(Transform):
    """A rectangle of each image, with probability p, set to `value`, or to normal noise for value="random".

    scale  (low, high): its share of the area; ratio (low, high): its height by its width, logarithmically uniform
    Ref    Zhong, Zheng, Kang, Li, Yang, "Random Erasing Data Augmentation", 2017, arXiv 1708.04896
    """

    def __init__(self, p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0.0):
        self.p = probability("RandomErasing", p)
        self.scale = interval("RandomErasing", "scale", scale, 0)
        self.ratio = interval("RandomErasing", "ratio", ratio, 1e-6)
        self.value = value

    def draw(self, shape, rng):
        N, _, H, W = shape
        tries = 10
        area = H * W * rng.uniform(*self.scale, (N, tries))
        ratio = np.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), (N, tries)))
        height, width = np.round(np.sqrt(area * ratio)), np.round(np.sqrt(area / ratio))
        fits = (height < H) & (width < W)
        first = fits.argmax(1)
        rows = np.arange(N)
        height, width = height[rows, first], width[rows, first]
        chosen = (rng.random(N) < self.p) & fits.any(1)
        place = rng.random((2, N))
        top, left = np.floor(place[0] * (H - height + 1)), np.floor(place[1] * (W - width + 1))
        inside = _rectangles(top, left, np.where(chosen, height, 0), width, (H, W))
        return inside, rng.standard_normal(shape, np.float32) if self.value == "random" else None

    def images(self, x, parameters):
        inside, noise = parameters
        return np.where(inside, x.dtype.type(self.value) if noise is None else noise.astype(x.dtype), x)


class Cutout(Transform):
    """A square of side `size` around a place drawn for each image set to `value`; it may reach over the border.

    Ref  DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017, arXiv 1708.04552
    """

    any_dtype = True

    def __init__(self, size, p=1.0, value=0.0):
        if size < 1:
            raise ValueError(f"Cutout: size must be at least 1; got {size}")
        self.size, self.p, self.value = size, probability("Cutout", p), value

    def draw(self, shape, rng):
        N, _, H, W = shape
        top, left = rng.integers(0, H, N) - self.size // 2, rng.integers(0, W, N) - self.size // 2
        height = np.where(rng.random(N) < self.p, self.size, 0)
        return _rectangles(top, left, height, np.full(N, self.size), (H, W))

    def images(self, x, inside):
        return np.where(inside, x.dtype.type(self.value), x)


class ElasticTransform(Transform):
    """Every pixel moved by a smooth random field: uniform noise in -1..1, blurred with width sigma, times alpha pixels.

    fill  what comes in from outside
    Ref   Simard, Steinkraus, Platt, "Best Practices for Convolutional Neural Networks", 2003, section 2
    """

    def __init__(self, alpha=8.0, sigma=4.0, fill=0.0):
        if alpha < 0 or sigma <= 0:
            raise ValueError(f"ElasticTransform: alpha must be at least 0 and sigma positive; got {alpha} and {sigma}")
        self.alpha, self.sigma, self.fill = alpha, sigma, float(fill)

    def draw(self, shape, rng):
        N, _, H, W = shape
        field = rng.uniform(-1, 1, (N, 2, H, W)).astype(np.float32)
        radius = math.ceil(3 * self.sigma)
        field = blur(field, np.full(N, self.sigma), radius, mode="constant") * np.float32(self.alpha)
        rows, columns = np.arange(H, dtype=np.float32)[:, None], np.arange(W, dtype=np.float32)
        return np.stack([rows + field[:, 0], columns + field[:, 1]], -1)  # (N, H, W, 2)

    def images(self, x, grid):
        fill = x.dtype.type(self.fill)
        return warp_forward(x - fill, grid.astype(x.dtype, copy=False)) + fill

    def boxes(self, boxes, grid, size):
        """The hull of the border's points, each sent where the field takes it (by fixed-point iteration)."""
        H, W = size
        share = np.linspace(0, 1, 17)
        out = []
        for b, g in zip(boxes, grid, strict=True):
            x, y = b[:, 0::2], b[:, 1::2]  # (K, 2) each
            along_x, along_y = x[:, :1] + (x[:, 1:] - x[:, :1]) * share, y[:, :1] + (y[:, 1:] - y[:, :1]) * share
            px = np.concatenate([along_x, along_x, x[:, :1] + 0 * share, x[:, 1:] + 0 * share], 1)  # (K, 68)
            py = np.concatenate([y[:, :1] + 0 * share, y[:, 1:] + 0 * share, along_y, along_y], 1)
            shift = np.stack([g[..., 1] - np.arange(W), g[..., 0] - np.arange(H)[:, None]], -1)  # (H, W, 2) in (x, y)
            target = np.stack([px, py], -1)
            q = target.copy()
            for _ in range(8):  # q + shift(q) = target
                i, j = q[..., 1].astype(np.int64).clip(0, H - 1), q[..., 0].astype(np.int64).clip(0, W - 1)
                q = target - shift[i, j]
            out.append(hull(q, size))
        return out

    def masks(self, masks, grid):
        return nearest(masks, grid)
