"""Folds: rotations of a data set into a part to learn from and a part to judge by.

Each class gives, for `split(x, y, groups)`, pairs (train, test) of index arrays; the test parts are a partition of the data.

Ref  Stone, "Cross-validatory choice and assessment of statistical predictions", 1974; Kohavi, "A study of cross-validation and
     bootstrap for accuracy estimation and model selection", 1995 (stratified folds)
"""

import numpy as np

from fastdl.selection.estimator import as_array


class _Folds:
    def __init__(self, k: int = 5, shuffle: bool = True, seed: int = 0):
        if k < 2:
            raise ValueError(f"{type(self).__name__}: k must be at least 2; got {k}")
        self.k, self.shuffle, self.seed = k, shuffle, seed

    def split(self, x, y=None, groups=None):
        """Pairs (train, test) of sorted index arrays, k of them."""
        n = len(as_array(x))
        fold = self._fold_of(n, y, groups)  # (n,) the fold whose test part has the item
        for i in range(self.k):
            yield np.flatnonzero(fold != i), np.flatnonzero(fold == i)

    def get_n_splits(self, x=None, y=None, groups=None) -> int:
        """k; scikit-learn asks for it."""
        return self.k

    def _too_few(self, what, found):
        return ValueError(f"{type(self).__name__}: k = {self.k} folds need at least {self.k} {what}; there are {found}")


class KFold(_Folds):
    """k folds of nearly equal size; the order is shuffled first unless shuffle=False.

    Example
    >>> [test.tolist() for _, test in KFold(2, shuffle=False).split(range(5))]
    [[0, 1, 2], [3, 4]]
    """

    def _fold_of(self, n, y, groups):
        if n < self.k:
            raise self._too_few("items", n)
        fold = np.repeat(np.arange(self.k), _sizes(n, self.k))
        if self.shuffle:
            fold = fold[np.random.default_rng(self.seed).permutation(n)]
        return fold


class StratifiedKFold(_Folds):
    """k folds in each of which every class has nearly its share of the whole."""

    def _fold_of(self, n, y, groups):
        if y is None:
            raise ValueError("StratifiedKFold.split: needs the labels y")
        y = as_array(y)
        if y.shape != (n,):
            raise ValueError(f"StratifiedKFold.split: labels must be {(n,)}; got {y.shape}")
        rng = np.random.default_rng(self.seed)
        fold, start = np.empty(n, np.intp), 0
        for label in np.unique(y):
            (where,) = np.nonzero(y == label)
            if len(where) < self.k:
                raise self._too_few(f"items of every class; of class {label}", len(where))
            if self.shuffle:
                where = rng.permutation(where)
            fold[where] = (start + np.arange(len(where))) % self.k  # go on where the class before ended: equal sizes
            start += len(where)
        return fold


class GroupKFold(_Folds):
    """k folds that never part a group (a patient, a writer): large groups first, each to the fold that is smallest so far."""

    def _fold_of(self, n, y, groups):
        if groups is None:
            raise ValueError("GroupKFold.split: needs groups, one label an item")
        names, which, sizes = np.unique(as_array(groups), return_inverse=True, return_counts=True)
        if len(which) != n:
            raise ValueError(f"GroupKFold.split: {len(which)} group labels for {n} items")
        if len(names) < self.k:
            raise self._too_few("groups", len(names))
        order = np.arange(len(names))
        if self.shuffle:
            order = np.random.default_rng(self.seed).permutation(order)
        order = order[np.argsort(-sizes[order], kind="stable")]
        filled, fold_of_group = np.zeros(self.k, np.intp), np.empty(len(names), np.intp)
        for group in order:
            smallest = filled.argmin()
            fold_of_group[group] = smallest
            filled[smallest] += sizes[group]
        return fold_of_group[which]


def _sizes(n, k):
    """n items in k parts, the first ones one larger where it does not divide."""
    return [n // k + (i < n % k) for i in range(k)]
