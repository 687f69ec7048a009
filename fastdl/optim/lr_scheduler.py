"""Learning rates that change while training. Each is a function of the number of steps alone, so resuming is exact."""

import math


class LRScheduler:
    """Base class: write `rates(t)`, the learning rate of every group after t steps (from self.base_lrs).

    t, `last_epoch` as in torch, counts the calls of step(); whether they are epochs or batches is up to the loop.
    """

    def __init__(self, optimizer, last_epoch: int = -1):
        self.optimizer, self.last_epoch = optimizer, last_epoch
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"{type(self).__name__}: to resume, group {i} of the optimizer needs 'initial_lr'")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.step()

    def rates(self, t: int) -> list[float]:
        raise NotImplementedError(f"{type(self).__name__} must define rates(t)")

    def step(self) -> None:
        """Go on by one step."""
        self.last_epoch += 1
        self._set(self.rates(self.last_epoch))

    def _set(self, rates):
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """The present learning rates."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict:
        """Where the schedule stands."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: dict) -> None:
        """Continue from a state_dict; sets the learning rates."""
        self.last_epoch, self.base_lrs = int(state["last_epoch"]), list(state["base_lrs"])
        self._set(self.rates(self.last_epoch))


class StepLR(LRScheduler):
    """Times gamma after every step_size steps."""

    def __init__(self, optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        if step_size < 1:
            raise ValueError(f"StepLR: step_size must be at least 1; got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rates(self, t):
        return [base * self.gamma ** (t // self.step_size) for base in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial lr down to eta_min in T_max steps (and up again after, as in torch).

    Maths  lr(t) = eta_min + (lr0 - eta_min) (1 + cos(pi t / T_max)) / 2
    Ref    Loshchilov and Hutter 2017, arXiv 1608.03983 (without restarts)
    """

    def __init__(self, optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max must be at least 1; got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rates(self, t):
        part = (1 + math.cos(math.pi * t / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * part for base in self.base_lrs]


class LambdaLR(LRScheduler):
    """The initial lr times lr_lambda(t): one function, or one for each group."""

    def __init__(self, optimizer, lr_lambda, last_epoch: int = -1):
        count = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * count
        if len(self.lr_lambdas) != count:
            raise ValueError(f"LambdaLR: {len(self.lr_lambdas)} functions for {count} parameter groups")
        super().__init__(optimizer, last_epoch)

    def rates(self, t):
        return [base * function(t) for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)]
