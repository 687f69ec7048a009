"""Data: datasets, samplers, the loader, and one real data set a file."""

from fastdl.data._split import Split
from fastdl.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from fastdl.data.digits import digits
from fastdl.data.loader import DataLoader, batch_rng, default_collate
from fastdl.data.mnist import mnist, mnist5k, read_idx
from fastdl.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Split",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "batch_rng",
    "default_collate",
    "digits",
    "mnist",
    "mnist5k",
    "random_split",
    "read_idx",
]
