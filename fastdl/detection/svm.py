"""Linear support vector machines by dual coordinate descent, and hard-negative mining.

    min_w  |w|^2 / 2 + C sum_n max(0, 1 - y_n w.x_n)      (hinge; or its square)
    dual   min_a  |sum_n a_n y_n x_n|^2 / 2 + sum_n (d a_n^2 / 2 - a_n),  0 <= a_n <= C   (squared: no bound, d = 1 / (2 C))

One a_n after the other is set to its best value; w = sum a_n y_n x_n is kept along. The bias is the weight of a constant
input, so it is regularised, too.

Ref  Cortes and Vapnik 1995; Hsieh, Chang, Lin, Keerthi, Sundararajan, "A Dual Coordinate Descent Method for Large-scale
     Linear SVM", 2008; mining: Felzenszwalb et al. 2010, section 4; Girshick et al. 2014, section 2.3.
"""

import numpy as np

from fastdl.detection import _loops
from fastdl.detection.boxes import array


class LinearSVM:
    """One linear SVM of two classes.

    C           weight of the errors
    loss        "hinge" or "squared"
    tolerance   training ends when no optimality condition is violated by more
    passes      at most so many passes over the data
    positive    weight of the errors of positive samples, beside C

    After fit(): weight (D,), bias, gap (relative duality gap), passes_done.

    Example
    >>> x = np.array([[0.0], [1.0], [3.0], [4.0]])
    >>> svm = LinearSVM(C=10).fit(x, [0, 0, 1, 1])
    >>> (svm.decision(x) > 0).tolist()
    [False, False, True, True]
    """

    def __init__(self, C=1.0, loss="hinge", tolerance=1e-3, passes=200, positive=1.0, seed=0):
        if loss not in ("hinge", "squared") or not C > 0:
            raise ValueError(f"LinearSVM: loss is hinge or squared and C positive; got {loss!r}, {C}")
        self.C, self.loss, self.tolerance, self.passes, self.positive, self.seed = (
            C,
            loss,
            tolerance,
            passes,
            positive,
            seed,
        )

    def fit(self, x, y):
        """x (N, D) numbers; y (N,): two classes, 0 or -1 and 1. Returns self."""
        x, y = array(x), array(y)
        if x.ndim != 2 or y.shape != x.shape[:1] or not set(np.unique(y)) <= {-1, 0, 1}:
            raise ValueError(
                f"LinearSVM: x must be (N, D) and y (N,) with -1 (or 0) and 1; got {x.shape} and {y.shape}"
            )
        x = np.ascontiguousarray(np.concatenate([x, np.ones((len(x), 1))], 1), np.float32)  # (N, D + 1)
        y = np.where(y > 0, 1.0, -1.0)
        C = self.C * np.where(y > 0, self.positive, 1.0)
        squared = self.loss == "squared"
        cost = np.full(len(y), np.inf) if squared else C
        diagonal = 1 / (2 * C) if squared else np.zeros(len(y))
        norms = np.maximum(np.einsum("nd,nd->n", x, x, dtype=np.float64), 1e-12)
        w, alpha, rng = np.zeros(x.shape[1]), np.zeros(len(y)), np.random.default_rng(self.seed)
        self.passes_done = 0
        while self.passes_done < self.passes:
            self.passes_done += 1
            order = rng.permutation(len(y)).astype(np.intp)
            worst = _loops.dual_step(x, y, norms, order, w, alpha, np.asarray(cost, float), diagonal)
            if worst < self.tolerance:
                break
        self.weight, self.bias = w[:-1].copy(), float(w[-1])
        primal = self._primal(x, y, w, C)
        dual = alpha.sum() - 0.5 * w @ w - 0.5 * (diagonal * alpha**2).sum()
        self.objective, self.gap = primal, (primal - dual) / max(primal, 1e-12)
        return self

    def _primal(self, x, y, w, C):
        slack = np.maximum(0, 1 - y * (x @ w))
        return 0.5 * w @ w + (C * (slack**2 if self.loss == "squared" else slack)).sum()

    def evaluate(self, x, y):
        """The objective of this w and bias on other data: |w|^2 / 2 + C sum of losses."""
        x = np.concatenate([array(x), np.ones((len(x), 1))], 1)
        y = np.where(array(y) > 0, 1.0, -1.0)
        return self._primal(x, y, np.append(self.weight, self.bias), self.C * np.where(y > 0, self.positive, 1.0))

    def decision(self, x):
        """(N,) signed distances times |w|; above 0: the positive class."""
        return array(x) @ self.weight + self.bias


class OneVsRestSVM:
    """One LinearSVM a class; the class of the largest decision wins. Settings are LinearSVM's."""

    def __init__(self, **settings):
        self.settings = settings

    def fit(self, x, y):
        y = array(y)
        self.machines = [LinearSVM(**self.settings).fit(x, y == c) for c in range(int(y.max()) + 1)]
        return self

    def decision(self, x):
        """(N, classes)."""
        return np.stack([m.decision(x) for m in self.machines], 1)

    def predict(self, x):
        """(N,) labels."""
        return self.decision(x).argmax(1)


def mine(positives, negatives, rounds=5, start=500, keep_above=-1.2, most=2000, seed=0, **settings):
    """An SVM of positives (P, D) against many negatives (Q, D), trained on the hard ones only.

    It starts from `start` random negatives; each round drops those it holds for easy (decision below keep_above), adds the
    `most` worst that violate the margin, and trains again; it ends when none is new. Returns the LinearSVM.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(negatives), min(start, len(negatives)), replace=False))
    for _ in range(rounds):
        x = np.concatenate([positives, negatives[chosen]])
        svm = LinearSVM(**settings).fit(x, np.arange(len(x)) < len(positives))
        score = svm.decision(negatives)
        hard = np.flatnonzero(score > -1)
        hard = np.setdiff1d(hard[np.argsort(-score[hard])][:most], chosen)
        if not len(hard):
            break
        chosen = np.union1d(chosen[score[chosen] > keep_above], hard)
    return svm
