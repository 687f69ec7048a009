"""Thirteen photographs and textures with free licences, and patches of the textures. Reading them needs Pillow."""

import functools
from collections.abc import Mapping

import numpy as np

from fastdl.data._files import find, frozen
from fastdl.data._split import Split
from fastdl.data.dataset import TensorDataset

FILES = {
    "astronaut": ("photos/astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    "brick": ("photos/brick.png", "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf"),
    "camera": ("photos/camera.png", "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a"),
    "chelsea": ("photos/chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
    "china": ("photos/china.jpg", "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29"),
    "coffee": ("photos/coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    "coins": ("photos/coins.png", "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba"),
    "flower": ("photos/flower.jpg", "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638"),
    "grass": ("photos/grass.png", "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89"),
    "gravel": ("photos/gravel.png", "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12"),
    "horse": ("photos/horse.png", "c7fb60789fe394c485f842291ea3b21e50d140f39d6dcb5fb9917cc178225455"),
    "motorcycle_left": (
        "photos/motorcycle_left.png",
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    ),
    "rocket": ("photos/rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
}
TEXTURES = ("brick", "grass", "gravel")


class Photos(Mapping):
    """name -> image, (H, W, 3) uint8 in colour or (H, W) uint8 grey; an image is read when first asked for."""

    def __getitem__(self, name):
        if name not in FILES:
            raise KeyError(f"there is no photograph {name!r}; there are {', '.join(FILES)}")
        return _read(name)

    def __iter__(self):
        return iter(FILES)

    def __len__(self):
        return len(FILES)


def photos() -> Photos:
    """The photographs by name.

    In colour: astronaut, chelsea, china, coffee, flower, horse, motorcycle_left, rocket. Grey: brick, camera, coins,
    grass, gravel.

    Example
    >>> photos()["astronaut"].shape, photos()["grass"].shape
    ((512, 512, 3), (512, 512))
    """
    return Photos()


@functools.cache
def texture_patches(size: int = 32) -> Split:
    """Patches of brick (0), grass (1) and gravel (2): x (N, 1, size, size) float32 in 0..1, y (N,) int64.

    Split: train from the left half of each photograph (overlapping by half), test from the right half (side by side).

    Example
    >>> train, test = texture_patches()
    >>> len(train), len(test), train[0][0].shape
    (1395, 384, (1, 32, 32))
    """
    if not 2 <= size <= 256:
        raise ValueError(f"texture_patches: size must lie in 2..256; got {size}")
    parts = []
    for left, step in ((0, size // 2), (256, size)):
        x, y = [], []
        for label, name in enumerate(TEXTURES):
            half = _read(name)[:, left : left + 256]  # (512, 256)
            windows = np.lib.stride_tricks.sliding_window_view(half, (size, size))[::step, ::step]
            x.append(windows.reshape(-1, 1, size, size))
            y.append(np.full(len(x[-1]), label, np.int64))
        parts.append(
            TensorDataset(frozen(np.concatenate(x).astype(np.float32) / np.float32(255)), frozen(np.concatenate(y)))
        )
    return Split(*parts)


@functools.cache
def _read(name):
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("photos needs Pillow: pip install pillow") from None
    with Image.open(find(*FILES[name])) as image:
        image = image.convert("L" if image.mode in ("L", "1", "I", "I;16") else "RGB")
        return frozen(np.asarray(image))
