"""Bias, variance and noise: why a model errs, told apart by training it again and again on resampled data.

    squared   mean_b (f_b - y)^2 = (f_bar - y)^2 + mean_b (f_b - f_bar)^2        f_bar: mean prediction
              the first term is bias^2 and noise together; where the true function f is known, bias^2 = (f_bar - f)^2
    zero-one  mean_b [f_b != y] = [f_main != y] + c mean_b [f_b != f_main]       f_main: the prediction made most often
              c = +1 where f_main is right, -P(f_b = y | f_b != f_main) where it is wrong: there, variance helps

Ref  Geman, Bienenstock, Doursat, "Neural networks and the bias/variance dilemma", 1992
     Domingos, "A unified bias-variance decomposition and its applications", 2000
"""

from dataclasses import dataclass

import numpy as np

from fastdl.selection.bootstrap import bootstrap_indices
from fastdl.selection.estimator import as_array, checked_pair, new_model


@dataclass
class BiasVariance:
    """Means over the test items; error = bias + noise + variance (0-1 loss: net_variance), up to `gap`."""

    error: float  # of one model, on average
    bias: float  # squared bias; with noise in it where the true function is not known
    variance: float
    noise: float  # 0 where it cannot be told from bias
    net_variance: float  # variance that harms minus variance that helps; equal to variance for squared loss
    gap: float  # largest violation of the identity over the items: rounding only
    predictions: np.ndarray  # (replicas, items)


def bias_variance(
    make_model, x, y, x_test, y_test, replicas: int = 30, loss: str | None = None, truth=None, seed: int = 0
) -> BiasVariance:
    """Train `replicas` models on bootstrap samples of (x, y) and take their errors on (x_test, y_test) apart.

    make_model  function() -> a new model
    loss        "squared" or "zero_one"; None: by the type of y
    truth       (items,) the true function at x_test, where it is known (squared loss): then noise is told from bias
    """
    x, y = checked_pair(x, y, "bias_variance")
    x_test, y_test = checked_pair(x_test, y_test, "bias_variance: test")
    loss = loss or ("zero_one" if y.dtype.kind in "iub" else "squared")
    if loss not in ("squared", "zero_one"):
        raise ValueError(f"bias_variance: loss must be 'squared' or 'zero_one'; got {loss!r}")
    if replicas < 2:
        raise ValueError(f"bias_variance: replicas must be at least 2; got {replicas}")
    predictions = []
    for i, pick in enumerate(bootstrap_indices(len(x), replicas, seed)):
        model = new_model(make_model, seed * 1000 + i)
        model.fit(x[pick], y[pick])
        predictions.append(as_array(model.predict(x_test)).reshape(-1))
    predictions = np.stack(predictions)  # (replicas, items)
    return decompose(predictions, y_test.reshape(-1), loss, truth)


def decompose(predictions, y, loss: str = "squared", truth=None) -> BiasVariance:
    """The decomposition for predictions (replicas, items) that are there already."""
    if loss == "squared":
        f, y = predictions.astype(np.float64), as_array(y).astype(np.float64)
        middle = f.mean(0)
        each = ((f - y) ** 2).mean(0)
        bias, variance = (middle - y) ** 2, ((f - middle) ** 2).mean(0)
        gap = np.abs(each - bias - variance).max()
        noise = 0.0
        if truth is not None:  # (f_bar - y)^2 = bias^2 + noise + a cross term that vanishes on average
            truth = as_array(truth).astype(np.float64).reshape(-1)
            bias, noise = (middle - truth) ** 2, float(((y - truth) ** 2).mean())
        total, v = float(each.mean()), float(variance.mean())
        return BiasVariance(total, float(bias.mean()), v, noise, v, float(gap), predictions)
    labels, codes = np.unique(np.concatenate([predictions.reshape(-1), as_array(y)]), return_inverse=True)
    codes = codes.reshape(-1)
    f, y = codes[: predictions.size].reshape(predictions.shape), codes[predictions.size :]
    counts = np.stack([(f == k).sum(0) for k in range(len(labels))])  # (labels, items)
    main = counts.argmax(0)
    wrong = main != y
    variance = (f != main).mean(0)
    right_share = (f == y).mean(0)
    net = np.where(wrong, -right_share, variance)  # P(f = y | f != main) P(f != main) is the share that is right
    each = (f != y).mean(0)
    gap = np.abs(each - wrong - net).max()
    return BiasVariance(
        float(each.mean()), float(wrong.mean()), float(variance.mean()), 0.0, float(net.mean()), float(gap), predictions
    )
