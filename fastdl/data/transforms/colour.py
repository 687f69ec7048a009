"""Transforms of colour: every pixel by itself, with numbers drawn for each image. Images in 0..1, as are the results.

Grey values are 0.299 r + 0.587 g + 0.114 b (ITU-R BT.601), the weights that television gave to the eye's sensitivity.
"""

import numpy as np

from fastdl.data.transforms.base import Transform, interval, probability

GREY = np.array([0.299, 0.587, 0.114])


def grey(x):
    """The brightness (N, 1, H, W) of images (N, 3, H, W) or (N, 1, H, W)."""
    if x.shape[1] == 1:
        return x
    need_colour("grey", x)
    r, g, b = (x[:, c : c + 1] * x.dtype.type(GREY[c]) for c in range(3))
    return r + g + b


def need_colour(name, x):
    if x.shape[1] != 3:
        raise ValueError(f"{name}: expected images of 1 or 3 channels, got shape {x.shape}")


def adjust_brightness(x, factor):
    """x factor (N,) times as bright."""
    return (x * _each(factor, x)).clip(0, 1)


def adjust_contrast(x, factor):
    """Away from the image's mean brightness by factor (N,): 0 leaves nothing but it."""
    mean = grey(x).mean((1, 2, 3), keepdims=True, dtype=x.dtype)
    return (mean + (x - mean) * _each(factor, x)).clip(0, 1)


def adjust_saturation(x, factor):
    """Away from grey by factor (N,): 0 leaves the brightness."""
    if x.shape[1] == 1:
        return x
    light = grey(x)
    return (light + (x - light) * _each(factor, x)).clip(0, 1)


def adjust_hue(x, turn):
    """The hue turned by `turn` (N,) of the circle, -0.5..0.5."""
    if x.shape[1] == 1:
        return x
    need_colour("adjust_hue", x)
    r, g, b = x[:, 0], x[:, 1], x[:, 2]  # (N, H, W)
    high = np.maximum(np.maximum(r, g), b)
    spread = high - np.minimum(np.minimum(r, g), b)
    safe = np.where(spread > 0, spread, 1)
    # the sixth of the circle, from the channel that is largest
    hue = np.where(high == r, (g - b) / safe, np.where(high == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    hue = hue + _each(turn, x)[:, 0] * x.dtype.type(6)
    out = np.empty_like(x)
    for c, shift in enumerate((5, 3, 1)):  # channel = high - spread max(0, min(k, 4 - k, 1)), k = (shift + hue) mod 6
        k = (hue + x.dtype.type(shift)) % 6
        out[:, c] = high - spread * np.minimum(np.minimum(k, 4 - k), 1).clip(0)
    return out


def _each(factor, x):
    """One number an image, to multiply (N, C, H, W)."""
    return np.asarray(factor, x.dtype).reshape(-1, 1, 1, 1)


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue each changed by a number drawn for each image, in an order drawn for each batch.

    brightness, contrast, saturation  b for factors in (max(0, 1 - b), 1 + b), or (low, high)
    hue                               h for turns in (-h, h), at most 0.5 of the circle, or (low, high)
    """

    def __init__(self, brightness=0, contrast=0, saturation=0, hue=0):
        def around_one(what, value):
            if np.isscalar(value):
                if value < 0:
                    raise ValueError(f"ColorJitter: {what} must not be negative; got {value}")
                value = (max(0.0, 1.0 - value), 1.0 + value)
            return interval("ColorJitter", what, value, 0)

        self.brightness = around_one("brightness", brightness)
        self.contrast = around_one("contrast", contrast)
        self.saturation = around_one("saturation", saturation)
        self.hue = interval("ColorJitter", "hue", hue)
        if max(abs(h) for h in self.hue) > 0.5:
            raise ValueError(f"ColorJitter: hue must lie in -0.5..0.5; got {hue}")

    def draw(self, shape, rng):
        order = rng.permutation(4)
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        return order, [rng.uniform(*r, shape[0]) for r in ranges]

    def images(self, x, parameters):
        order, factors = parameters
        steps = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
        for i in order:
            neutral = 0.0 if i == 3 else 1.0
            if (factors[i] != neutral).any():
                x = steps[i](x, factors[i])
        return x


class Grayscale(Transform):
    """The brightness, as one channel or as three equal ones."""

    def __init__(self, num_output_channels=1):
        if num_output_channels not in (1, 3):
            raise ValueError(f"Grayscale: num_output_channels must be 1 or 3; got {num_output_channels}")
        self.num_output_channels = num_output_channels

    def images(self, x, parameters):
        return grey(x) if self.num_output_channels == 1 else np.repeat(grey(x), 3, axis=1)


class RandomGrayscale(Transform):
    """The colours taken out with probability p; as many channels as before."""

    def __init__(self, p=0.1):
        self.p = probability("RandomGrayscale", p)

    def draw(self, shape, rng):
        return rng.random(shape[0]) < self.p

    def images(self, x, chosen):
        out = x.copy(order="K")
        out[chosen] = grey(x[chosen])
        return out


class Normalize(Transform):
    """(x - mean) / std, a number or one a channel.

    Example
    >>> round(float(Normalize(0.1307, 0.3081)(np.zeros((2, 1, 28, 28), np.float32)).max()), 4)
    -0.4242
    """

    def __init__(self, mean, std):
        self.mean, self.std = mean, std
        if not np.all(np.asarray(std) > 0):
            raise ValueError(f"Normalize: std must be positive; got {std}")

    def images(self, x, parameters):
        mean, std = (np.asarray(v, x.dtype).reshape(-1, 1, 1) for v in (self.mean, self.std))
        if x.shape[1] not in (len(mean), 1) and len(mean) != 1:
            raise ValueError(f"Normalize: {len(mean)} means do not fit images of shape {x.shape}")
        return (x - mean) / std


class ToFloat(Transform):
    """Integer images 0..255 as float32 in 0..1; floating ones as float32."""

    any_dtype = True

    def images(self, x, parameters):
        if x.dtype.kind == "f":
            return x.astype(np.float32, copy=False)
        return x.astype(np.float32) / np.float32(np.iinfo(x.dtype).max if x.dtype.kind in "iu" else 1)
