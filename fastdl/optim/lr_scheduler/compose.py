"""Schedules made of schedules."""

from bisect import bisect_right

from fastdl.optim.lr_scheduler.base import LRScheduler
from fastdl.optim.lr_scheduler.plateau import ReduceLROnPlateau


class _Composed(LRScheduler):
    """Keeps `_schedulers`, all of one optimizer, and their states."""

    def _take(self, schedulers, optimizer):
        name = type(self).__name__
        self._schedulers = list(schedulers)
        if not self._schedulers:
            raise ValueError(f"{name}: needs at least one schedule")
        self.optimizer = self._schedulers[0].optimizer if optimizer is None else optimizer
        for i, schedule in enumerate(self._schedulers):
            if isinstance(schedule, ReduceLROnPlateau):
                raise ValueError(f"{name}: schedule {i} is a ReduceLROnPlateau, whose step needs a metric")
            if schedule.optimizer is not self.optimizer:
                raise ValueError(f"{name}: schedule {i} is of another optimizer")
        self.base_lrs = list(self._schedulers[0].base_lrs)

    def state_dict(self):
        """Where the schedules stand."""
        return super().state_dict() | {"_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state):
        """Continue from a state_dict; sets the learning rates."""
        if len(state["_schedulers"]) != len(self._schedulers):
            raise ValueError(
                f"{type(self).__name__}: the state is of {len(state['_schedulers'])} schedules, not {len(self._schedulers)}"
            )
        for schedule, its in zip(self._schedulers, state["_schedulers"], strict=True):
            schedule.load_state_dict(its)
        super().load_state_dict(state)


class SequentialLR(_Composed):
    """One schedule after the other: number i + 1 starts at milestones[i] steps, from the beginning."""

    def __init__(self, optimizer, schedulers, milestones, last_epoch: int = -1):
        self._take(schedulers, optimizer)
        self.milestones = list(milestones)
        if len(self.milestones) != len(self._schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(self._schedulers)} schedules need {len(self._schedulers) - 1} milestones; "
                f"got {self.milestones}"
            )
        if self.milestones != sorted(self.milestones):
            raise ValueError(f"SequentialLR: milestones must grow; got {self.milestones}")
        self.last_epoch = last_epoch + 1
        for group, lr in zip(optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr  # all schedules have taken their first step
        self._schedulers[0]._restart()
        self._last_lr = self.get_last_lr()

    def step(self):
        """Go on by one step."""
        self.last_epoch += 1
        i = bisect_right(self.milestones, self.last_epoch)
        if i > 0 and self.milestones[i - 1] == self.last_epoch:
            self._schedulers[i]._restart()
        else:
            self._schedulers[i].step()
        self._last_lr = self.get_last_lr()


class ChainedScheduler(_Composed):
    """All schedules at every step, each going on from the rate that the one before has left: their factors multiply."""

    def __init__(self, schedulers, optimizer=None):
        self._take(schedulers, optimizer)
        self.last_epoch = 0
        self._last_lr = self.get_last_lr()

    def step(self):
        """Go on by one step."""
        self.last_epoch += 1
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = self.get_last_lr()
