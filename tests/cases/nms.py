"""Cases of nms."""

import numpy as np

from fastdl.testing import Case


def _boxes(N, room, smallest, largest):
    """Corners on quarters, so that equal overlaps are equal in every precision."""

    def make(rng):
        corner, size = rng.uniform(0, room, (N, 2)), rng.uniform(smallest, largest, (N, 2))
        return np.round(np.concatenate([corner, corner + size], 1) * 4) / 4

    return make


def _case(name, boxes, threshold=0.5, bench=False):
    N = len(boxes(np.random.default_rng(0))) if callable(boxes) else len(boxes)
    arrays = {"boxes": boxes if callable(boxes) else np.array(boxes, float).reshape(-1, 4), "scores": (N,)}
    return Case(name, "nms_forward", arrays, {"iou_threshold": threshold}, bench=bench)


CASES = [
    _case("no boxes", []),
    _case("one box", [[0, 0, 1, 1]]),
    _case("equal boxes", [[1, 1, 3, 3]] * 7),
    _case("exactly at the threshold", [[0, 0, 2, 2], [0, 0, 2, 1], [0, 1, 2, 2]]),
    _case("empty and upside down", [[0, 0, 0, 0], [0, 0, 0, 0], [3, 3, 1, 1], [1, 1, 3, 3], [2, 2, 2, 3]], 0.0),
    _case("37 boxes", _boxes(37, 20, 4, 12), 0.3),
    _case("100 boxes, little overlap", _boxes(100, 60, 4, 12), 0.1),
    _case("2,000 boxes", _boxes(2000, 600, 20, 200), 0.7, bench=True),
    _case("10,000 boxes", _boxes(10000, 1000, 10, 60), 0.5, bench=True),
]
