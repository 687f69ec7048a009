"""The cases that lstm, gru and rnn share: sizes (T, B, D, H) and options; forward and backward of each."""

import numpy as np

from fastdl.testing import Case

SIZES = [
    ("all ones", (1, 1, 1, 1), {}),
    ("one step, primes", (1, 5, 3, 7), {}),
    ("primes, reversed", (5, 3, 7, 11), {"reverse": True}),
    ("no bias", (3, 2, 4, 5), {"bias": False}),
    ("one sequence", (4, 1, 5, 16), {}),
    ("no sequence", (2, 0, 3, 4), {}),
    ("no feature", (2, 3, 0, 4), {}),
    ("tile", (2, 6, 8, 16), {}),
    ("whole vectors, read where they lie", (2, 3, 4, 32), {}),
    ("two panels, read where they lie", (1, 2, 3, 67), {}),
    ("tile plus one", (3, 7, 9, 17), {"reverse": True}),
    ("many rows, narrow", (2, 27, 2, 5), {}),
    ("two panels", (5, 4, 3, 67), {}),
    ("without dx", (2, 3, 4, 5), {"need_dx": False}),
]
LARGE = [
    ("small batch", (16, 8, 64, 64), {}),
    ("language model", (35, 20, 650, 650), {}),
    ("rows of digits", (28, 32, 28, 128), {}),
    ("one long sequence", (100, 1, 256, 256), {}),
    ("wider than a block of k", (3, 26, 33, 1100), {"reverse": True}),
]


def _normal(*shape, scale=1.0):
    return lambda rng: scale * rng.standard_normal(shape)


def _uniform(*shape):
    return lambda rng: rng.uniform(0.05, 0.95, shape)


def layer_cases(kernel, gates, **params):
    cases = []
    for name, sizes, options in SIZES + LARGE:
        options = dict(options)
        bias, need_dx = options.pop("bias", True), options.pop("need_dx", True)
        shared = {**params, **options}
        if params:
            name = f"{name}, {' '.join(params.values())}"
        bench = sizes in [s for _, s, _ in LARGE]
        for forward in (True, False):
            arrays = (_forward if forward else _backward)(kernel, gates, sizes, bias)
            T, B, D, H = sizes
            K = gates * H * T if forward else (gates * H + B) * T + D
            if not forward and not need_dx:
                shared = {**shared, "need_dx": False}
            entry = f"{kernel}_{'forward' if forward else 'backward'}"
            cases.append(Case(name, entry, arrays, shared, K=K, bench=bench))
    return cases


def _weights(gates, D, H):
    scale = 1 / np.sqrt(H)
    return {"w_ih": _normal(gates * H, D, scale=scale), "w_hh": _normal(gates * H, H, scale=scale)}


def _forward(kernel, gates, sizes, bias):
    T, B, D, H = sizes
    arrays = {"x": (T, B, D), "h0": (B, H)}
    if kernel == "lstm":
        arrays["c0"] = (B, H)
    arrays |= _weights(gates, D, H)
    return arrays | {"b_ih": (gates * H,) if bias else None, "b_hh": (gates * H,) if bias else None}


def _backward(kernel, gates, sizes, bias):
    """What forward saved is random here, but in the range of its values."""
    T, B, D, H = sizes
    arrays = {"dy": (T, B, H), "dhT": (B, H)}
    if kernel == "lstm":
        arrays["dcT"] = (B, H)
    arrays |= {"x": (T, B, D), "h0": (B, H)}
    if kernel == "lstm":
        arrays["c0"] = (B, H)
    arrays |= _weights(gates, D, H)
    arrays["y"] = _normal(T, B, H, scale=0.5)
    if gates > 1:
        arrays |= {"gates": _uniform(T, B, gates * H), "cells": (T, B, H)}
    return arrays
