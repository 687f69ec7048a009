"""A dataset whose batches are transformed as they are fetched, by the loader's own threads."""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.data.dataset import Dataset
from fastdl.data.loader import default_collate


class TransformedDataset(Dataset):
    """The items of `dataset`, the first field through `transform`, whole batches through `batch_transform`.

    A DataLoader hands whole batches to it (`take`), so transforms run on (N, C, H, W) at once.

    Parameters  transform: images -> images, or -> several (Views: these fields come first)
                batch_transform: (x, y) -> (x, y), as Mixup and CutMix; for batches (not single items) of two fields

    Example
    >>> from fastdl.data import DataLoader, mnist5k
    >>> from fastdl.data.mixing import Mixup
    >>> from fastdl.data.transforms import RandomAffine
    >>> data = TransformedDataset(mnist5k().train, RandomAffine(10), batch_transform=Mixup(10))
    >>> x, y = next(iter(DataLoader(data, batch_size=32, shuffle=True)))
    >>> x.shape, y.shape
    ((32, 1, 28, 28), (32, 10))
    """

    def __init__(self, dataset, transform=None, batch_transform=None):
        self.dataset, self.transform, self.batch_transform = dataset, transform, batch_transform

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self._moved(*self.dataset[index])

    def take(self, indices):
        indices = np.asarray(indices, np.intp)
        batch = self._batch(indices)
        if self.batch_transform is not None:
            if len(batch) != 2:
                raise ValueError(
                    f"TransformedDataset: batch_transform takes (x, y), but the batches have {len(batch)} fields"
                )
            batch = self.batch_transform(*batch)
        return tuple(Tensor(t) if isinstance(t, np.ndarray) else t for t in batch)

    def _batch(self, indices):
        if hasattr(self.dataset, "take"):
            x, *rest = self.dataset.take(indices)
        else:
            items = [self.dataset[int(i)] for i in indices]
            if len({np.shape(item[0]) for item in items}) > 1:  # images of different sizes: one by one
                return default_collate([self._moved(*item) for item in items])
            x, *rest = default_collate(items)
        return self._moved(x, *rest)

    def _moved(self, x, *rest):
        x = x if self.transform is None else self.transform(x)
        return (*x, *rest) if isinstance(x, tuple) else (x, *rest)
