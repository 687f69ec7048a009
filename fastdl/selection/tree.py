"""Small decision trees, the weak learners of boosting: a stump has one question, a tree of depth 3 at most seven.

The idea  A leaf predicts the weighted mean of its targets. The split that lessens the squared error most is the one with the
          largest |S_left|^2 / W_left + |S_right|^2 / W_right, where S is the sum of the targets and W of the weights. With
          one-hot targets this is the Gini criterion, so one search serves classes and numbers.
The cost  Every feature is sorted once for the tree; a node costs some cumulative sums over (items, features, outputs).

Ref  Breiman, Friedman, Olshen, Stone, "Classification and Regression Trees", 1984
"""

import numpy as np

from fastdl.selection.estimator import as_array


class DecisionTree:
    """A tree with questions x[feature] <= threshold.

    max_depth    1 is a stump
    min_leaf     fewest items in a leaf
    max_features features tried at each node, drawn anew (None: all)
    After fit: feature, threshold, left, right (nodes,), -1 at leaves; value (nodes, outputs); classes (C,) for integer y

    Example
    >>> tree = DecisionTree(max_depth=1).fit(np.array([[1.0], [2.0], [3.0]]), np.array([0, 1, 1]))
    >>> tree.threshold[0].item(), tree.predict(np.array([[1.4], [1.6]])).tolist()
    (1.5, [0, 1])
    """

    def __init__(self, max_depth: int = 3, min_leaf: int = 1, max_features: int | None = None, seed: int = 0):
        if max_depth < 1 or min_leaf < 1 or (max_features is not None and max_features < 1):
            raise ValueError(
                f"DecisionTree: max_depth, min_leaf and max_features must be at least 1; "
                f"got {max_depth}, {min_leaf}, {max_features}"
            )
        self.max_depth, self.min_leaf, self.max_features, self.seed = max_depth, min_leaf, max_features, seed

    def fit(self, x, y, sample_weight=None, order=None):
        """x (N, F) numbers, y (N,) integers (classes) or (N,) or (N, outputs) floating; sample_weight (N,) not negative.

        order: np.argsort(x, 0, kind="stable"), for those who fit many trees to the same x
        """
        x, y = as_array(x).astype(np.float64, copy=False), as_array(y)
        if x.ndim != 2 or len(x) != len(y) or not len(x):
            raise ValueError(f"DecisionTree.fit: needs x (N, F) and as many targets; got {x.shape} and {y.shape}")
        if not np.isfinite(x).all():
            raise ValueError("DecisionTree.fit: x is not finite")
        self.classes, targets = None, y.reshape(len(y), -1).astype(np.float64)
        if y.dtype.kind in "iub":
            self.classes, codes = np.unique(y, return_inverse=True)
            targets = np.eye(len(self.classes))[codes]  # (N, C)
        weight = np.ones(len(x)) if sample_weight is None else as_array(sample_weight).astype(np.float64)
        if weight.shape != (len(x),) or weight.min() < 0 or not weight.sum() > 0:
            raise ValueError(f"DecisionTree.fit: sample_weight must be ({len(x)},), not negative, not all 0")
        if order is None:
            order = np.argsort(x, 0, kind="stable")
        self._nodes, self._rng = [], np.random.default_rng(self.seed)
        self._grow(x, targets, weight, order, 0)
        columns = list(zip(*self._nodes, strict=True))
        self.feature, self.left, self.right = (np.array(columns[i], np.intp) for i in (0, 2, 3))
        self.threshold, self.value = np.array(columns[1]), np.array(columns[4])
        del self._nodes
        return self

    def _grow(self, x, targets, weight, order, depth):
        """Add the node of the items in order[:, 0] and all below it; returns its number."""
        items = order[:, 0]
        w = weight[items]
        total = w.sum()
        mean = (w[:, None] * targets[items]).sum(0) / total if total > 0 else targets[items].mean(0)
        number = len(self._nodes)
        self._nodes.append((-1, 0.0, -1, -1, mean))
        split = self._best_split(x, targets, weight, order) if depth < self.max_depth else None
        if split is None:
            return number
        feature, threshold = split
        goes_left = x[:, feature] <= threshold  # (N,)
        mask = goes_left[order]  # (n, F): every column keeps its sorted order
        left, right = (order.T[m.T].reshape(order.shape[1], -1).T for m in (mask, ~mask))
        children = [self._grow(x, targets, weight, part, depth + 1) for part in (left, right)]
        self._nodes[number] = (feature, threshold, *children, mean)
        return number

    def _best_split(self, x, targets, weight, order):
        n, features = order.shape
        if n < 2 * self.min_leaf:
            return None
        chosen = np.arange(features)
        if self.max_features is not None and self.max_features < features:
            chosen = np.sort(self._rng.choice(features, self.max_features, replace=False))
            order = order[:, chosen]
        w = weight[order]  # (n, f)
        s = np.cumsum(w[..., None] * targets[order], 0)  # (n, f, outputs)
        w = np.cumsum(w, 0)
        total_s, total_w = s[-1], w[-1]
        left_s, left_w = s[:-1], w[:-1]  # split between item i and i + 1
        right_s, right_w = total_s - left_s, total_w - left_w
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = (left_s**2).sum(2) / left_w + (right_s**2).sum(2) / right_w  # (n - 1, f)
        values = np.take_along_axis(x[:, chosen], order, 0)
        tiny = 1e-12 * total_w[0]
        allowed = (values[1:] > values[:-1]) & (left_w > tiny) & (right_w > tiny)
        allowed[: self.min_leaf - 1] = False
        allowed[n - self.min_leaf :] = False
        gain = np.where(allowed, gain, -np.inf)
        at, which = np.unravel_index(gain.argmax(), gain.shape)
        parent = (total_s[0] ** 2).sum() / total_w[0]
        if not gain[at, which] > parent + 1e-12 * max(parent, 1e-300):
            return None
        low, high = values[at, which], values[at + 1, which]
        threshold = low + (high - low) / 2
        return int(chosen[which]), float(threshold if threshold < high else low)

    def apply(self, x) -> np.ndarray:
        """The number of the leaf that each item falls into, (N,)."""
        x = as_array(x)
        node = np.zeros(len(x), np.intp)
        for _ in range(self.max_depth):
            inner = self.feature[node] >= 0
            at = node[inner]
            goes_left = x[inner, self.feature[at]] <= self.threshold[at]
            node[inner] = np.where(goes_left, self.left[at], self.right[at])
        return node

    def decision_function(self, x) -> np.ndarray:
        """The means of the leaves, (N, outputs)."""
        return self.value[self.apply(x)]

    def predict_proba(self, x) -> np.ndarray:
        """Weighted shares of the classes in the leaf, (N, C)."""
        if self.classes is None:
            raise ValueError("DecisionTree.predict_proba: the tree was fitted to numbers, not to classes")
        return self.decision_function(x)

    def predict(self, x) -> np.ndarray:
        """Classes (N,), or numbers (N,) or (N, outputs)."""
        value = self.decision_function(x)
        if self.classes is not None:
            return self.classes[value.argmax(1)]
        return value[:, 0] if value.shape[1] == 1 else value


def stump(**settings) -> DecisionTree:
    """A tree with one question."""
    return DecisionTree(max_depth=1, **settings)
