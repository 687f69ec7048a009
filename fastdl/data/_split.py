"""The fixed split of the embedded data sets, and how they are read."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastdl.data.dataset import TensorDataset

EMBEDDED = Path(__file__).parent / "embedded"


class Split(NamedTuple):
    """A data set in its two parts. Nothing is to be fitted or chosen on `test`."""

    train: TensorDataset
    test: TensorDataset


def is_test(y: np.ndarray) -> np.ndarray:
    """Mask (N,) of the test part: of every five images of a class, in file order, the third.

    Stratified, and a function of the labels alone: no random number is drawn, so it is the same everywhere.
    """
    y = np.asarray(y)
    rank = np.empty(len(y), np.int64)  # (N,) how many images of the same class come before
    for label in np.unique(y):
        (where,) = np.nonzero(y == label)
        rank[where] = np.arange(len(where))
    return rank % 5 == 2


def load(name: str, scale: float) -> Split:
    """The embedded set `name`: x (N, 1, H, W) float32 divided by `scale`, y (N,) int64."""
    with np.load(EMBEDDED / f"{name}.npz", allow_pickle=False) as arrays:
        x, y = arrays["x"], arrays["y"].astype(np.int64)
    x = x[:, None].astype(np.float32) / np.float32(scale)  # (N, 1, H, W)
    test = is_test(y)
    return Split(TensorDataset(x[~test], y[~test]), TensorDataset(x[test], y[test]))
