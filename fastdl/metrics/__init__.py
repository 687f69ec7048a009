"""Metrics: arrays or tensors in, numbers out."""

from fastdl.metrics.classification import accuracy, confusion, topk

__all__ = ["accuracy", "confusion", "topk"]
