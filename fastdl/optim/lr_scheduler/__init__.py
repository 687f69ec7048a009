"""Learning rates that change while training: torch's schedules, and warm-ups."""

from fastdl.optim.lr_scheduler.base import LRScheduler
from fastdl.optim.lr_scheduler.compose import ChainedScheduler, SequentialLR
from fastdl.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from fastdl.optim.lr_scheduler.cyclic import CyclicLR, OneCycleLR
from fastdl.optim.lr_scheduler.decay import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from fastdl.optim.lr_scheduler.plateau import ReduceLROnPlateau
from fastdl.optim.lr_scheduler.warmup import NoamLR, WarmupLR

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "NoamLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR", "WarmupLR",
]  # fmt: skip
