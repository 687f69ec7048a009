"""Datasets: things with a length and an item for every index."""

import bisect

import numpy as np

from fastdl.autograd import Tensor


class Dataset:
    """Base class: write `__len__` and `__getitem__`.

    A dataset that can fetch many items faster than one by one may also have `take(indices)`: the collated batch of
    these items. The DataLoader uses it where no collate_fn is given.
    """

    def __getitem__(self, index):
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index)")

    def __len__(self):
        raise NotImplementedError(f"{type(self).__name__} must define __len__()")

    def __add__(self, other):
        return ConcatDataset([self, other])


class TensorDataset(Dataset):
    """Tensors or arrays of equal length; item i is the tuple of their i-th rows.

    Example
    >>> data = TensorDataset(np.zeros((5, 2), np.float32), np.arange(5))
    >>> len(data), data[3][1].item()
    (5, 3)
    """

    def __init__(self, *tensors):
        self.tensors = tuple(t if isinstance(t, Tensor) else Tensor(np.asarray(t)) for t in tensors)
        if not self.tensors or any(not t.shape for t in self.tensors):
            raise ValueError("TensorDataset: needs tensors with at least one axis")
        lengths = [t.shape[0] for t in self.tensors]
        if len(set(lengths)) != 1:
            raise ValueError(f"TensorDataset: all tensors must have the same length; got {lengths}")

    def __len__(self):
        return self.tensors[0].shape[0]

    def __getitem__(self, index):
        return tuple(Tensor(np.asarray(t.array[index])) for t in self.tensors)

    def take(self, indices):
        return tuple(Tensor(t.array[indices]) for t in self.tensors)


class Subset(Dataset):
    """The items of `dataset` at `indices`."""

    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, np.asarray(indices, dtype=np.intp)
        if hasattr(dataset, "take"):
            self.take = lambda indices: dataset.take(self.indices[indices])

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.dataset[int(self.indices[index])]


class ConcatDataset(Dataset):
    """Several datasets, one after the other."""

    def __init__(self, datasets):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: needs at least one dataset")
        self.cumulative_sizes = np.cumsum([len(d) for d in self.datasets]).tolist()

    def __len__(self):
        return self.cumulative_sizes[-1]

    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} items")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


def random_split(dataset, lengths, seed: int = 0):
    """Subsets of these lengths (or fractions that sum to 1), drawn without replacement; the same for the same seed.

    Example
    >>> [len(part) for part in random_split(range(10), [0.75, 0.25])]
    [8, 2]
    """
    n = len(dataset)
    lengths = list(lengths)
    if all(isinstance(f, float) and 0 <= f <= 1 for f in lengths) and abs(sum(lengths) - 1) < 1e-9:
        fractions, lengths = lengths, [int(f * n) for f in lengths]
        for i in range(n - sum(lengths)):  # what rounding down left over, one each from the front
            lengths[i % len(fractions)] += 1
    if sum(lengths) != n:
        raise ValueError(f"random_split: lengths {lengths} sum to {sum(lengths)}, the dataset has {n} items")
    order = np.random.default_rng(seed).permutation(n)
    ends = np.cumsum(lengths)
    return [Subset(dataset, order[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
