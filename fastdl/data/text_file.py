"""Plain text: characters as numbers, and windows of them to learn the next character from."""

from pathlib import Path

import numpy as np

from fastdl.autograd import Tensor
from fastdl.data._split import Split
from fastdl.data.dataset import Dataset


def read_text(path, encoding: str = "utf-8") -> str:
    """The text of a file; ValueError names the byte that is not of this encoding."""
    try:
        return Path(path).read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not {encoding} at byte {error.start}; pass encoding='latin-1' or what it is"
        ) from None


class Characters:
    """The characters of a text, sorted, and their numbers.

    Example
    >>> vocabulary = Characters("abba c")
    >>> vocabulary.encode("cab").tolist(), vocabulary.decode([1, 2])
    ([3, 1, 2], 'ab')
    """

    def __init__(self, text: str):
        self.symbols = sorted(set(text))
        self._number = {c: i for i, c in enumerate(self.symbols)}

    def __len__(self):
        return len(self.symbols)

    def encode(self, text: str) -> np.ndarray:
        """(len(text),) int64; ValueError for a character that is not in the vocabulary."""
        try:
            return np.fromiter((self._number[c] for c in text), np.int64, len(text))
        except KeyError as error:
            raise ValueError(f"Characters: {error.args[0]!r} is not one of the {len(self)} characters") from None

    def decode(self, numbers) -> str:
        return "".join(self.symbols[int(i)] for i in np.asarray(numbers).reshape(-1))


class Windows(Dataset):
    """Item i is (x, y), both (length,) int64: a window of a sequence of numbers, and the same one step further on.

    stride: how far apart windows begin; `length` by default, so that every number is predicted once.
    """

    def __init__(self, sequence, length: int, stride: int | None = None):
        self.sequence, self.length = np.asarray(sequence), length
        if length < 1 or self.sequence.ndim != 1 or len(self.sequence) <= length:
            raise ValueError(
                f"Windows: windows of {length} need a sequence (N,) with N > {length}; got shape {self.sequence.shape}"
            )
        self.starts = np.arange(0, len(self.sequence) - length, stride or length)

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, index):
        start = self.starts[index]
        return self.sequence[start : start + self.length], self.sequence[start + 1 : start + self.length + 1]

    def take(self, indices):
        places = self.starts[np.asarray(indices)][:, None] + np.arange(self.length)  # (B, length)
        return Tensor(self.sequence[places]), Tensor(self.sequence[places + 1])


def text_windows(train: str, test: str, length: int) -> tuple[Split, Characters]:
    """Windows over two texts (as kjv() gives them) and the vocabulary, which is that of the training text.

    Example
    >>> split, vocabulary = text_windows("to be or not to be", "not to be", 4)
    >>> len(split.train), vocabulary.decode(split.train[0][1].tolist())
    (4, 'o be')
    """
    vocabulary = Characters(train)
    return Split(*(Windows(vocabulary.encode(text), length) for text in (train, test))), vocabulary
