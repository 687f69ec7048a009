"""Cases of conv_lstm: Row LSTM's three taps, the diagonal's two, one of everything, lines shorter than the taps."""

import numpy as np

from fastdl.testing import Case


def _forward(name, S, B, R, H, K, left, bench=False):
    w = lambda rng: rng.standard_normal((4 * H, H, K)) / np.sqrt(H * K)  # noqa: E731
    return Case(
        name, "conv_lstm_forward", {"x": (S, B, R, 4 * H), "w": w}, {"left": left}, K=8 * S * H * K, bench=bench
    )


def _backward(name, S, B, R, H, K, left, bench=False):
    arrays = {
        "dy": (S, B, R, H),
        "w": lambda rng: rng.standard_normal((4 * H, H, K)) / np.sqrt(H * K),
        "y": lambda rng: rng.uniform(-1, 1, (S, B, R, H)),
        "gates": lambda rng: rng.uniform(0.1, 0.9, (S, B, R, 4 * H)),
        "cells": (S, B, R, H),
    }
    K_sum = 8 * S * max(B * R, H * K)
    return Case(
        name, "conv_lstm_backward", arrays, {"left": left}, K=K_sum, factor=8.0, bench=bench, kernel="conv_lstm"
    )


SIZES = [
    ("one of everything", 1, 1, 1, 1, 1, 0),
    ("row: three taps", 3, 2, 5, 3, 3, 1),
    ("diagonal: own row and the one above", 5, 3, 3, 18, 2, 1),
    ("a line shorter than the taps", 2, 1, 2, 4, 5, 2),
    ("no images", 2, 0, 3, 2, 2, 1),
]
CASES = [_forward(*s) for s in SIZES] + [_backward(*s) for s in SIZES]
CASES += [f("diagonal, 28x28, h 16, 16 images", 55, 16, 28, 16, 2, 1, bench=True) for f in (_forward, _backward)]
