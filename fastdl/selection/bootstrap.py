"""Bootstrapping: draw from the data with replacement, as often as you like, and see how much a result moves.

Ref  Efron, "Bootstrap methods: another look at the jackknife", 1979; Efron, "Better bootstrap confidence intervals", 1987 (BCa)
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from fastdl.selection.estimator import as_array


def bootstrap_indices(n: int, B: int, seed: int = 0) -> np.ndarray:
    """B samples of n items drawn with replacement from n: indices (B, n) int64."""
    if n < 1 or B < 1:
        raise ValueError(f"bootstrap_indices: n and B must be at least 1; got {n} and {B}")
    return np.random.default_rng(seed).integers(0, n, (B, n))


def out_of_bag(indices) -> np.ndarray:
    """Mask, True where an item was not drawn: of (n,) or (B, n) indices the shape is the same. About 0.368 of all are."""
    indices = np.asarray(indices)
    rows = np.atleast_2d(indices)
    mask = np.ones(rows.shape, bool)
    np.put_along_axis(mask, rows, False, 1)
    return mask.reshape(indices.shape)


class Interval(NamedTuple):
    """A value with the interval that holds it at the level asked for."""

    value: float
    low: float
    high: float


def bootstrap_ci(metric, *arrays, B: int = 1000, level: float = 0.95, method: str = "bca", seed: int = 0) -> Interval:
    """Confidence interval of metric(*arrays): arrays (y, prediction, ...) with one entry an item, drawn together.

    metric  function(*arrays) -> number
    method  "percentile": the quantiles of the resampled values; "bca": the same quantiles corrected for bias and for how the
            spread changes with the value (acceleration, by the jackknife: costs n more evaluations)

    Example
    >>> y = np.array([0, 1] * 50)
    >>> value, low, high = bootstrap_ci(lambda y, p: (y == p).mean(), y, np.ones(100, int))
    >>> float(value), 0.38 < low < 0.43, 0.57 < high < 0.62
    (0.5, True, True)
    """
    arrays = [as_array(a) for a in arrays]
    if not arrays or len({len(a) for a in arrays}) != 1 or len(arrays[0]) < 2:
        raise ValueError(
            f"bootstrap_ci: needs arrays of one length, at least 2; got lengths {[len(a) for a in arrays]}; "
            "the metric comes first"
        )
    if method not in ("percentile", "bca"):
        raise ValueError(f"bootstrap_ci: method must be 'percentile' or 'bca'; got {method!r}")
    if not 0 < level < 1 or B < 2:
        raise ValueError(f"bootstrap_ci: level must lie between 0 and 1 and B be at least 2; got {level} and {B}")
    n = len(arrays[0])
    value = float(metric(*arrays))
    rng = np.random.default_rng(seed)
    values = np.array([metric(*(a[pick] for a in arrays)) for pick in (rng.integers(0, n, n) for _ in range(B))])
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca" and values.std() > 0:
        ends = _bca(ends, values, value, metric, arrays, n)
    low, high = np.quantile(values, ends)
    return Interval(value, float(low), float(high))


def _bca(ends, values, value, metric, arrays, n):
    """The levels at which to read the quantiles: Efron 1987, equation 3.2."""
    normal = NormalDist()
    below = (values < value).mean() + (values == value).mean() / 2  # half of the ties: accuracies are discrete
    z0 = normal.inv_cdf(float(np.clip(below, 1 / (len(values) + 1), 1 - 1 / (len(values) + 1))))
    keep = ~np.eye(n, dtype=bool)
    left_out = np.array([metric(*(a[k] for a in arrays)) for k in keep])
    d = left_out.mean() - left_out
    spread = (d**2).sum()
    a = (d**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    shifted = [z0 + normal.inv_cdf(float(end)) for end in ends]
    return np.array(
        [normal.cdf(z0 + z / (1 - a * z)) if 1 - a * z > 0 else float(math.copysign(1, z) > 0) for z in shifted]
    )
