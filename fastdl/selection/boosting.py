"""AdaBoost: each weak learner is trained on what its predecessors got wrong, and their weighted votes decide.

    err_m = sum w [h_m(x) != y] / sum w        alpha_m = lr (ln((1 - err_m) / err_m) + ln(K - 1))
    w <- w exp(alpha_m [h_m(x) != y]), normalised        F(x) = argmax_k sum_m alpha_m [h_m(x) = k]

With two classes this is AdaBoost.M1; the ln(K - 1) lets a learner that beats guessing (1/K right) help with more classes.

Ref  Freund, Schapire, "A decision-theoretic generalization of on-line learning and an application to boosting", 1997
     Zhu, Zou, Rosset, Hastie, "Multi-class AdaBoost", 2009 (SAMME)
"""

import math

import numpy as np

from fastdl.selection.estimator import as_array, checked_pair, new_model
from fastdl.selection.tree import DecisionTree


class AdaBoost:
    """A sum of weak classifiers.

    base  "stump", "tree" (depth 3), or function() -> a new model whose fit takes sample_weight (a Module too)
    n     learners at most; it stops early where a learner makes no error, or none better than guessing (err >= 1 - 1/K)
    lr    shrinks every alpha

    After fit: models, alphas (m,), errors (m,) weighted, losses (m,): mean exponential loss on the training data

    Example
    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> AdaBoost(n=20).fit(x, np.array([0, 1, 1, 0])).predict(x).tolist()
    [0, 1, 1, 0]
    """

    def __init__(self, base="stump", n: int = 100, lr: float = 1.0, seed: int = 0):
        if isinstance(base, str) and base not in ("stump", "tree"):
            raise ValueError(f"AdaBoost: base must be 'stump', 'tree' or a function; got {base!r}")
        if n < 1 or not lr > 0:
            raise ValueError(f"AdaBoost: n must be at least 1 and lr positive; got {n} and {lr}")
        self.base, self.n, self.lr, self.seed = base, n, lr, seed

    def fit(self, x, y, sample_weight=None):
        """x (N, ...), y (N,) integers: the classes."""
        x, y = checked_pair(x, y, "AdaBoost.fit")
        if y.dtype.kind not in "iub" or y.ndim != 1:
            raise TypeError(
                f"AdaBoost.fit: y must be integers (N,); got {y.dtype} {y.shape}; GradientBoosting fits numbers"
            )
        self.classes, code = np.unique(y, return_inverse=True)
        K = len(self.classes)
        if K < 2:
            raise ValueError(f"AdaBoost.fit: y has one class only, {self.classes}")
        trees = isinstance(self.base, str)
        order = np.argsort(x, 0, kind="stable") if trees and x.ndim == 2 else None  # the same for all trees
        w = np.ones(len(x)) if sample_weight is None else as_array(sample_weight).astype(np.float64)
        start = w = w / w.sum()
        self.models, self.alphas, self.errors, self.losses = [], [], [], []
        margin = np.zeros((len(x), K))  # sum of beta g, the coding of Zhu et al. in which the loss is exponential
        for m in range(self.n):
            if trees:
                model = DecisionTree(1 if self.base == "stump" else 3).fit(x, code, w, order)
            else:
                model = new_model(self.base, self.seed * 1000 + m)
                model.fit(x, code, sample_weight=w * len(w))
            said = as_array(model.predict(x))
            wrong = said != code
            error = float(w[wrong].sum())
            if error >= 1 - 1 / K:
                if not self.models:
                    raise ValueError(
                        f"AdaBoost.fit: the first learner has weighted error {error:.3f}, no better than guessing "
                        f"({1 - 1 / K:.3f}); is it trained enough?"
                    )
                break
            alpha = self.lr * (math.log((1 - error) / max(error, 1e-12)) + math.log(K - 1))
            self.models.append(model)
            self.alphas.append(alpha)
            self.errors.append(error)
            vote = np.full((len(x), K), -1 / (K - 1))
            vote[np.arange(len(x)), said] = 1
            margin += (K - 1) ** 2 / K * alpha * vote
            coded = np.full((len(x), K), -1 / (K - 1))
            coded[np.arange(len(x)), code] = 1
            self.losses.append(float((start * np.exp(-(coded * margin).sum(1) / K)).sum()))
            if error == 0:
                break
            w = w * np.exp(alpha * wrong)
            w = w / w.sum()
        return self

    def decision_function(self, x, n: int | None = None) -> np.ndarray:
        """Weighted votes (N, C) of the first n learners (None: all), as shares that sum to 1."""
        x = as_array(x)
        score = np.zeros((len(x), len(self.classes)))
        for model, alpha in zip(self.models[:n], self.alphas[:n], strict=True):
            score[np.arange(len(x)), as_array(model.predict(x))] += alpha
        return score / sum(self.alphas[:n])

    predict_proba = decision_function

    def predict(self, x, n: int | None = None) -> np.ndarray:
        """Classes (N,), by the first n learners (None: all)."""
        return self.classes[self.decision_function(x, n).argmax(1)]

    def staged_predict(self, x):
        """The predictions after 1, 2, ... learners; every learner is asked once."""
        x = as_array(x)
        score = np.zeros((len(x), len(self.classes)))
        for model, alpha in zip(self.models, self.alphas, strict=True):
            score[np.arange(len(x)), as_array(model.predict(x))] += alpha
            yield self.classes[score.argmax(1)]
