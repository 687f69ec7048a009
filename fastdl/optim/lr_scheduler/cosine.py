"""Schedules along a cosine."""

import math

from fastdl.optim.lr_scheduler.base import LRScheduler, at_least


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial lr down to eta_min in T_max steps (and up again after, as in torch).

    Maths  lr(t) = eta_min + (lr0 - eta_min) (1 + cos(pi t / T_max)) / 2
    Ref    Loshchilov and Hutter 2017, arXiv 1608.03983 (without restarts)
    """

    def __init__(self, optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        at_least("CosineAnnealingLR", "T_max", T_max, 1)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rates(self, t):
        part = (1 + math.cos(math.pi * t / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * part for base in self.base_lrs]

    def chained(self, t, i, lr):
        if t == 0:
            return lr
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # the rate was eta_min: nothing is left to multiply
            return lr + (self.base_lrs[i] - self.eta_min) * (1 - math.cos(math.pi / self.T_max)) / 2
        now, before = (1 + math.cos(math.pi * s / self.T_max) for s in (t, t - 1))
        return self.eta_min + (lr - self.eta_min) * now / before


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from the initial lr down to eta_min in T_0 steps, then again, each time T_mult times as long.

    step(t) with a fraction of an epoch, as in torch, goes to that moment.

    Ref    Loshchilov and Hutter 2017, arXiv 1608.03983
    """

    def __init__(self, optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1):
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(
                    f"CosineAnnealingWarmRestarts: {name} must be a whole number of at least 1; got {value}"
                )
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch)

    def rates(self, t):
        length = self.T_0
        if self.T_mult == 1:
            t %= length
        while t >= length:
            t, length = t - length, length * self.T_mult
        part = (1 + math.cos(math.pi * t / length)) / 2
        return [self.eta_min + (base - self.eta_min) * part for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on by one step, or to a moment of one's own (in epochs, with fractions)."""
        if epoch is None:
            return super().step()
        at_least("CosineAnnealingWarmRestarts", "epoch", epoch, 0)
        self.last_epoch = math.floor(epoch)
        self._set(self.rates(epoch))
