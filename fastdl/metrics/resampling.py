"""Is A really better than B? Resample the test items and see how often it is not.

Ref  Efron, Tibshirani, "An Introduction to the Bootstrap", 1993; Koehn, "Statistical Significance Tests for Machine
     Translation Evaluation", 2004
"""

from typing import NamedTuple

import numpy as np

from fastdl.metrics._arrays import array


class Comparison(NamedTuple):
    """How much better A is than B."""

    difference: float  # of the metric, A - B, on the data as they are
    low: float  # of the interval that holds `level` of the resampled differences
    high: float
    p: float  # share of resamples in which A is not better: small means that A beats B


def paired_bootstrap(a, b, metric=None, n: int = 1000, level: float = 0.95, seed: int = 0) -> Comparison:
    """Compare two systems that were judged on the same items (or seeds).

    a, b    one entry an item: scores, larger is better (an accuracy: 0 or 1 for each item); or with `metric` anything that
            can be indexed, for example predictions
    metric  function(items of a or b, indices) -> number, larger is better; None: the mean
    n       resamples; level: of the interval

    Example
    >>> result = paired_bootstrap(np.ones(50), np.zeros(50))
    >>> result.difference, result.p
    (1.0, 0.0)
    """
    if len(a) != len(b) or len(a) == 0:
        raise ValueError(f"paired_bootstrap: both must have the same items, at least one; got {len(a)} and {len(b)}")
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"paired_bootstrap: n must be at least 1 and level between 0 and 1; got {n} and {level}")
    rng = np.random.default_rng(seed)
    items = len(a)
    if metric is None:
        gap = array(a).astype(np.float64) - array(b).astype(np.float64)
        difference = gap.mean()
        differences = np.array([gap[rng.integers(0, items, items)].mean() for _ in range(n)])
    else:
        everything = np.arange(items)
        difference = metric(a, everything) - metric(b, everything)
        picks = (rng.integers(0, items, items) for _ in range(n))
        differences = np.array([metric(a, pick) - metric(b, pick) for pick in picks])
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return Comparison(float(difference), float(low), float(high), float((differences <= 0).mean()))
