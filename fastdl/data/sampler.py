"""Samplers: in which order the items of a dataset come.

A random order is a function of (seed, epoch) alone, never of how many numbers somebody drew before: so a loader
resumes in the middle of an epoch from two integers. The DataLoader calls `set_epoch`; without it, each `iter` is an
epoch.
"""

import numpy as np

from fastdl.random import initial_seed


class Sampler:
    """Base class: write `__iter__` (of indices) and `__len__`."""

    def __iter__(self):
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")

    def __len__(self):
        raise NotImplementedError(f"{type(self).__name__} must define __len__()")


class SequentialSampler(Sampler):
    """0, 1, 2, ..."""

    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


class _Seeded(Sampler):
    """What the random samplers share: a seed (None: that of manual_seed), and an epoch that iterations count up."""

    def __init__(self, seed):
        self.seed, self.epoch = int(initial_seed() if seed is None else seed), 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self):
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        return iter(self.draw(rng).tolist())


class RandomSampler(_Seeded):
    """A permutation of all items, or `num_samples` draws with replacement."""

    def __init__(self, data_source, replacement=False, num_samples=None, seed=None):
        super().__init__(seed)
        self.data_source, self.replacement = data_source, replacement
        self.num_samples = len(data_source) if num_samples is None else num_samples
        if not replacement and self.num_samples > len(data_source):
            raise ValueError(
                f"RandomSampler: {self.num_samples} samples of {len(data_source)} items need replacement=True"
            )

    def draw(self, rng):
        n = len(self.data_source)
        return rng.integers(n, size=self.num_samples) if self.replacement else rng.permutation(n)[: self.num_samples]

    def __len__(self):
        return self.num_samples


class SubsetRandomSampler(_Seeded):
    """A permutation of the given indices."""

    def __init__(self, indices, seed=None):
        super().__init__(seed)
        self.indices = np.asarray(indices, dtype=np.intp)

    def draw(self, rng):
        return rng.permutation(self.indices)

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(_Seeded):
    """`num_samples` draws in which item i comes with probability proportional to weights[i]."""

    def __init__(self, weights, num_samples, replacement=True, seed=None):
        super().__init__(seed)
        self.weights = np.asarray(weights, dtype=np.float64)
        self.num_samples, self.replacement = num_samples, replacement
        if self.weights.ndim != 1 or not (self.weights >= 0).all() or not self.weights.sum() > 0:
            raise ValueError("WeightedRandomSampler: weights must be a list of numbers >= 0, not all zero")
        if not replacement and num_samples > np.count_nonzero(self.weights):
            raise ValueError(f"WeightedRandomSampler: {num_samples} samples need as many weights > 0, or replacement")

    def draw(self, rng):
        p = self.weights / self.weights.sum()
        return rng.choice(len(p), self.num_samples, replace=self.replacement, p=p)

    def __len__(self):
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of `batch_size` indices from another sampler; the last may be shorter, or is dropped."""

    def __init__(self, sampler, batch_size, drop_last=False):
        self.sampler, self.batch_size, self.drop_last = sampler, _checked(batch_size), drop_last

    def set_epoch(self, epoch: int) -> None:
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __iter__(self):
        batch = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self):
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


class StratifiedBatchSampler(_Seeded):
    """Batches in which every class has its share of the data, up to one item: for small batches of uneven classes.

    labels (N,): the class of every item. All items come once an epoch, in a new order; the last batch may be shorter, or is
    dropped.

    Example
    >>> sampler = StratifiedBatchSampler([0] * 6 + [1] * 3, batch_size=3, seed=0)
    >>> [sum(i >= 6 for i in batch) for batch in sampler]
    [1, 1, 1]
    """

    def __init__(self, labels, batch_size, drop_last=False, seed=None):
        super().__init__(seed)
        self.labels = np.asarray(labels)
        if self.labels.ndim != 1 or not len(self.labels):
            raise ValueError(f"StratifiedBatchSampler: labels must be a list of classes; got shape {self.labels.shape}")
        self.batch_size, self.drop_last = _checked(batch_size), drop_last

    def draw(self, rng):
        place = np.empty(
            len(self.labels)
        )  # in 0..1: the items of a class lie evenly, so that every stretch has its share
        for label in np.unique(self.labels):
            (where,) = np.nonzero(self.labels == label)
            place[rng.permutation(where)] = (np.arange(len(where)) + rng.random()) / len(where)
        return np.argsort(place, kind="stable")

    def __iter__(self):
        order = list(super().__iter__())
        batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        return iter(batches[: len(self)])

    def __len__(self):
        n = len(self.labels)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


class BucketBatchSampler(_Seeded):
    """Batches of items of similar length, so that little is padded: by number of items, or by number of padded tokens.

    lengths (N,): of every item. Give batch_size, or max_tokens: the longest item times the number of items stays below it.
    Every item comes once an epoch; which items of the same length come together, and the order of the batches, are drawn anew.

    Example
    >>> sampler = BucketBatchSampler([3, 9, 3, 10, 4], max_tokens=20, seed=0)
    >>> sorted(sorted(batch) for batch in sampler)
    [[0, 2, 4], [1, 3]]
    """

    def __init__(self, lengths, batch_size=None, max_tokens=None, shuffle=True, seed=None):
        super().__init__(seed)
        self.lengths, self.shuffle = np.asarray(lengths), shuffle
        if self.lengths.ndim != 1 or not len(self.lengths) or (self.lengths < 0).any():
            raise ValueError("BucketBatchSampler: lengths must be a list of numbers >= 0, not empty")
        if (batch_size is None) == (max_tokens is None):
            raise ValueError("BucketBatchSampler: give batch_size or max_tokens")
        if max_tokens is not None and self.lengths.max() > max_tokens:
            raise ValueError(
                f"BucketBatchSampler: the longest item has {self.lengths.max()} tokens, more than max_tokens = {max_tokens}"
            )
        _checked(1 if batch_size is None else batch_size)
        ordered = np.sort(self.lengths)
        self._ends = [0]  # of the batches, in the items sorted by length: the same every epoch
        for i in range(len(ordered)):
            n = i - self._ends[-1]
            if n and (n == batch_size if batch_size else ordered[i] * (n + 1) > max_tokens):
                self._ends.append(i)
        self._ends.append(len(ordered))

    def draw(self, rng):
        return np.lexsort((rng.random(len(self.lengths)), self.lengths))

    def __iter__(self):
        epoch = self.epoch
        order = list(super().__iter__())
        batches = [order[a:b] for a, b in zip(self._ends, self._ends[1:])]
        if self.shuffle:
            batches = [batches[i] for i in np.random.default_rng([self.seed, epoch, 1]).permutation(len(batches))]
        return iter(batches)

    def __len__(self):
        return len(self._ends) - 1


def _checked(batch_size):
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise ValueError(f"batch_size must be an integer of at least 1; got {batch_size!r}")
    return batch_size
