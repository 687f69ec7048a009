"""Warm-up: from a small rate to the full one, then on."""

import math

from fastdl.optim.lr_scheduler.base import FactorLR, at_least


class WarmupLR(FactorLR):
    """From 0 up to the initial lr in warmup_steps, then as `then` says: it stays (constant), or falls to 0 at total_steps along
    a line (linear) or half a cosine (cosine).

    The first step is taken with lr / warmup_steps, not with 0.
    """

    def __init__(
        self, optimizer, warmup_steps: int, total_steps: int | None = None, then: str = "constant", last_epoch: int = -1
    ):
        at_least("WarmupLR", "warmup_steps", warmup_steps, 0)
        if then not in ("constant", "linear", "cosine"):
            raise ValueError(f"WarmupLR: then must be constant, linear or cosine; got {then!r}")
        if then != "constant" and not (total_steps is not None and total_steps > warmup_steps):
            raise ValueError(
                f"WarmupLR: {then} needs total_steps above warmup_steps = {warmup_steps}; got {total_steps}"
            )
        self.warmup_steps, self.total_steps, self.then = warmup_steps, total_steps, then
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        if t < self.warmup_steps:
            return (t + 1) / self.warmup_steps
        if self.then == "constant":
            return 1.0
        part = min(1.0, (t - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        return 1 - part if self.then == "linear" else (1 + math.cos(math.pi * part)) / 2


class NoamLR(FactorLR):
    """The Transformer's schedule: a linear warm-up, then down with the square root of the number of steps.

    Maths  lr(t) = lr0 model_size^-0.5 min(s^-0.5, s warmup_steps^-1.5), s = t + 1; give the optimizer lr=1 (or the factor)
    Ref    Vaswani et al. 2017, arXiv 1706.03762, section 5.3
    """

    def __init__(self, optimizer, model_size: int, warmup_steps: int = 4000, last_epoch: int = -1):
        at_least("NoamLR", "model_size", model_size, 1)
        at_least("NoamLR", "warmup_steps", warmup_steps, 1)
        self.model_size, self.warmup_steps = model_size, warmup_steps
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return self.model_size**-0.5 * min((t + 1) ** -0.5, (t + 1) * self.warmup_steps**-1.5)
