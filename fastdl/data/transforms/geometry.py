"""Transforms that move pixels by an affine map: each draws one 2 x 3 matrix an image, and one resampling applies it.

A matrix maps a place of the result to a place of the source, (x, y) in pixels with pixel i reaching from i to i + 1. Affine
transforms that follow each other in a Compose are multiplied first, so pixels are interpolated once (csrc/kernels/warp.c).
"""

import math

import numpy as np

from fastdl.data.transforms.base import Transform, interval, probability
from fastdl.kernels.warp import warp_forward


def identity(n):
    """(n, 2, 3) matrices that change nothing."""
    return np.tile(np.array([[1.0, 0, 0], [0, 1, 0]]), (n, 1, 1))


def product(first, second):
    """The matrix that applies `second` and then `first`, for (N, 2, 3) each: x -> first(second(x))."""
    linear = first[:, :, :2] @ second[:, :, :2]
    shift = first[:, :, :2] @ second[:, :, 2:] + first[:, :, 2:]
    return np.concatenate([linear, shift], 2)


def inverse(matrix):
    """The inverse maps of (N, 2, 3)."""
    linear = np.linalg.inv(matrix[:, :, :2])
    return np.concatenate([linear, -linear @ matrix[:, :, 2:]], 2)


def places(matrix, size):
    """Where the pixel centres of a result of `size` come from: (N, OH, OW, 2) float32, (row, column) with centres at integers."""
    OH, OW = size
    x, y = np.arange(OW) + 0.5, (np.arange(OH) + 0.5)[:, None]
    m = matrix[:, :, :, None, None]
    grid = np.empty((len(matrix), OH, OW, 2), np.float32)
    grid[..., 0] = m[:, 1, 0] * x + m[:, 1, 1] * y + (m[:, 1, 2] - 0.5)
    grid[..., 1] = m[:, 0, 0] * x + m[:, 0, 1] * y + (m[:, 0, 2] - 0.5)
    return grid


def resample(x, matrix, size, fill=0.0, antialias=True):
    """Images (N, C, H, W) seen through maps (N, 2, 3) as (N, C, OH, OW), bilinear.

    fill       what lies outside: a number, or "edge": the outermost pixels go on (for maps that stay within the image)
    antialias  where the map shrinks, every pixel is the mean of as many samples along each axis as it spans source pixels,
               but at most 8
    """
    if fill == "edge":
        x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        matrix = matrix + np.array([[0, 0, 1.0], [0, 0, 1]])
        fill = 0
    many = 1
    if antialias and len(matrix):
        many = min(8, max(1, round(float(np.linalg.norm(matrix[:, :, :2], axis=1).max()))))
    grid = places(matrix / np.array([many, many, 1.0]), (size[0] * many, size[1] * many))
    y = warp_forward(x - x.dtype.type(fill) if fill else x, grid.astype(x.dtype, copy=False))
    if many > 1:
        y = y.reshape(*x.shape[:2], size[0], many, size[1], many).mean((3, 5), dtype=x.dtype)
    return y + x.dtype.type(fill) if fill else y


def nearest(masks, grid):
    """Labels (N, H, W) or (N, K, H, W) at the places of grid (N, OH, OW, 2), 0 outside."""
    H, W = masks.shape[-2:]
    row, column = np.floor(grid[..., 0] + 0.5).astype(np.int64), np.floor(grid[..., 1] + 0.5).astype(np.int64)
    inside = (row >= 0) & (row < H) & (column >= 0) & (column < W)
    at = np.where(inside, row * W + column, 0).reshape(len(masks), -1)  # (N, OH OW)
    flat = masks.reshape(len(masks), -1, H * W)
    out = np.take_along_axis(flat, at[:, None], 2) * inside.reshape(len(masks), 1, -1).astype(masks.dtype)
    return out.reshape(*masks.shape[:-2], *grid.shape[1:3])


def hull(points, size):
    """The boxes (K, 4) around points (K, P, 2), clipped to an image of size (H, W)."""
    limit = np.array([size[1], size[0]])
    low, high = points.min(1).clip(0, limit), points.max(1).clip(0, limit)
    return np.concatenate([low, high], 1).astype(np.float32)


