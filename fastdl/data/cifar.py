"""CIFAR-10 and CIFAR-100 from the original binary files in a folder.

Source of the format: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the page of the data set,
"Binary version": a record is one label byte (two for CIFAR-100: coarse, fine) and 3072 bytes of an image in planes R, G, B.
"""

from pathlib import Path

import numpy as np

from fastdl.data._split import Split
from fastdl.data.dataset import TensorDataset

PIXELS = 3 * 32 * 32


def cifar10(folder) -> Split:
    """CIFAR-10 (50,000 / 10,000): x (N, 3, 32, 32) float32 in 0..1, y (N,) int64, from data_batch_1.bin ... test_batch.bin.

    folder: with these files, or with cifar-10-batches-bin in it.
    """
    folder = _folder(folder, "cifar-10-batches-bin")
    train = [read_cifar(folder / f"data_batch_{i}.bin") for i in range(1, 6)]
    x, y = (np.concatenate(part) for part in zip(*train))
    return Split(_dataset(x, y[:, 0]), _dataset(*_last_label(read_cifar(folder / "test_batch.bin"))))


def cifar100(folder, coarse: bool = False) -> Split:
    """CIFAR-100 (50,000 / 10,000) from train.bin and test.bin: 100 classes, or the 20 coarse ones."""
    folder = _folder(folder, "cifar-100-binary")
    parts = [read_cifar(folder / name, labels=2) for name in ("train.bin", "test.bin")]
    return Split(*(_dataset(x, y[:, 0 if coarse else 1]) for x, y in parts))


def read_cifar(path, labels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(images (N, 3, 32, 32) uint8, labels (N, `labels`) int64) of one binary file; ValueError if it is cut off."""
    data = np.fromfile(path, np.uint8)
    record = labels + PIXELS
    if len(data) == 0 or len(data) % record:
        raise ValueError(
            f"{path}: {len(data)} bytes are no whole number of records of {record} bytes; cut off, or not CIFAR?"
        )
    data = data.reshape(-1, record)
    return data[:, labels:].reshape(-1, 3, 32, 32), data[:, :labels].astype(np.int64)


def _last_label(part):
    x, y = part
    return x, y[:, -1]


def _dataset(x, y):
    return TensorDataset(x.astype(np.float32) / np.float32(255), np.ascontiguousarray(y))


def _folder(folder, inner):
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"cifar: there is no folder {folder}")
    return folder / inner if (folder / inner).is_dir() else folder
