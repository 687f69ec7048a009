"""What all schedules share."""


class LRScheduler:
    """Base class: write `rates(t)`, the learning rate of every group after t steps (from self.base_lrs).

    t, `last_epoch` as in torch, counts the calls of step(); whether they are epochs or batches is up to the loop. As each
    rate is a function of t alone, resuming is exact. Where a group's rate is not rates(t - 1), because somebody else sets it too
    (a ChainedScheduler, the user), `chained(t, i, lr)` says how to go on from it; without it the rate is set as if it were.
    """

    kept: tuple = ()  # names of further attributes that belong to the state

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

    def chained(self, t: int, i: int, lr: float) -> float:
        """Rate of group i after step t, lr being its present rate, which is not rates(t - 1)[i]."""
        raise NotImplementedError

    def step(self) -> None:
        """Go on by one step."""
        self.last_epoch += 1
        t = self.last_epoch
        rates = self.rates(t)
        if type(self).chained is not LRScheduler.chained:
            before = self.rates(t - 1) if t > 0 else self.base_lrs
            for i, group in enumerate(self.optimizer.param_groups):
                if group["lr"] != before[i]:
                    rates[i] = self.chained(t, i, group["lr"])
        self._set(rates)

    def _set(self, rates):
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = list(rates)

    def _restart(self):
        """Stand at step 0, whatever was before (SequentialLR)."""
        self.last_epoch = 0
        self._set(self.rates(0))

    def get_last_lr(self) -> list[float]:
        """The present learning rates."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict:
        """Where the schedule stands; functions that were given to it are not part of it."""
        state = {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs), "_last_lr": list(self._last_lr)}
        return state | {name: _copy(getattr(self, name)) for name in self.kept}

    def load_state_dict(self, state: dict) -> None:
        """Continue from a state_dict; sets the learning rates."""
        missing = {"last_epoch", "base_lrs", *self.kept} - set(state)
        if missing:
            raise ValueError(f"{type(self).__name__}: the state has no {', '.join(sorted(missing))}")
        if len(state["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"{type(self).__name__}: the state is of {len(state['base_lrs'])} parameter groups, not {len(self.base_lrs)}"
            )
        self.last_epoch, self.base_lrs = int(state["last_epoch"]), list(state["base_lrs"])
        for name in self.kept:
            setattr(self, name, _copy(state[name]))
        self._set(list(state["_last_lr"]) if "_last_lr" in state else self.rates(self.last_epoch))


class FactorLR(LRScheduler):
    """Base class of schedules that multiply the initial rate by `factor(t)`; chained they multiply whatever rate there is."""

    def factor(self, t: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} must define factor(t)")

    def rates(self, t):
        factor = self.factor(t)
        return [base * factor for base in self.base_lrs]

    def chained(self, t, i, lr):
        before = self.factor(t - 1) if t > 0 else 1.0
        return lr * self.factor(t) / before if before else lr


def per_group(name: str, what: str, value, optimizer) -> list:
    """value for every parameter group: one for all, or a list of one each."""
    count = len(optimizer.param_groups)
    values = list(value) if isinstance(value, (list, tuple)) else [value] * count
    if len(values) != count:
        raise ValueError(f"{name}: {len(values)} values of {what} for {count} parameter groups")
    return values


def at_least(name: str, what: str, value, least) -> None:
    """Raise ValueError unless value >= least."""
    if not value >= least:
        raise ValueError(f"{name}: {what} must be at least {least}; got {value}")


def _copy(value):
    return list(value) if isinstance(value, list) else value
