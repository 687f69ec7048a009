"""Two facts about depth and width: linear layers without a non-linearity are one layer, and one hidden layer can come near any
continuous function.

Ref  Cybenko, "Approximation by superpositions of a sigmoidal function", 1989; Hornik, Stinchcombe, White, "Multilayer
     feedforward networks are universal approximators", 1989
"""

from dataclasses import dataclass

import numpy as np

from fastdl import nn
from fastdl.autograd import wrote
from fastdl.selection.estimator import Estimator, new_model


def collapse_linear(model) -> nn.Sequential:
    """A Sequential in which every run of consecutive Linear layers is one: W = W2 W1, b = W2 b1 + b2 (in float64).

    Identity and Dropout between them (the function in evaluation mode) do not end a run; everything else does and is kept.

    Example
    >>> print(collapse_linear(nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2), nn.ReLU())))
    Sequential(
      (0): Linear(in_features=3, out_features=2, bias=True)
      (1): ReLU()
    )
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(f"collapse_linear: needs a Sequential; got {type(model).__name__}")
    members, run = [], []
    for layer in model:
        if type(layer) is nn.Linear:
            run.append(layer)
        elif not (run and isinstance(layer, (nn.Identity, nn.Dropout))):
            members += [_product(run)] if run else []
            members.append(layer)
            run = []
    return nn.Sequential(*members, *([_product(run)] if run else []))


def _product(run):
    if len(run) == 1:
        return run[0]
    w, b = None, None
    for layer in run:
        own = layer.weight.array.astype(np.float64)
        shift = 0.0 if layer.bias is None else layer.bias.array.astype(np.float64)
        w, b = (own, shift) if w is None else (own @ w, own @ b + shift if np.ndim(b) else shift)
    result = nn.Linear(w.shape[1], w.shape[0], bias=np.ndim(b) > 0)
    for parameter, value in ((result.weight, w), (result.bias, b)):
        if parameter is not None:
            parameter.array[...] = value
            wrote(parameter, "collapse_linear")
    return result


@dataclass
class Approximation:
    """Errors of networks of each width, on the points they were fitted to."""

    widths: list[int]
    sup: np.ndarray  # (widths, seeds) largest error
    rmse: np.ndarray  # (widths, seeds)


def approximation_curve(
    f, widths=(4, 16, 64, 256), points: int = 128, seeds: int = 3, make_model=None
) -> Approximation:
    """Fit networks with one hidden layer of each width to f on [-1, 1].

    f           an array of values at evenly spaced points, or a function of an array of points
    make_model  function(width) -> a new regressor of x (N, 1); default: tanh units, Adam
    """
    x = np.linspace(-1, 1, points if callable(f) else len(f), dtype=np.float32)
    y = np.asarray(f(x) if callable(f) else f, np.float32).reshape(-1)
    if y.shape != x.shape or not np.isfinite(y).all():
        raise ValueError(f"approximation_curve: f must give {len(x)} finite values; got shape {y.shape}")
    make_model = make_model or hidden_layer
    errors = np.empty((2, len(widths), seeds))
    for i, width in enumerate(widths):
        for s in range(seeds):
            model = new_model(lambda width=width: make_model(width), s)
            model.fit(x[:, None], y)
            error = np.abs(np.asarray(model.predict(x[:, None])).reshape(-1) - y)
            errors[:, i, s] = error.max(), np.sqrt((error**2).mean())
    return Approximation(list(widths), *errors)


def hidden_layer(width: int, epochs: int = 1500, lr: float = 0.01, steep: float = 400.0, optimizer="adam") -> Estimator:
    """1 -> width tanh units -> 1, whose units start as steps all over [-1, 1], the steepest 2 / steep wide."""
    first, last = nn.Linear(1, width), nn.Linear(width, 1)
    nn.init.uniform_(first.weight, -steep, steep)
    places = nn.init.uniform_(first.bias, -1, 1)
    first.bias.array[...] = places.array * first.weight.array[:, 0]
    wrote(first.bias, "hidden_layer")
    module = nn.Sequential(first, nn.Tanh(), last)
    return Estimator(module, optimizer=optimizer, lr=lr, epochs=epochs, batch_size=10**6, schedule="cosine")
