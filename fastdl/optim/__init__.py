"""Optimizers, one a file, and learning-rate schedules."""

from fastdl.optim import lr_scheduler, swa_utils
from fastdl.optim.adadelta import Adadelta
from fastdl.optim.adagrad import Adagrad
from fastdl.optim.adam import Adam
from fastdl.optim.adamax import Adamax
from fastdl.optim.adamp import AdamP
from fastdl.optim.adamw import AdamW
from fastdl.optim.ema import EMA
from fastdl.optim.lbfgs import LBFGS
from fastdl.optim.nadam import NAdam
from fastdl.optim.nag import NAG
from fastdl.optim.optimizer import Optimizer
from fastdl.optim.radam import RAdam
from fastdl.optim.rmsprop import RMSprop
from fastdl.optim.sgd import SGD
from fastdl.optim.sgdp import SGDP

__all__ = [
    "EMA", "LBFGS", "NAG", "SGD", "SGDP", "Adadelta", "Adagrad", "Adam", "AdamP", "AdamW", "Adamax", "NAdam", "Optimizer", "RAdam",
    "RMSprop", "lr_scheduler", "swa_utils",
]  # fmt: skip
