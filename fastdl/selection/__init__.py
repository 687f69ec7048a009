"""Evaluation and model selection: how good is a model, why does it err, and which settings or ensembles do better.

estimator (fit and predict around a network), tree -> folds, bootstrap -> validation, search, lr_finder
  -> bagging, boosting, gradient_boosting -> bias_variance, generalization, sharpness, networks
"""

from fastdl.selection.bagging import Bagging
from fastdl.selection.bias_variance import BiasVariance, bias_variance, decompose
from fastdl.selection.boosting import AdaBoost
from fastdl.selection.bootstrap import bootstrap_ci, bootstrap_indices, out_of_bag
from fastdl.selection.estimator import Estimator, Standardized
from fastdl.selection.folds import GroupKFold, KFold, StratifiedKFold
from fastdl.selection.generalization import GapCallback, generalization_curve, model_size_curve
from fastdl.selection.gradient_boosting import GradientBoosting
from fastdl.selection.lr_finder import find_lr
from fastdl.selection.networks import approximation_curve, collapse_linear
from fastdl.selection.search import search
from fastdl.selection.sharpness import (
    direction_sharpness,
    filter_normalized_direction,
    hessian_vector,
    keskar_sharpness,
    line_between,
    sharpness,
    top_eigenvalue,
)
from fastdl.selection.tree import DecisionTree, stump
from fastdl.selection.validation import CrossValidation, cross_validate

__all__ = [
    "AdaBoost",
    "Bagging",
    "BiasVariance",
    "CrossValidation",
    "DecisionTree",
    "Estimator",
    "GapCallback",
    "GradientBoosting",
    "GroupKFold",
    "KFold",
    "Standardized",
    "StratifiedKFold",
    "approximation_curve",
    "bias_variance",
    "bootstrap_ci",
    "bootstrap_indices",
    "collapse_linear",
    "cross_validate",
    "decompose",
    "direction_sharpness",
    "filter_normalized_direction",
    "find_lr",
    "generalization_curve",
    "hessian_vector",
    "keskar_sharpness",
    "line_between",
    "model_size_curve",
    "out_of_bag",
    "search",
    "sharpness",
    "stump",
    "top_eigenvalue",
]
