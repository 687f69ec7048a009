"""Choose settings by k-fold cross-validation; the test data stay out of it.

Ref  Stone 1974; Hastie, Tibshirani, Friedman, "The Elements of Statistical Learning", 2009, section 7.10
"""

import itertools
from dataclasses import dataclass, field

import numpy as np

from fastdl.selection.estimator import as_array, checked_pair, new_model
from fastdl.selection.estimator import score as default_score
from fastdl.selection.folds import KFold, StratifiedKFold


@dataclass
class CrossValidation:
    """What cross_validate found: entry i of each list belongs to settings[i]."""

    settings: list[dict]
    scores: np.ndarray  # (settings, folds)
    best: dict  # the settings of the largest mean score (or, by one_standard_error, the first within its error)
    model: object = None  # trained on all data with them; None without refit
    mean: np.ndarray = field(init=False)  # (settings,)
    standard_error: np.ndarray = field(init=False)  # (settings,) of the mean over folds

    def __post_init__(self):
        self.mean = self.scores.mean(1)
        self.standard_error = self.scores.std(1, ddof=1) / np.sqrt(self.scores.shape[1])

    def __str__(self):
        lines = [f"{'settings':40} score"]
        for s, mean, error in zip(self.settings, self.mean, self.standard_error, strict=True):
            mark = "  <- chosen" if s == self.best else ""
            lines.append(
                f"{', '.join(f'{k}={v}' for k, v in s.items()) or 'as they are':40} {mean:.4f} +- {error:.4f}{mark}"
            )
        return "\n".join(lines)


def cross_validate(
    make_model,
    x,
    y,
    grid: dict | None = None,
    k: int = 5,
    folds=None,
    groups=None,
    score=None,
    refit: bool = True,
    one_standard_error: bool = False,
    seed: int = 0,
) -> CrossValidation:
    """Mean score over k rotations for every combination of settings; then a model on all of x with the best.

    make_model  function(**settings) -> a new model; called anew for every fold
    x, y        the training data, all of it; test data have no business here
    grid        {name: [values]}; None or {}: one combination, the defaults
    folds       default: StratifiedKFold for integer y, KFold otherwise; all combinations see the same folds
    score       function(model, x, y) -> number, larger is better; default accuracy or r2
    one_standard_error  choose the first settings in the grid's order within one standard error of the best: order the
                grid from simple to complex

    Notes  whatever is fitted (scalers too) must be fitted inside the model, see `Standardized`
    """
    x, y = checked_pair(x, y, "cross_validate")
    grid = {name: list(values) for name, values in (grid or {}).items()}
    for name, values in grid.items():
        if not values:
            raise ValueError(f"cross_validate: the grid has no values for {name!r}")
    score = score or default_score
    if folds is None:
        folds = StratifiedKFold(k, seed=seed) if y.dtype.kind in "iub" and y.ndim == 1 else KFold(k, seed=seed)
    parts = list(folds.split(x, y, None if groups is None else as_array(groups)))
    settings = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    scores = np.empty((len(settings), len(parts)))
    for j, (learn, judge) in enumerate(parts):
        for i, chosen in enumerate(settings):
            model = new_model(make_model, seed, **chosen)
            model.fit(x[learn], y[learn])
            scores[i, j] = score(model, x[judge], y[judge])
    mean = scores.mean(1)
    if np.isnan(mean).any():
        raise ValueError(f"cross_validate: the score is not a number for {settings[int(np.isnan(mean).argmax())]}")
    best = int(mean.argmax())
    if one_standard_error:
        error = scores[best].std(ddof=1) / np.sqrt(len(parts))
        best = int((mean >= mean[best] - error).argmax())
    model = None
    if refit:
        model = new_model(make_model, seed, **settings[best])
        model.fit(x, y)
    return CrossValidation(settings, scores, settings[best], model)
