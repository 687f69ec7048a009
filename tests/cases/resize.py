"""Cases of resize."""

import numpy as np

from fastdl.testing import Case


def _image(shape, bench):
    """A shape, or for a benchmark numbers of that shape with channels last in memory, as activations are."""
    N, C, H, W = shape
    return (lambda rng: rng.standard_normal((N, H, W, C)).transpose(0, 3, 1, 2)) if bench else shape


def _both(name, shape, size, bench=False, **params):
    N, C, H, W = shape
    taps = {"bilinear": 4, "bicubic": 16}.get(params.get("mode"), 1)
    grow = max(1, -(-size[0] // H)) * max(1, -(-size[1] // W))
    x, dy = _image(shape, bench), _image((N, C, *size), bench)
    return [
        Case(name, "resize_forward", {"x": x}, {"size": size, **params}, K=taps, bench=bench),
        Case(name, "resize_backward_x", {"dy": dy}, {"size": (H, W), **params}, K=taps * grow, bench=bench),
    ]


def _special(rng):
    x = rng.standard_normal((1, 3, 5, 6))
    x[0, 0, 2, 3], x[0, 1, 0, 0] = np.nan, np.inf
    return x


CASES = [
    *_both("one pixel", (1, 1, 1, 1), (1, 1)),
    *_both("nearest, double", (2, 5, 4, 6), (8, 12)),
    *_both("nearest, odd", (1, 19, 5, 7), (8, 11)),
    *_both("nearest, smaller", (2, 3, 9, 8), (4, 3)),
    *_both("nearest, factor", (1, 3, 5, 7), (12, 17), factor=(2.5, 2.5)),
    *_both("bilinear, double", (2, 5, 4, 6), (8, 12), mode="bilinear"),
    *_both("bilinear, corners", (2, 33, 5, 7), (11, 9), mode="bilinear", align_corners=True),
    *_both("bilinear, smaller", (1, 70, 9, 8), (4, 3), mode="bilinear"),
    *_both("bilinear, smaller, corners", (1, 3, 9, 8), (1, 3), mode="bilinear", align_corners=True),
    *_both("bilinear, factor", (1, 3, 5, 7), (12, 17), mode="bilinear", factor=(2.5, 2.5)),
    *_both("bicubic", (2, 5, 4, 6), (9, 7), mode="bicubic"),
    *_both("bicubic, corners", (1, 3, 6, 5), (11, 12), mode="bicubic", align_corners=True),
    *_both("no images", (0, 3, 4, 4), (8, 8), mode="bilinear"),
    Case("NaN and inf", "resize_forward", {"x": _special}, {"size": (10, 9), "mode": "bilinear"}, K=4),
    *_both("U-Net bilinear", (4, 64, 112, 112), (224, 224), mode="bilinear", bench=True),
    *_both("generator nearest", (16, 128, 32, 32), (64, 64), bench=True),
]
