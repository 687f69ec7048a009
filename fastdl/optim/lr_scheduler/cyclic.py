"""Schedules that go up and down, and move the momentum the other way."""

import math

from fastdl.optim.lr_scheduler.base import LRScheduler, at_least, per_group


class _WithMomentum(LRScheduler):
    """A schedule that may set the momentum (Adam's beta1) of every group too."""

    cycle_momentum = False

    def momenta(self, t) -> list[float]:
        raise NotImplementedError(f"{type(self).__name__} must define momenta(t)")

    def _look_for_momentum(self):
        if not self.cycle_momentum:
            return
        defaults = self.optimizer.defaults
        if "momentum" not in defaults and "betas" not in defaults:
            raise ValueError(
                f"{type(self).__name__}: the optimizer has no momentum or betas to cycle; hint: cycle_momentum=False"
            )
        self._beta = "betas" in defaults

    def _set(self, rates):
        super()._set(rates)
        if self.cycle_momentum:
            for group, momentum in zip(self.optimizer.param_groups, self.momenta(self.last_epoch), strict=True):
                if self._beta:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum


class OneCycleLR(_WithMomentum):
    """Up from max_lr / div_factor to max_lr in the first pct_start of total_steps, then down to a final_div_factor-th of the
    start; momentum goes down and up the other way. One step() a batch.

    three_phase: down to the start in as many steps as up, then to the end.
    Errors      ValueError without total_steps (or epochs and steps_per_epoch), and for a step after the last
    Ref         Smith and Topin 2019, arXiv 1708.07120
    """

    def __init__(
        self,
        optimizer,
        max_lr,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        at_least("OneCycleLR", "total_steps", total_steps, 1)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must lie in [0, 1]; got {pct_start}")
        self.total_steps, self.cycle_momentum = total_steps, cycle_momentum
        self.optimizer, self._anneal = optimizer, annealing("OneCycleLR", anneal_strategy)
        self.max_lrs = per_group("OneCycleLR", "max_lr", max_lr, optimizer)
        self.low_momenta = per_group("OneCycleLR", "base_momentum", base_momentum, optimizer)
        self.high_momenta = per_group("OneCycleLR", "max_momentum", max_momentum, optimizer)
        self.final_div_factor = final_div_factor
        # (last step, where the rate ends, where the momentum ends): first, max, final rate; low, high momentum
        self.phases = [(pct_start * total_steps - 1, "max", "low")]
        if three_phase:
            self.phases.append((2 * pct_start * total_steps - 2, "first", "high"))
        self.phases.append((total_steps - 1, "final", "high"))
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, self.max_lrs, strict=True):
                group["initial_lr"] = top / div_factor
        self._look_for_momentum()
        super().__init__(optimizer, last_epoch)

    def _between(self, t, i):
        """The rate and the momentum of group i after t steps."""
        first, top = self.base_lrs[i], self.max_lrs[i]
        rates = {"first": first, "max": top, "final": first / self.final_div_factor}
        momenta = {"low": self.low_momenta[i], "high": self.high_momenta[i]}
        begin, rate, momentum = 0, "first", "high"
        for end, rate_end, momentum_end in self.phases:
            if t <= end or end == self.total_steps - 1:
                part = (t - begin) / (end - begin) if end != begin else 1.0
                return (
                    self._anneal(rates[rate], rates[rate_end], part),
                    self._anneal(momenta[momentum], momenta[momentum_end], part),
                )
            begin, rate, momentum = end, rate_end, momentum_end
        raise AssertionError("the last phase ends with the last step")

    def rates(self, t):
        if t > self.total_steps:
            raise ValueError(f"OneCycleLR: step {t} is beyond the {self.total_steps} of the cycle")
        return [self._between(t, i)[0] for i in range(len(self.base_lrs))]

    def momenta(self, t):
        return [self._between(t, i)[1] for i in range(len(self.base_lrs))]


class CyclicLR(_WithMomentum):
    """Up from base_lr to max_lr in step_size_up steps, down in step_size_down (the same, if left out), again and again.

    mode: triangular; triangular2 halves the height after every cycle; exp_range multiplies it by gamma at every step. A scale_fn
    of one's own multiplies it by scale_fn(number of the cycle, or with scale_mode "iterations" of the step).

    Ref    Smith 2017, arXiv 1506.01186
    """

    def __init__(
        self,
        optimizer,
        base_lr,
        max_lr,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn=None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum=0.8,
        max_momentum=0.9,
        last_epoch: int = -1,
    ):
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"CyclicLR: mode must be triangular, triangular2 or exp_range; got {mode!r}")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"CyclicLR: scale_mode must be cycle or iterations; got {scale_mode!r}")
        at_least("CyclicLR", "step_size_up", step_size_up, 1)
        self.up, self.down = float(step_size_up), float(step_size_up if step_size_down is None else step_size_down)
        self.mode, self.gamma, self.scale_fn = mode, gamma, scale_fn
        self.by_cycle = scale_mode == "cycle" if scale_fn is not None else mode != "exp_range"
        self.optimizer, self.cycle_momentum = optimizer, cycle_momentum
        low = per_group("CyclicLR", "base_lr", base_lr, optimizer)
        self.max_lrs = per_group("CyclicLR", "max_lr", max_lr, optimizer)
        self.low_momenta = per_group("CyclicLR", "base_momentum", base_momentum, optimizer)
        self.high_momenta = per_group("CyclicLR", "max_momentum", max_momentum, optimizer)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, low, strict=True):
                group["initial_lr"] = lr
        self._look_for_momentum()
        super().__init__(optimizer, last_epoch)

    def _height(self, t):
        """How far above the lowest rate, 0 to 1 (less, as the cycles get lower)."""
        total = self.up + self.down
        cycle = math.floor(1 + t / total)
        x, ratio = 1 + t / total - cycle, self.up / total
        height = x / ratio if x <= ratio else (x - 1) / (ratio - 1)
        at = cycle if self.by_cycle else t
        if self.scale_fn is not None:
            return height * self.scale_fn(at)
        return height * {"triangular": 1.0, "triangular2": 0.5 ** (cycle - 1), "exp_range": self.gamma**t}[self.mode]

    def rates(self, t):
        height = self._height(t)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def momenta(self, t):
        height = self._height(t)
        return [high - (high - low) * height for low, high in zip(self.low_momenta, self.high_momenta, strict=True)]


def annealing(name, strategy):
    """The function (start, end, part from 0 to 1) of a way to anneal."""
    if strategy == "linear":
        return lambda start, end, part: start + (end - start) * part
    if strategy == "cos":
        return lambda start, end, part: end + (start - end) * (1 + math.cos(math.pi * part)) / 2
    raise ValueError(f"{name}: anneal_strategy must be cos or linear; got {strategy!r}")