def corners(boxes):
    """(K, 4) -> (K, 4, 2): the corners (x, y)."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


class Affine(Transform):
    """Base of the transforms that are an affine map; `matrix` draws it."""

    fill = None  # what comes in from outside: a number, or "edge"; None: nothing ever does
    antialias = True
    whole = False  # are the maps of whole pixels, and done by indexing where they stand alone?

    def matrix(self, size, N, rng):
        """(matrices (N, 2, 3) from result to source, size of the result) for N images of size (H, W)."""
        raise NotImplementedError(f"{type(self).__name__} must define matrix()")

    def draw(self, shape, rng):
        return self.matrix(shape[2:], shape[0], rng)

    def images(self, x, parameters):
        matrix, size = parameters
        return resample(x, matrix, size, self.fill or 0, self.antialias)

    def boxes(self, boxes, parameters, size):
        matrix, size = parameters
        back = inverse(matrix)
        return [hull(corners(b) @ m[:, :2].T + m[:, 2], size) for b, m in zip(boxes, back, strict=True)]

    def masks(self, masks, parameters):
        matrix, size = parameters
        return nearest(masks, places(matrix, size))

    def join(self, other):
        """This one and then `other` as one resampling; None where that changes the result or gains nothing."""
        if not isinstance(other, Affine) or (self.whole and other.whole):
            return None
        if self.fill is not None and other.fill is not None and self.fill != other.fill:
            return None
        return _Joined([self, other])


class _Joined(Affine):
    """Affine maps one after the other, multiplied to one."""

    def __init__(self, parts):
        self.parts = parts
        self.fill = next((p.fill for p in parts if p.fill is not None), None)
        self.antialias = all(p.antialias for p in parts)

    def matrix(self, size, N, rng):
        total = identity(N)
        for part in self.parts:
            step, size = part.matrix(size, N, rng)
            total = product(total, step)
        return total, size

    def join(self, other):
        return None if super().join(other) is None else _Joined([*self.parts, other])


class RandomAffine(Affine):
    """Rotate, translate, scale and shear about the centre, each by a number drawn for each image.

    degrees    a number d for (-d, d), or (low, high); positive turns clockwise
    translate  (a, b): at most a of the width and b of the height, both ways
    scale      (low, high) factors
    shear      degrees along x: a number or (low, high); or four numbers, along x and along y
    fill       what comes in from outside
    """

    def __init__(self, degrees, translate=None, scale=None, shear=None, fill=0.0):
        name = type(self).__name__
        self.degrees = interval(name, "degrees", degrees)
        if translate is not None and (len(translate) != 2 or not all(0 <= t <= 1 for t in translate)):
            raise ValueError(f"{name}: translate must be two shares of width and height in [0, 1]; got {translate!r}")
        self.translate = translate
        self.scale = None if scale is None else interval(name, "scale", scale, 1e-6)
        four = shear is not None and not np.isscalar(shear) and len(shear) == 4
        self.shear = None if shear is None else interval(name, "shear", shear[:2] if four else shear)
        self.shear_y = interval(name, "shear", shear[2:]) if four else None
        self.fill = float(fill)

    def matrix(self, size, N, rng):
        H, W = size
        angle = rng.uniform(*self.degrees, N)
        shift = np.zeros((N, 2))
        if self.translate is not None:
            reach = np.array(self.translate) * [W, H]
            shift = rng.uniform(-reach, reach, (N, 2))
        scale = np.ones(N) if self.scale is None else rng.uniform(*self.scale, N)
        shear = np.zeros((N, 2))
        if self.shear is not None:
            shear[:, 0] = rng.uniform(*self.shear, N)
        if self.shear_y is not None:
            shear[:, 1] = rng.uniform(*self.shear_y, N)
        return affine_matrix(size, angle, shift, scale, shear), size


def affine_matrix(size, angle, translate, scale, shear):
    """(N, 2, 3) from result to source: shear, scale and turn about the centre of an image of `size`, then translate.

    angle (N,) and shear (N, 2) in degrees, translate (N, 2) in pixels (x, y), scale (N,).
    """
    turn, slant = np.radians(angle), np.tan(np.radians(shear))
    cos, sin, zero, one = np.cos(turn), np.sin(turn), np.zeros_like(turn), np.ones_like(turn)
    rotate = np.stack([cos, -sin, sin, cos], -1).reshape(-1, 2, 2)
    along_y = np.stack([one, zero, -slant[:, 1], one], -1).reshape(-1, 2, 2)
    along_x = np.stack([one, -slant[:, 0], zero, one], -1).reshape(-1, 2, 2)
    linear = scale[:, None, None] * (rotate @ along_y @ along_x)
    centre = np.array([size[1], size[0]]) / 2
    forward = np.concatenate([linear, (centre + translate - linear @ centre)[:, :, None]], 2)
    return inverse(forward)


class RandomRotation(RandomAffine):
    """Turn by an angle drawn from (-degrees, degrees) or (low, high)."""

    def __init__(self, degrees, fill=0.0):
        super().__init__(degrees, fill=fill)


class Resize(Affine):
    """Every image at `size`: (height, width), or the length of the shorter side."""

    fill = "edge"

    def __init__(self, size, antialias=True):
        self.size, self.antialias = size, antialias

    def matrix(self, size, N, rng):
        H, W = size
        if np.isscalar(self.size):
            length = max(self.size, 0)
            out = tuple(int(length * n / min(H, W)) for n in (H, W))  # rounded down, as torchvision does
        else:
            out = tuple(self.size)
        if min(out) < 1:
            raise ValueError(f"Resize: size {self.size!r} leaves nothing of images {size}")
        return window(N, np.zeros((N, 2)), np.tile([W, H], (N, 1)), out), out


def window(N, corner, extent, out):
    """(N, 2, 3) that show the window at corner (N, 2) of extent (N, 2), both (x, y), as an image of size out (OH, OW)."""
    matrix = np.zeros((N, 2, 3))
    matrix[:, 0, 0], matrix[:, 1, 1] = extent[:, 0] / out[1], extent[:, 1] / out[0]
    matrix[:, :, 2] = corner
    return matrix


class RandomResizedCrop(Affine):
    """A window of random area and shape, shown at `size`.

    scale  (low, high): its share of the image's area; ratio (low, high): its width by its height, logarithmically uniform.
    Both are drawn ten times; where no window fits, it is the largest central one within the ratio.
    Ref    Szegedy et al., "Going Deeper with Convolutions", 2015, section 6
    """

    fill = "edge"

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), antialias=True):
        self.size = (size, size) if np.isscalar(size) else tuple(size)
        self.scale = interval("RandomResizedCrop", "scale", scale, 0)
        self.ratio = interval("RandomResizedCrop", "ratio", ratio, 1e-6)
        self.antialias = antialias

    def matrix(self, size, N, rng):
        H, W = size
        tries = 10
        area = H * W * rng.uniform(*self.scale, (N, tries))
        ratio = np.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), (N, tries)))
        w, h = np.round(np.sqrt(area * ratio)), np.round(np.sqrt(area / ratio))
        fits = (w >= 1) & (w <= W) & (h >= 1) & (h <= H)
        chosen = fits.argmax(1)
        rows = np.arange(N)
        w, h = w[rows, chosen], h[rows, chosen]
        ratio = min(max(W / H, self.ratio[0]), self.ratio[1])
        none = ~fits.any(1)
        w[none], h[none] = min(W, round(H * ratio)), min(H, round(W / ratio))
        place = rng.random((N, 2))
        place[none] = 0.5
        x, y = np.floor(place[:, 0] * (W - w + 1)), np.floor(place[:, 1] * (H - h + 1))
        return window(N, np.stack([x, y], 1), np.stack([w, h], 1), self.size), self.size


class _Crop(Affine):
    """A window at whole pixels: taken by indexing where it stands alone."""

    any_dtype = whole = True

    def __init__(self, size, fill=0.0):
        self.size = (size, size) if np.isscalar(size) else tuple(size)
        self.fill = fill

    def matrix(self, size, N, rng):
        return window(N, self.corner(size, N, rng), np.tile(self.size[::-1], (N, 1)), self.size), self.size

    def images(self, x, parameters):
        """Whole pixels, so no arithmetic: any dtype, the same bits."""
        matrix, (OH, OW) = parameters
        left, top = np.round(matrix[:, :, 2]).astype(np.int64).T
        H, W = x.shape[2:]
        row, column = top[:, None] + np.arange(OH), left[:, None] + np.arange(OW)  # (N, OH), (N, OW)
        images = np.arange(len(x))[:, None, None]
        nhwc = x.transpose(0, 2, 3, 1)
        out = nhwc[images, row.clip(0, H - 1)[:, :, None], column.clip(0, W - 1)[:, None, :]]
        outside = ((row < 0) | (row >= H))[:, :, None] | ((column < 0) | (column >= W))[:, None, :]
        if outside.any():
            out[outside] = self.fill
        return out.transpose(0, 3, 1, 2)


class RandomCrop(_Crop):
    """A window of `size` at a random place; padding: so many pixels of `fill` around the image first.

    Errors  ValueError where the window is larger than the padded image
    """

    def __init__(self, size, padding=0, fill=0.0):
        super().__init__(size, fill)
        self.padding = padding

    def corner(self, size, N, rng):
        room = [size[i] + 2 * self.padding - self.size[i] for i in (0, 1)]
        if min(room) < 0:
            raise ValueError(
                f"RandomCrop: a window of {self.size} does not fit into images of {tuple(size)} with padding {self.padding}"
            )
        y, x = (rng.integers(0, r + 1, N) for r in room)
        return np.stack([x, y], 1) - self.padding


class CenterCrop(_Crop):
    """The window of `size` in the middle; beyond the image is `fill`."""

    def corner(self, size, N, rng):
        middle = [round((size[i] - self.size[i]) / 2) for i in (1, 0)]  # halves to even, as torchvision
        return np.tile(middle, (N, 1))


class _Flip(Affine):
    any_dtype = whole = True
    axis = 0  # of (x, y)

    def __init__(self, p=0.5):
        self.p = probability(type(self).__name__, p)

    def matrix(self, size, N, rng):
        turned = rng.random(N) < self.p
        matrix = identity(N)
        matrix[turned, self.axis, self.axis] = -1
        matrix[turned, self.axis, 2] = size[1 - self.axis]
        return matrix, size

    def images(self, x, parameters):
        """Whole pixels, so no arithmetic: any dtype, the same bits."""
        turned = parameters[0][:, self.axis, self.axis] < 0
        out = x.copy(order="K")
        out[turned] = np.flip(x[turned], 3 - self.axis)
        return out


class RandomHorizontalFlip(_Flip):
    """Left and right exchanged with probability p."""


class RandomVerticalFlip(_Flip):
    """Top and bottom exchanged with probability p."""

    axis = 1
