"""Cases of softmax_cross_entropy."""

import numpy as np

from fastdl.testing import Case


def _labels(shape, C, dtype="int64", ignore=None):
    def make(rng):
        labels = rng.integers(0, C, shape)
        if ignore is not None:
            labels.reshape(-1)[::3] = ignore
        return labels.astype(dtype)

    return make


def _weight(C):
    return lambda rng: 0.5 + rng.random(C)


def _forward(
    name, logits, weighted=False, dtype="int64", ignore=None, bench=False, loss_only=False, scaled=1.0, **params
):
    C = logits[0] if len(logits) == 1 else logits[1]
    arrays = {
        "logits": lambda rng: scaled * rng.standard_normal(logits),
        "labels": _labels(logits[:1] * (len(logits) > 1) + logits[2:], C, dtype, ignore),
        "weight": _weight(C) if weighted else None,
    }
    if ignore is not None:
        params["ignore_index"] = ignore
    return Case(
        name,
        "softmax_cross_entropy_forward",
        arrays,
        {"with_gradient": not loss_only, **params},
        K=max(16, C),
        bench=bench,
    )


def _backward(name, logits, weighted=False, ignore=None, **params):
    C = logits[0] if len(logits) == 1 else logits[1]
    spatial = logits[:1] * (len(logits) > 1) + logits[2:]
    arrays = {
        "dy": (lambda rng: rng.standard_normal(spatial))
        if params.get("reduction") == "none"
        else (lambda rng: np.array(1.5)),
        "logits": logits,
        "labels": _labels(spatial, C, "int64", ignore),
        "weight": _weight(C) if weighted else None,
    }
    if ignore is not None:
        params["ignore_index"] = ignore
    return Case(name, "softmax_cross_entropy_backward", arrays, params, K=16)


CASES = [
    _forward("one class", (3, 1)),
    _forward("rows", (7, 13)),
    _forward("one label", (5,)),
    _forward("loss alone", (7, 13), loss_only=True),
    _forward("images", (2, 5, 3, 4)),
    _forward("sequences, sum", (3, 17, 5), reduction="sum"),
    _forward("none", (7, 13), reduction="none"),
    _forward("weights", (9, 6), weighted=True),
    _forward("smoothing", (9, 19), label_smoothing=0.1),
    _forward("weights and smoothing", (9, 19), weighted=True, label_smoothing=0.3),
    _forward("all smoothing", (4, 5), label_smoothing=1.0),
    _forward("ignored", (10, 7), ignore=-100),
    _forward("ignored class", (10, 7), ignore=2, weighted=True, label_smoothing=0.2),
    _forward("labels of a byte", (6, 200), dtype="uint8"),
    _forward("huge logits", (6, 19), scaled=1e4),
    _forward("huge logits, smoothing", (6, 19), scaled=1e4, label_smoothing=0.1),
    _forward("many classes", (3, 4111)),
    _forward("empty batch, sum", (0, 4), reduction="sum"),
    _backward("mean", (7, 13)),
    _backward("none", (2, 5, 3, 4), reduction="none"),
    _backward("all at once", (12, 19), weighted=True, ignore=4, label_smoothing=0.1, reduction="sum"),
    _forward("language model", (700, 10000), bench=True),
    _forward("segmentation", (4, 21, 128, 128), bench=True),
    _forward("classifier", (64, 10), bench=True),
]
