"""Models: one file per paper."""

from fastdl.models.lenet import LeNet5, lenet5

__all__ = ["LeNet5", "lenet5"]
