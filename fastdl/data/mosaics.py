"""Mosaics of photographed textures, for segmentation: neither outline nor brightness tells the classes apart."""

import numpy as np

from fastdl.data.photos import TEXTURES
from fastdl.data.scenes import Scenes, photo_halves


class MosaicMaker:
    """Draws images of three regions, each filled with a part of a photograph of brick, grass or gravel.

    part   "train" (parts of the top halves of the photographs) or "test" (of the bottom halves)
    size   height and width in pixels

    A pixel belongs to the nearest of three random points, each of a texture of its own; brightness and contrast of every region are
    drawn anew, so that grey values alone do not tell.

    Example
    >>> mosaics = MosaicMaker("train", size=48).draw(4, seed=0)
    >>> mosaics.images.shape, sorted(set(mosaics.masks.ravel().tolist()))
    ((4, 1, 48, 48), [1, 2, 3])
    """

    kind, colours, classes = "textures", 1, tuple(TEXTURES)

    def __init__(self, part="train", size=64):
        if part not in ("train", "test") or not 8 <= size <= 128:
            raise ValueError(f"MosaicMaker: part must be train or test and size in 8..128; got {part!r}, {size}")
        self.part, self.size = part, size
        self._textures = [half[..., 0].astype(np.float32) for half in photo_halves(tuple(TEXTURES), part, 1)]

    def draw(self, n, seed=0) -> Scenes:
        """n mosaics, the same for the same seed; masks are class + 1 everywhere, boxes are empty."""
        rng, S = np.random.default_rng([seed, self.part == "test", 2]), self.size
        kinds = np.argsort(rng.random((n, len(self.classes))), 1)  # the texture of each point
        points = rng.uniform(0.1 * S, 0.9 * S, (n, len(self.classes), 2))
        y, x = np.mgrid[:S, :S] + 0.5
        far = (points[:, :, 0, None, None] - y) ** 2 + (points[:, :, 1, None, None] - x) ** 2  # (n, 3, S, S)
        masks = np.take_along_axis(kinds, far.argmin(1).reshape(n, -1), 1).reshape(n, S, S)
        images = np.empty((n, S, S), np.float32)
        for k, texture in enumerate(self._textures):
            windows = np.lib.stride_tricks.sliding_window_view(texture, (S, S))
            row, column = ((rng.random(n) * m).astype(int) for m in windows.shape[:2])
            patch = windows[row, column]  # (n, S, S)
            mean, deviation = (f((1, 2), keepdims=True) for f in (patch.mean, patch.std))
            bright, contrast = rng.uniform(100, 150, (n, 1, 1)), rng.uniform(25, 45, (n, 1, 1))
            patch = (patch - mean) / np.maximum(deviation, 1) * contrast + bright
            np.copyto(images, patch, where=masks == k)
        images = np.clip(np.rint(images), 0, 255).astype(np.uint8)[:, None]
        masks = (masks + 1).astype(np.uint8)
        return Scenes(
            images, masks, masks, [np.zeros((0, 4), np.float32)] * n, [np.zeros(0, np.int64)] * n, self.classes
        )
