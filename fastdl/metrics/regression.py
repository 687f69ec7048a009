"""Numbers against numbers."""

import math

import numpy as np

from fastdl.metrics._arrays import same_shape


def rmse(predicted, target) -> float:
    """Root of the mean squared error, in the unit of the target. Shapes: equal."""
    predicted, target = same_shape(predicted, target, "rmse")
    return math.sqrt(np.mean((predicted - target) ** 2))


def mae(predicted, target) -> float:
    """Mean absolute error. Shapes: equal."""
    predicted, target = same_shape(predicted, target, "mae")
    return float(np.mean(np.abs(predicted - target)))


def r2(predicted, target) -> float:
    """1 - residual over total sum of squares: 1 is perfect, 0 as good as the mean of `target`, below 0 worse.

    Shapes  equal; the target must not be constant
    """
    predicted, target = same_shape(predicted, target, "r2")
    total = ((target - target.mean()) ** 2).sum()
    if total == 0:
        raise ValueError("r2: the target is constant, there is no variance to explain")
    return float(1 - ((predicted - target) ** 2).sum() / total)
