"""Stochastic weight averaging, with torch.optim.swa_utils' names: AveragedModel, SWALR, update_bn.

Ref  Izmailov, Podoprikhin, Garipov, Vetrov, Wilson 2018, arXiv 1803.05407
"""

from copy import deepcopy

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.optim.ema import lerp_
from fastdl.optim.lr_scheduler.base import LRScheduler, at_least, per_group
from fastdl.optim.lr_scheduler.cyclic import annealing
from fastdl.tape import wrote


def get_ema_multi_avg_fn(decay: float = 0.999):
    """For AveragedModel(multi_avg_fn=...): average <- decay average + (1 - decay) w."""
    if not 0 <= decay <= 1:
        raise ValueError(f"get_ema_multi_avg_fn: decay must lie in [0, 1]; got {decay}")

    def average(averages, values, num_averaged):
        lerp_([a.array for a in averages], [v.array for v in values], 1 - decay)

    return average


def get_swa_multi_avg_fn():
    """For AveragedModel(multi_avg_fn=...): the mean of all weights so far."""

    def average(averages, values, num_averaged):
        lerp_([a.array for a in averages], [v.array for v in values], 1 / (int(num_averaged) + 1))

    return average


def get_ema_avg_fn(decay: float = 0.999):
    """For AveragedModel(avg_fn=...): the same for one parameter, which is returned."""
    if not 0 <= decay <= 1:
        raise ValueError(f"get_ema_avg_fn: decay must lie in [0, 1]; got {decay}")
    return lambda average, value, num_averaged: decay * average + (1 - decay) * value


def get_swa_avg_fn():
    """For AveragedModel(avg_fn=...): the mean, for one parameter, which is returned."""
    return lambda average, value, num_averaged: average + (value - average) / (num_averaged + 1)


class AveragedModel(nn.Module):
    """A copy of a model that holds the mean of its weights.

    Parameters  avg_fn(average, value, number averaged) -> Tensor, or multi_avg_fn(averages, values, number), which writes into
                the averages; without either the mean of all weights given to update_parameters
                use_buffers: average floating buffers too; else they are copied
                device: taken for torch's sake, must be None or "cpu"
    State       module.<name of the model's entry>, n_averaged
    Errors      ValueError for both avg_fn and multi_avg_fn
    """

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        if device is not None and str(device) != "cpu":
            raise ValueError(f"AveragedModel: device must be cpu; got {device}")
        self.module = deepcopy(model)
        self.register_buffer("n_averaged", Tensor(np.asarray(0, np.int64)))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers
        if avg_fn is None and multi_avg_fn is None:
            self.multi_avg_fn = get_swa_multi_avg_fn()

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model):
        """Take the weights of `model` in; the first ones are copied."""
        mine, its = list(self.module.parameters()), list(model.parameters())
        copied = list(zip(self.module.buffers(), model.buffers(), strict=True))
        if self.use_buffers:
            mine += [a for a, _ in copied if a.dtype.kind == "f"]
            its += [b for _, b in copied if b.dtype.kind == "f"]
            copied = [(a, b) for a, b in copied if a.dtype.kind != "f"]
        if len(mine) != len(its):
            raise ValueError(f"AveragedModel: the model has {len(its)} parameters, the average {len(mine)}")
        n = int(self.n_averaged.array)
        if n == 0:
            copied += list(zip(mine, its, strict=True))
        elif self.multi_avg_fn is not None:
            self.multi_avg_fn(mine, its, n)
        else:
            for average, value in zip(mine, its, strict=True):
                average.array[...] = self.avg_fn(average.detach(), value.detach(), n).array
        for a, b in copied:
            a.array[...] = b.array
        for a in mine:
            wrote(a, "AveragedModel.update_parameters")
        self.n_averaged.array += 1


class SWALR(LRScheduler):
    """From the present rate to swa_lr (one, or a list) in anneal_epochs steps, and on at swa_lr."""

    kept = ("starts",)

    def __init__(self, optimizer, swa_lr, anneal_epochs: int = 10, anneal_strategy: str = "cos", last_epoch: int = -1):
        at_least("SWALR", "anneal_epochs", anneal_epochs, 0)
        self.swa_lrs = per_group("SWALR", "swa_lr", swa_lr, optimizer)
        self.anneal_epochs, self._anneal = anneal_epochs, annealing("SWALR", anneal_strategy)
        self.starts = [group["lr"] for group in optimizer.param_groups]
        super().__init__(optimizer, last_epoch)

    def _part(self, t):
        """How far on the way to swa_lr, 0 to 1."""
        part = min(1.0, t / self.anneal_epochs) if self.anneal_epochs else float(t >= 0)
        return self._anneal(0.0, 1.0, part)

    def rates(self, t):
        part = self._part(t)
        return [start * (1 - part) + end * part for start, end in zip(self.starts, self.swa_lrs, strict=True)]

    def chained(self, t, i, lr):
        before, part = self._part(t - 1) if t else 0.0, self._part(t)
        start = (lr - before * self.swa_lrs[i]) / (1 - before) if before < 1 else lr
        return start * (1 - part) + self.swa_lrs[i] * part


@no_grad()
def update_bn(loader, model, device=None):
    """Compute the running means and variances of all BatchNorms of a model anew, over the batches of a loader.

    A batch is a tensor, or a list or tuple whose first entry is the input. An averaged model needs this before it is used: the
    statistics of its inputs are not the average of anybody's.
    """
    norms = [
        m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and m.running_mean is not None
    ]
    if not norms:
        return
    was_training = model.training
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.running_mean.array[...], m.running_var.array[...], m.num_batches_tracked.array[...] = 0, 1, 0
        m.momentum = None  # the mean of all batches
    try:
        model.train()
        for batch in loader:
            model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    finally:
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum
        model.train(was_training)
