"""Gradient boosting: each learner fits the negative gradient of the loss at the sum of those before it.

    F_0 = the best constant        F_m = F_{m-1} + lr h_m,  h_m fits -dL/dF at F_{m-1}

squared loss: the residual y - F. log loss: y - p, with p the sigmoid or softmax of F; leaves of a tree then take one Newton
step, (K - 1)/K sum(y - p) / sum(p (1 - p)).

Ref  Friedman, "Greedy function approximation: a gradient boosting machine", 2001; "Stochastic gradient boosting", 2002
"""

import numpy as np

from fastdl.selection.estimator import as_array, checked_pair, new_model
from fastdl.selection.tree import DecisionTree


class GradientBoosting:
    """A sum of small regressors.

    loss       "squared" for numbers, "log" for classes, None: by the type of y
    n          rounds; lr: shrinkage of each step
    base       "tree" or "stump", or function() -> a new regressor (a Module with one output too)
    max_depth  of trees
    subsample  share of the items that each round sees, drawn without replacement
    After fit: models (rounds, outputs), losses (rounds,): training loss

    Example
    >>> x = np.arange(32.0)[:, None]
    >>> model = GradientBoosting(n=200).fit(x, np.sin(x[:, 0]))
    >>> bool(np.abs(model.predict(x) - np.sin(x[:, 0])).max() < 0.05)
    True
    """

    def __init__(self, loss=None, n=100, lr=0.1, base="tree", max_depth=3, min_leaf=1, subsample=1.0, seed: int = 0):
        if loss not in ("squared", "log", None):
            raise ValueError(f"GradientBoosting: loss must be 'squared', 'log' or None; got {loss!r}")
        if isinstance(base, str) and base not in ("tree", "stump"):
            raise ValueError(f"GradientBoosting: base must be 'tree', 'stump' or a function; got {base!r}")
        if n < 1 or not lr > 0 or not 0 < subsample <= 1:
            raise ValueError(
                f"GradientBoosting: n must be at least 1, lr positive, subsample in (0, 1]; got {n}, {lr}, {subsample}"
            )
        self.loss, self.n, self.lr, self.base, self.seed = loss, n, lr, base, seed
        self.max_depth, self.min_leaf, self.subsample = 1 if base == "stump" else max_depth, min_leaf, subsample

    def fit(self, x, y):
        """x (N, ...), y (N,) numbers or classes."""
        x, y = checked_pair(x, y, "GradientBoosting.fit")
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if y.ndim != 1:
            raise ValueError(f"GradientBoosting.fit: y must be (N,); got {y.shape}")
        self.how = self.loss or ("log" if y.dtype.kind in "iub" else "squared")
        if self.how == "log":
            self.classes, code = np.unique(y, return_inverse=True)
            K = len(self.classes)
            if K < 2:
                raise ValueError(f"GradientBoosting.fit: y has one class only, {self.classes}")
            target = np.eye(K)[code] if K > 2 else code[:, None].astype(np.float64)  # (N, 1) or (N, K)
            share = target.mean(0)
            self.start = np.log(share) if K > 2 else np.log(share / (1 - share))
        else:
            self.classes, target = None, y.astype(np.float64)[:, None]
            self.start = target.mean(0)
        trees = isinstance(self.base, str)
        whole = np.argsort(x, 0, kind="stable") if trees and x.ndim == 2 and self.subsample == 1 else None
        rng = np.random.default_rng(self.seed)
        F = np.tile(self.start, (len(x), 1))
        self.models, self.losses = [], []
        for m in range(self.n):
            pick = slice(None)
            if self.subsample < 1:
                pick = np.sort(rng.choice(len(x), max(1, round(self.subsample * len(x))), replace=False))
            p = self._mean(F)
            residual = target - p
            step = []
            for k in range(F.shape[1]):
                if trees:
                    model = DecisionTree(self.max_depth, self.min_leaf).fit(x[pick], residual[pick, k], order=whole)
                    if self.how == "log":
                        _newton(model, x[pick], residual[pick, k], p[pick, k], F.shape[1])
                else:
                    model = new_model(self.base, self.seed * 1000 + m)
                    model.fit(x[pick], residual[pick, k].astype(np.float32))
                step.append(model)
            for k, model in enumerate(step):
                F[:, k] += self.lr * as_array(model.predict(x)).reshape(-1)
            self.models.append(step)
            self.losses.append(self._loss(target, F))
        return self

    def _mean(self, F):
        """What F stands for: itself, or probabilities."""
        if self.how == "squared":
            return F
        if F.shape[1] == 1:
            return 1 / (1 + np.exp(-F))
        e = np.exp(F - F.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def _loss(self, target, F):
        if self.how == "squared":
            return float(((target - F) ** 2).mean())
        if F.shape[1] == 1:
            return float((np.logaddexp(0, F) - target * F).mean())
        top = F.max(1)
        return float((top + np.log(np.exp(F - top[:, None]).sum(1)) - (target * F).sum(1)).mean())

    def decision_function(self, x, n: int | None = None) -> np.ndarray:
        """F (N, outputs) after n rounds (None: all)."""
        x = as_array(x)
        F = np.tile(self.start, (len(x), 1))
        for step in self.models[:n]:
            for k, model in enumerate(step):
                F[:, k] += self.lr * as_array(model.predict(x)).reshape(-1)
        return F

    def predict_proba(self, x, n: int | None = None) -> np.ndarray:
        """Probabilities (N, C)."""
        if self.how != "log":
            raise ValueError("GradientBoosting.predict_proba: the loss is squared; there are no classes")
        p = self._mean(self.decision_function(x, n))
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    def predict(self, x, n: int | None = None) -> np.ndarray:
        """Classes or numbers (N,) after n rounds (None: all)."""
        if self.how == "log":
            return self.classes[self.predict_proba(x, n).argmax(1)]
        return self.decision_function(x, n)[:, 0]


def _newton(tree, x, residual, p, outputs):
    """Replace the mean of each leaf by one Newton step of the log loss."""
    leaf = tree.apply(x)
    top = np.bincount(leaf, residual, len(tree.value))
    bottom = np.bincount(leaf, p * (1 - p), len(tree.value))
    factor = (outputs - 1) / outputs if outputs > 1 else 1.0
    tree.value = (factor * np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 1e-150))[:, None]
