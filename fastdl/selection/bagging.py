"""Bagging: train independent models on bootstrap samples and let them vote; the mean of many has less variance than one.

Ref  Breiman, "Bagging predictors", 1996; Ho, "The random subspace method for constructing decision forests", 1998
"""

import copy

import numpy as np

from fastdl.selection.bootstrap import bootstrap_indices, out_of_bag
from fastdl.selection.estimator import as_array, checked_pair, new_model

COMBINE = ("vote", "mean_prob", "mean")


class Bagging:
    """n models, each on its own bootstrap sample, with its own initial weights and order.

    make_model  function() -> a new model (a Module, or fit and predict)
    n           models
    combine     "vote": the class most models name; "mean_prob": the largest mean probability (probabilities, not logits, are
                averaged); "mean": numbers. Default: mean_prob for integer y, mean for floating y
    features    share of the columns of x that each model sees (random subspaces); 1.0: all
    oob         judge on what the models did not see: `oob_score` after fit

    Example
    >>> from fastdl.selection import DecisionTree
    >>> x = np.arange(20.0)[:, None]
    >>> model = Bagging(lambda: DecisionTree(1), n=5).fit(x, (x[:, 0] > 9).astype(int))
    >>> len(model.models), model.predict(x[[0, 19]]).tolist()
    (5, [0, 1])
    """

    def __init__(self, make_model, n: int = 10, combine=None, features: float = 1.0, oob=True, seed: int = 0):
        if n < 1:
            raise ValueError(f"Bagging: n must be at least 1; got {n}")
        if combine not in (*COMBINE, None):
            raise ValueError(f"Bagging: combine must be one of {', '.join(COMBINE)} or None; got {combine!r}")
        if not 0 < features <= 1:
            raise ValueError(f"Bagging: features is a share above 0 and at most 1; got {features}")
        self.make_model, self.n, self.combine, self.features = make_model, n, combine, features
        self.oob, self.seed = oob, seed

    def fit(self, x, y):
        """x (N, ...), y (N,) classes 0..C-1 or numbers."""
        x, y = checked_pair(x, y, "Bagging.fit")
        classes = y.dtype.kind in "iub"
        self.how = self.combine or ("mean_prob" if classes else "mean")
        if classes == (self.how == "mean"):
            raise ValueError(f"Bagging: combine={self.how!r} does not go with y of type {y.dtype}")
        if classes and y.min() < 0:
            raise ValueError("Bagging.fit: classes must be numbered from 0")
        self.num_classes = int(y.max()) + 1 if classes else 0
        self.indices = bootstrap_indices(len(x), self.n, self.seed)
        rng = np.random.default_rng([self.seed, 1])
        width = x.shape[1] if x.ndim == 2 else 0
        if self.features < 1 and not width:
            raise ValueError(f"Bagging: features below 1 needs x (N, columns); got {x.shape}")
        take = max(1, round(self.features * width))
        self.columns = [
            np.sort(rng.choice(width, take, replace=False)) if take < width else None for _ in range(self.n)
        ]
        self.models = [new_model(self.make_model, self.seed * 1000 + i) for i in range(self.n)]  # weights differ

        for i, pick in enumerate(self.indices):
            self.models[i].fit(self._see(x[pick], i), y[pick])
        self.oob_score = self._oob_score(x, y) if self.oob else None
        return self

    def _see(self, x, i):
        return x if self.columns[i] is None else x[:, self.columns[i]]

    def _member(self, x, i):
        """What member i says: (N, C) votes or probabilities, or (N, ...) numbers."""
        x = self._see(x, i)
        if self.how == "mean_prob":
            p = self.models[i].predict_proba(x)
            known = getattr(self.models[i], "classes", None)  # of a tree that has not seen every class
            if known is None:
                return p
            out = np.zeros((len(x), self.num_classes))
            out[:, known] = p
            return out
        said = as_array(self.models[i].predict(x))
        return np.eye(self.num_classes)[said] if self.how == "vote" else said.astype(np.float64)

    def member_predictions(self, x) -> np.ndarray:
        """The prediction of every model by itself, (n, N)."""
        x = as_array(x)
        return np.stack([as_array(m.predict(self._see(x, i))) for i, m in enumerate(self.models)])

    def predict_proba(self, x) -> np.ndarray:
        """Mean probabilities, or shares of the votes, (N, C)."""
        if self.how == "mean":
            raise ValueError("Bagging.predict_proba: these models predict numbers, not classes")
        x = as_array(x)
        return sum(self._member(x, i) for i in range(self.n)) / self.n

    def predict(self, x) -> np.ndarray:
        """Classes (N,) or mean predictions."""
        if self.how != "mean":
            return self.predict_proba(x).argmax(1)
        x = as_array(x)
        return sum(self._member(x, i) for i in range(self.n)) / self.n

    def _oob_score(self, x, y):
        """Accuracy or r2 over the items that at least one model did not see, each judged by those models only."""
        unseen = out_of_bag(self.indices)  # (n, N)
        total = None
        for i in range(self.n):
            (where,) = np.nonzero(unseen[i])
            if len(where):
                part = self._member(x[where], i)
                if total is None:
                    total = np.zeros((len(x), *part.shape[1:]))
                total[where] += part
        count = unseen.sum(0)
        if total is None or not count.any():
            return float("nan")
        seen = count > 0
        mean = total[seen] / count[seen].reshape(-1, *[1] * (total.ndim - 1))
        if self.how != "mean":
            return float((mean.argmax(1) == y[seen]).mean())
        from fastdl.metrics import r2

        return r2(mean.reshape(y[seen].shape), y[seen])

    def first(self, n: int) -> "Bagging":
        """The ensemble of the first n members, without training anything."""
        if not 1 <= n <= self.n:
            raise ValueError(f"Bagging.first: n must lie in 1..{self.n}; got {n}")
        other = copy.copy(self)
        other.models, other.n = self.models[:n], n
        return other
