"""Schedules that multiply the rate: by steps, exponentially, along a line or a power, or by functions of one's own."""

from bisect import bisect_right

from fastdl.optim.lr_scheduler.base import FactorLR, LRScheduler, at_least


class StepLR(FactorLR):
    """Times gamma after every step_size steps."""

    def __init__(self, optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        at_least("StepLR", "step_size", step_size, 1)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return self.gamma ** (t // self.step_size)


class MultiStepLR(FactorLR):
    """Times gamma at every milestone (a number of steps; one that is named twice counts twice)."""

    def __init__(self, optimizer, milestones, gamma: float = 0.1, last_epoch: int = -1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return self.gamma ** bisect_right(self.milestones, t)


class ExponentialLR(FactorLR):
    """Times gamma at every step."""

    def __init__(self, optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return self.gamma**t


class ConstantLR(FactorLR):
    """Times factor for the first total_iters steps."""

    def __init__(self, optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1):
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor must lie in [0, 1]; got {factor}")
        self.first_factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return self.first_factor if t < self.total_iters else 1.0

    def chained(self, t, i, lr):
        if self.first_factor == 0 and t == self.total_iters:
            return self.base_lrs[i]
        return super().chained(t, i, lr)


class LinearLR(FactorLR):
    """Times a factor that goes from start_factor to end_factor along a line in total_iters steps: a linear warm-up.

    lr(t) = lr0 (start_factor + (end_factor - start_factor) min(t, total_iters) / total_iters)
    """

    def __init__(
        self,
        optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor must lie in (0, 1]; got {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor must lie in [0, 1]; got {end_factor}")
        at_least("LinearLR", "total_iters", total_iters, 1)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return self.start_factor + (self.end_factor - self.start_factor) * min(t, self.total_iters) / self.total_iters


class PolynomialLR(FactorLR):
    """lr(t) = lr0 (1 - t / total_iters)^power down to 0 in total_iters steps."""

    def __init__(self, optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        at_least("PolynomialLR", "total_iters", total_iters, 1)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return (1 - min(t, self.total_iters) / self.total_iters) ** self.power


class LambdaLR(LRScheduler):
    """The initial lr times lr_lambda(t): one function, or one for each group."""

    def __init__(self, optimizer, lr_lambda, last_epoch: int = -1):
        self.lr_lambdas = _functions("LambdaLR", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def rates(self, t):
        return [base * function(t) for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(LRScheduler):
    """At every step t = 1, 2, ... times lr_lambda(t): one function, or one for each group."""

    def __init__(self, optimizer, lr_lambda, last_epoch: int = -1):
        self.lr_lambdas = _functions("MultiplicativeLR", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def rates(self, t):
        if t == 0:
            return self.get_last_lr()
        return [lr * function(t) for lr, function in zip(self.get_last_lr(), self.lr_lambdas, strict=True)]

    def _restart(self):
        self.last_epoch = 0
        self._set(list(self.base_lrs))


def _functions(name, lr_lambda, optimizer):
    count = len(optimizer.param_groups)
    functions = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * count
    if len(functions) != count:
        raise ValueError(f"{name}: {len(functions)} functions for {count} parameter groups")
    return functions
