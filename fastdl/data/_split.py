"""The fixed splits of the data sets, and how the embedded ones are read.

Every split is a function of the data alone: no random number is drawn, so it is the same everywhere.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastdl.data.dataset import TensorDataset

EMBEDDED = Path(__file__).parent / "embedded"


class Split(NamedTuple):
    """A data set in its two parts. Nothing is to be fitted or chosen on `test`."""

    train: Any
    test: Any


def is_test(y: np.ndarray) -> np.ndarray:
    """Mask (N,) of the test part: of every five images of a class, in file order, the third."""
    y = np.asarray(y)
    rank = np.empty(len(y), np.int64)  # (N,) how many images of the same class come before
    for label in np.unique(y):
        (where,) = np.nonzero(y == label)
        rank[where] = np.arange(len(where))
    return rank % 5 == 2


def held_out(groups, every: int = 10, strata=None) -> np.ndarray:
    """Mask (N,) of the test part: of every `every` distinct groups of a stratum, by first appearance, the middle one.

    groups: one hashable a row; rows of the same group (the same sentence, the variants of a word) go into the same part.
    strata: one hashable a row (of a group, its first row counts), so that every stratum is in both parts.
    """
    part = {}  # group -> is it a test group
    seen = defaultdict(int)  # stratum -> groups so far
    mask = np.empty(len(groups), bool)
    for i, group in enumerate(groups):
        if group not in part:
            stratum = None if strata is None else strata[i]
            part[group] = seen[stratum] % every == every // 2
            seen[stratum] += 1
        mask[i] = part[group]
    return mask


def load(name: str, scale: float) -> Split:
    """The embedded set `name`: x (N, 1, H, W) float32 divided by `scale`, y (N,) int64."""
    with np.load(EMBEDDED / f"{name}.npz", allow_pickle=False) as arrays:
        x, y = arrays["x"], arrays["y"].astype(np.int64)
    x = x[:, None].astype(np.float32) / np.float32(scale)  # (N, 1, H, W)
    test = is_test(y)
    return Split(TensorDataset(x[~test], y[~test]), TensorDataset(x[test], y[test]))
