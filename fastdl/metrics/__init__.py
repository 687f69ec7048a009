"""Metrics: arrays or tensors in, numbers out.

classes: classification, probability    boxes and masks: detection, segmentation    text: sequence, translation
numbers: regression, image    samples: generative, digit_classifier    is A better than B: resampling
"""

from fastdl.metrics.classification import (
    accuracy,
    confusion,
    f1,
    precision,
    precision_recall_f1,
    recall,
    topk,
    topk_error,
)
from fastdl.metrics.detection import average_precision, coco_evaluate, mean_average_precision, precision_recall
from fastdl.metrics.generative import (
    classifier_score,
    frechet_distance,
    mode_coverage,
    nearest_distances,
    nearest_train_distance,
)
from fastdl.metrics.image import psnr, ssim
from fastdl.metrics.probability import auroc, bits_per_char, ece, perplexity
from fastdl.metrics.regression import mae, r2, rmse
from fastdl.metrics.resampling import paired_bootstrap
from fastdl.metrics.segmentation import SegmentationScore, colour_map, mean_iou, pixel_accuracy
from fastdl.metrics.sequence import edit_distance, error_rate, exact_match, phoneme_error_rate, word_error_rate
from fastdl.metrics.translation import bleu, chrf, tokenize_13a

_DIGITS = (
    "digit_classifier_score",
    "digit_features",
    "digit_frechet_distance",
)  # need a network: imported on first use

__all__ = [
    "SegmentationScore",
    "accuracy",
    "auroc",
    "average_precision",
    "bits_per_char",
    "bleu",
    "chrf",
    "classifier_score",
    "coco_evaluate",
    "colour_map",
    "confusion",
    "digit_classifier_score",
    "digit_features",
    "digit_frechet_distance",
    "ece",
    "edit_distance",
    "error_rate",
    "exact_match",
    "f1",
    "frechet_distance",
    "mae",
    "mean_average_precision",
    "mean_iou",
    "mode_coverage",
    "nearest_distances",
    "nearest_train_distance",
    "paired_bootstrap",
    "perplexity",
    "phoneme_error_rate",
    "pixel_accuracy",
    "precision",
    "precision_recall",
    "precision_recall_f1",
    "psnr",
    "r2",
    "recall",
    "rmse",
    "ssim",
    "tokenize_13a",
    "topk",
    "topk_error",
    "word_error_rate",
]


def __getattr__(name):
    if name in _DIGITS:
        import importlib

        return getattr(importlib.import_module("fastdl.metrics.digit_classifier"), name)
    raise AttributeError(f"module 'fastdl.metrics' has no attribute {name!r}")
