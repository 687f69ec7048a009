"""Metrics: arrays or tensors in, numbers out."""

from fastdl.metrics.classification import accuracy, confusion, topk
from fastdl.metrics.detection import average_precision, coco_evaluate, mean_average_precision, precision_recall
from fastdl.metrics.segmentation import SegmentationScore, colour_map, mean_iou, pixel_accuracy

__all__ = [
    "SegmentationScore",
    "accuracy",
    "average_precision",
    "coco_evaluate",
    "colour_map",
    "confusion",
    "mean_average_precision",
    "mean_iou",
    "pixel_accuracy",
    "precision_recall",
    "topk",
]
