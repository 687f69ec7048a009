"""Cases of warp."""

import numpy as np

from fastdl.testing import Case, channels_last


def _places(shape, H, W):
    """Places in and around an H x W image."""

    def make(rng):
        grid = rng.uniform(-0.2, 1.2, (*shape, 2))
        return grid * [H - 1, W - 1]

    return make


def _special(rng):
    """Corners, whole numbers, half outside, just outside, far outside, and NaN."""
    rows = np.array([0, 4, 2.5, -0.5, -1, 5, 4.5, 1e9, -1e9, np.nan, np.inf, 1.0])
    columns = np.array([0, 5, 3.0, 2.5, 2, 3, 5.5, 1.0, 1.0, 1.0, 1.0, -0.25])
    return np.stack([rows, columns], -1).reshape(1, 3, 4, 2)


def _case(name, shape, size, **more):
    grid = _places((shape[0], *size), *shape[2:])
    return Case(name, "warp_forward", {"x": shape, "grid": grid}, K=4, **more)


CASES = [
    _case("one pixel", (1, 1, 1, 1), (2, 3)),
    _case("grey", (3, 1, 9, 7), (9, 7)),
    _case("colour", (2, 3, 8, 11), (5, 13)),
    _case("many channels", (2, 19, 6, 5), (4, 4)),
    _case("no images", (0, 3, 4, 4), (5, 5)),
    _case("no places", (2, 3, 4, 4), (0, 5)),
    Case("corners and outside", "warp_forward", {"x": (1, 2, 5, 6), "grid": _special}, K=4),
    Case(
        "augmentation of colour images",
        "warp_forward",
        {"x": channels_last((256, 3, 32, 32)), "grid": _places((256, 32, 32), 32, 32)},
        K=4,
        bench=True,
    ),
]
