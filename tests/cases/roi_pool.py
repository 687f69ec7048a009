"""Cases of roi_pool; also the boxes of roi_align's cases."""

import numpy as np

from fastdl import kernels
from fastdl.kernels import roi_pool
from fastdl.testing import Case


def boxes_in(K, shape, scale, smallest, largest, outside=0):
    """A function of a Generator: K boxes (image, x1, y1, x2, y2) around a map of this shape, corners on quarters."""
    N, _, H, W = shape

    def make(rng):
        size = rng.uniform(smallest, largest, (K, 2))
        room = np.array([W, H]) / scale
        corner = rng.uniform(-outside, np.maximum(room + outside - size, -outside + 1), (K, 2))
        far = np.minimum(corner + size, room + outside)
        return np.concatenate(
            [rng.integers(0, max(N, 1), (K, 1)), np.round(np.concatenate([corner, far], 1) * 4) / 4], 1
        )

    return make


VGG = (1, 512, 38, 50)
VGG_BOXES = boxes_in(300, VGG, 1 / 16, 32, 360)
FEW, FEW_BOXES = (1, 64, 38, 50), boxes_in(16, (1, 64, 38, 50), 1 / 16, 32, 360)  # what the naive rung can do


def image(shape, bench=False):
    """A shape, or for a benchmark numbers of that shape with channels last in memory, as activations are."""
    N, C, H, W = shape
    return (lambda rng: rng.standard_normal((N, H, W, C)).transpose(0, 3, 1, 2)) if bench else shape


def _all(name, shape, boxes, size, scale=1.0, bench=False):
    made = boxes(np.random.default_rng(1)) if callable(boxes) else np.array(boxes, float).reshape(-1, 5)
    PH, PW = (size, size) if isinstance(size, int) else size
    out = (len(made), shape[1], PH, PW)

    def argmax(rng):
        x = rng.standard_normal(shape)
        with kernels.use("numpy"):
            return roi_pool.roi_pool_forward(x, made, size, scale)[1]

    # whole quarters: integers are not broadcast by the tests, which would part them from their argmax
    whole = (made * [1, 4, 4, 4, 4]).astype(np.int64)
    return [
        Case(name, "roi_pool_forward", {"x": image(shape, bench), "boxes": made},
             {"output_size": size, "spatial_scale": scale}, bench=bench),
        Case(name, "roi_pool_backward_x", {"dy": image(out, bench), "argmax": argmax, "boxes": whole},
             {"shape": shape, "spatial_scale": scale / 4},
             K=PH * PW * max(len(made), 1), bench=bench),
        Case(name, "roi_pool_backward_dy", {"ddx": image(shape, bench), "argmax": argmax, "boxes": whole}, bench=bench),
    ]  # fmt: skip


def _special(rng):
    x = rng.standard_normal((1, 3, 6, 6))
    x[0, 0, :, 2], x[0, 1], x[0, 2, 3, 3] = np.nan, -np.inf, np.inf
    return x


CASES = [
    *_all("one cell", (1, 1, 1, 1), [[0, 0, 0, 0, 0]], 1),
    *_all("whole map", (1, 3, 6, 8), [[0, 0, 0, 7, 5]], (3, 4)),
    *_all("smaller than the grid", (1, 19, 5, 5), [[0, 1, 2, 2, 3], [0, 4, 4, 4, 4]], 3),
    *_all("halves round away from zero", (1, 2, 8, 8), [[0, 0.5, 1.5, 4.5, 5.5], [0, -0.5, -1.5, 2.5, 3.5]], 2),
    *_all("outside the map", (2, 5, 6, 7), [[1, -9, -9, -5, -5], [0, 4, 4, 20, 20], [1, 3, 1, -2, -4]], (2, 3)),
    *_all("two images", (2, 70, 9, 11), boxes_in(7, (2, 70, 9, 11), 0.5, 3, 16, outside=4), 4, 0.5),
    *_all("130 channels", (2, 130, 5, 4), boxes_in(9, (2, 130, 5, 4), 0.25, 1, 12), (2, 2), 0.25),
    *_all("large bins", (1, 19, 12, 13), [[0, 0, 0, 12, 11], [0, 2, 1, 11, 9]], (1, 2)),
    *_all("the map in one bin", (1, 21, 13, 9), [[0, 0, 0, 9, 13], [0, 1, 2, 7, 11]], 1),
    *_all("no boxes", (2, 3, 5, 5), [], 2),
    *_all("a wide map", (1, 2, 260, 260), [[0, 200, 240, 259, 259], [0, 3, 3, 30, 9]], 2),
    Case(
        "NaN and inf", "roi_pool_forward", {"x": _special, "boxes": np.array([[0.0, 0, 0, 5, 5]])}, {"output_size": 3}
    ),
    *_all("64 channels, 16 boxes", FEW, FEW_BOXES, 7, 1 / 16, bench=True),
    *_all("VGG, 300 boxes", VGG, VGG_BOXES, 7, 1 / 16, bench=True),
]
