"""Table: a data set of named columns, numbers as arrays and words as tuples of str."""

from collections import namedtuple

import numpy as np

from fastdl.data.dataset import Dataset


class Table(Dataset):
    """Columns of equal length, by name; item i is the named tuple of their i-th entries.

    A column is an ndarray (numbers) or a tuple (of str, or of arrays of different lengths).

    Example
    >>> verses = Table(book=np.array([1, 2]), text=("In the beginning", "Now these are"))
    >>> len(verses), verses.text[0], verses[1].book.item()
    (2, 'In the beginning', 2)
    """

    def __init__(self, **columns):
        self.columns = {k: v if isinstance(v, np.ndarray) else tuple(v) for k, v in columns.items()}
        lengths = {k: len(v) for k, v in self.columns.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"Table: all columns must have the same length; got {lengths}")
        self._row = namedtuple("Row", self.columns)

    def __getattr__(self, name):
        columns = self.__dict__.get("columns", {})
        if name not in columns:
            raise AttributeError(f"this Table has no column {name!r}; there are {', '.join(columns)}")
        return columns[name]

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index):
        return self._row(*(column[index] for column in self.columns.values()))

    def where(self, mask) -> "Table":
        """The rows at a boolean mask (N,) or at indices; of columns that are read-only, read-only ones."""
        mask = np.asarray(mask)
        indices = np.flatnonzero(mask) if mask.dtype == bool else mask
        chosen = {}
        for name, column in self.columns.items():
            if isinstance(column, np.ndarray):
                chosen[name] = column[indices]
                chosen[name].flags.writeable = column.flags.writeable
            else:
                chosen[name] = tuple(column[i] for i in indices.tolist())
        return Table(**chosen)

    def __repr__(self):
        return f"Table of {len(self)} rows: {', '.join(self.columns)}"
