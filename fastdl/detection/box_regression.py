"""Bounding-box regression: from a region's features, how its box should be moved; one ridge regression a class.

    min_w  sum_n |t_n - w.x_n|^2 + ridge |w|^2,   w = (X'X + ridge I)^-1 X't   (the bias is not punished)

Ref  Girshick, Donahue, Darrell, Malik 2014, appendix C (ridge 1000, pairs with IoU above 0.6).
"""

import numpy as np


def ridge(x, t, strength=1000.0):
    """(weight (D, T), bias (T,)) that predict t (N, T) from x (N, D)."""
    x, t = np.asarray(x, np.float64), np.asarray(t, np.float64)
    if x.ndim != 2 or t.ndim != 2 or len(x) != len(t) or not len(x):
        raise ValueError(f"ridge: needs x (N, D) and t (N, T) with N > 0; got {x.shape} and {t.shape}")
    centre, mean = x.mean(0), t.mean(0)
    x, t = x - centre, t - mean
    if len(x) < x.shape[1]:  # fewer samples than features: the same w by the smaller system
        w = x.T @ np.linalg.solve(x @ x.T + strength * np.eye(len(x)), t)
    else:
        w = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ t)
    return w, mean - centre @ w
