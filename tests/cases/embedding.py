"""Cases of embedding."""

import numpy as np

from fastdl.testing import Case


def _numbers(shape, V, dtype=np.int64):
    return lambda rng: rng.integers(0, max(V, 1), shape).astype(dtype)


def _both(name, shape, V, D, dtype=np.int64, padding_idx=None, bench=False, test_as=(None, None)):
    index = _numbers(shape, V, dtype)
    params = {"V": V, "padding_idx": padding_idx}
    T = int(np.prod(shape))
    weight, dy = {"index": index, "weight": (V, D)}, {"dy": (*shape, D), "index": index}
    return [
        Case(name, "embedding_forward", weight, bench=bench, test_as=test_as[0]),
        Case(name, "embedding_backward_w", dy, params, K=T, bench=bench, test_as=test_as[1]),
    ]


def _special(rng):
    weight = rng.standard_normal((5, 3))
    weight[2], weight[3, 1] = np.nan, np.inf
    return weight


CASES = [
    *_both("one of one", (1,), 1, 1),
    *_both("a sentence", (7,), 11, 5),
    *_both("a batch", (3, 5), 13, 33, np.int32),
    *_both("many of few", (4, 25), 3, 67, np.uint8),
    *_both("padding", (4, 9), 7, 17, padding_idx=2),
    *_both("no words", (0, 4), 7, 6),
    *_both("no columns", (3,), 7, 0),
    Case("NaN and inf", "embedding_forward", {"index": _numbers((9,), 5), "weight": _special}),
    *_both(
        "GPT-2 small, 4 x 128",
        (4, 128),
        50257,
        768,
        bench=True,
        test_as=_both("a fortieth of GPT-2's words, 4 x 128", (4, 128), 1257, 768, bench=True),
    ),
    *_both("LSTM 20 x 35", (20, 35), 10000, 650, bench=True),
]
