"""A schedule that waits for a metric to stop improving."""

import math

from fastdl.optim.lr_scheduler.base import LRScheduler, per_group


class ReduceLROnPlateau(LRScheduler):
    """Times factor when the metric given to step(metric) has not improved for more than `patience` steps.

    mode        "min" or "max": which way is better
    threshold   what counts as better: by that part of the best ("rel"), or by that much ("abs")
    cooldown    steps after a reduction in which nothing is counted
    min_lr      no group's rate falls below it (one, or a list); a change smaller than eps is left out
    Errors      ValueError for a factor of 1 or more, an unknown mode, min_lr of another number than groups
    """

    kept = ("best", "num_bad_epochs", "cooldown_counter")

    def __init__(
        self,
        optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr=0.0,
        eps: float = 1e-8,
    ):
        if not factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be below 1; got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau: mode must be min or max; got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"ReduceLROnPlateau: threshold_mode must be rel or abs; got {threshold_mode!r}")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        self.min_lrs = per_group("ReduceLROnPlateau", "min_lr", min_lr, optimizer)
        self.last_epoch, self.base_lrs = 0, self.get_last_lr()
        self._last_lr = self.get_last_lr()
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0

    def is_better(self, value: float) -> bool:
        """Is the value better than the best so far?"""
        sign = 1 if self.mode == "max" else -1
        if math.isinf(self.best):
            return sign * value > sign * self.best
        margin = self.threshold * (self.best if self.threshold_mode == "rel" else 1)
        return sign * value > sign * self.best + margin

    def step(self, metrics) -> None:
        """Look at the metric of this step (a number, or a Tensor of one)."""
        value = float(metrics)
        self.last_epoch += 1
        if self.is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        rates = self.get_last_lr()
        if self.num_bad_epochs > self.patience:
            lower = [max(lr * self.factor, least) for lr, least in zip(rates, self.min_lrs, strict=True)]
            rates = [new if lr - new > self.eps else lr for lr, new in zip(rates, lower, strict=True)]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._set(rates)
