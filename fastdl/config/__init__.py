"""A training run in one TOML file: `fastdl train CONFIG.toml --set optim.lr=0.01`.

    seed = 0
    epochs = 12
    out = "runs/my_lenet"

    [data]
    name = "mnist5k"            # a data set of fastdl.data that is a pair of TensorDatasets
    batch_size = 32

    [model]
    name = "lenet5"             # a constructor of fastdl.models; what else stands here are its arguments

    [optim]
    name = "Adam"               # a class of fastdl.optim
    lr = 0.003

    [schedule]
    name = "CosineAnnealingLR"  # a class of fastdl.optim.lr_scheduler
    every = "step"              # T_max is the length of the run unless it is given

    [fit]
    clip_norm = 1.0
    early_stopping = 3

Everything is checked before the first step: unknown keys, wrong types, numbers that make no sense, data that is empty, smaller
than a batch or labelled beyond the model's outputs. The error names the key, what it holds and what to do.
"""

from fastdl.config.build import build, run
from fastdl.config.schema import Config, ConfigError, load, parse, read_change

__all__ = ["Config", "ConfigError", "build", "load", "parse", "read_change", "run"]
