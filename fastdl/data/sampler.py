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
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"batch_size must be an integer of at least 1; got {batch_size!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

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
