"""Cases of roi_align."""

import numpy as np

from fastdl.testing import Case

from .roi_pool import FEW, FEW_BOXES, VGG, VGG_BOXES, boxes_in, image


def _both(name, shape, boxes, size, scale=1.0, bench=False, **params):
    made = boxes(np.random.default_rng(1)) if callable(boxes) else np.array(boxes, float).reshape(-1, 5)
    PH, PW = (size, size) if isinstance(size, int) else size
    dy = image((len(made), shape[1], PH, PW), bench)
    params["spatial_scale"] = scale
    return [
        Case(name, "roi_align_forward", {"x": image(shape, bench), "boxes": made}, {"output_size": size, **params},
             K=64, bench=bench),
        Case(name, "roi_align_backward_x", {"dy": dy, "boxes": made}, {"shape": shape, **params},
             K=64 * max(len(made), 1), bench=bench),
    ]  # fmt: skip


INSIDE = [[0, 0.5, 0.25, 5.25, 4.5], [0, 1, 2, 3, 3]]
CASES = [
    *_both("one cell", (1, 1, 1, 1), [[0, 0, 0, 1, 1]], 1),
    *_both("inside", (1, 3, 6, 8), INSIDE, (3, 4)),
    *_both("inside, aligned", (1, 3, 6, 8), INSIDE, (3, 4), aligned=True),
    *_both("two samples", (1, 3, 6, 8), INSIDE, 2, sampling_ratio=2),
    *_both("three samples, aligned", (1, 19, 6, 8), INSIDE, 2, sampling_ratio=3, aligned=True),
    *_both("smaller than a cell", (1, 2, 5, 5), [[0, 2.25, 2.25, 2.5, 2.5]], 2, aligned=True),
    *_both("over the border", (2, 5, 6, 7), [[1, -3, -2, 4, 3], [0, 4, 4, 9, 8], [1, -9, 0, -6, 3]], (2, 3)),
    *_both("upside down", (1, 3, 6, 6), [[0, 4, 5, 2, 1], [0, 3, 3, 3, 3]], 2, aligned=True),
    *_both("upside down, two samples", (1, 3, 6, 6), [[0, 4, 5, 2, 1]], 2, aligned=True, sampling_ratio=2),
    *_both("two images", (2, 70, 9, 11), boxes_in(7, (2, 70, 9, 11), 0.5, 3, 16, outside=4), 4, 0.5),
    *_both("130 channels", (2, 130, 5, 4), boxes_in(9, (2, 130, 5, 4), 0.25, 1, 12), (2, 2), 0.25, aligned=True),
    *_both("the map in one bin", (1, 21, 13, 9), [[0, 0, 0, 9, 13], [0, 1, 2, 7, 11]], 1),
    *_both("no boxes", (2, 3, 5, 5), [], 2),
    *_both("64 channels, 16 boxes", FEW, FEW_BOXES, 7, 1 / 16, bench=True),
    *_both("VGG, 300 boxes", VGG, VGG_BOXES, 7, 1 / 16, bench=True),
]  # fmt: skip
