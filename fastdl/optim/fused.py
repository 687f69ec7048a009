"""Optimizers whose step is one call of a kernel for all parameters of a group."""

import numpy as np

from fastdl.kernels.optim_step import Group
from fastdl.optim._plan import Part, Plan, count, gather
from fastdl.optim.optimizer import Optimizer
from fastdl.tape import wrote_all


class Fused(Optimizer):
    """Base class: name the states, and write `move`, the call of the kernel.

    kernel    its name in fastdl/kernels/optim_step.py
    counters  the numbers in the state of a parameter and their type, "step" (how many steps it has made) foremost
    """

    kernel = ""
    counters: dict = {"step": int}  # noqa: RUF012

    def names(self, group) -> tuple:
        """Names of the states in the order of the kernel's arguments; None for one that this group does without."""
        raise NotImplementedError(f"{type(self).__name__} must define names(group)")

    def start(self, group, p, name) -> np.ndarray:
        """A state before the first step."""
        return np.zeros_like(p.array)

    def begin(self, group) -> tuple:
        """The numbers in a state before the first step."""
        return (0,)

    def advance(self, group, numbers) -> tuple:
        """The numbers in a state, one step on."""
        return (numbers[0] + 1,)

    def move(self, group, params, grads, states, numbers, fresh) -> None:
        """Change params and states, lists of ndarrays, in place; numbers are those of this step."""
        raise NotImplementedError(f"{type(self).__name__} must define move(...)")

    def step(self, closure=None):
        """One update of every parameter that has a gradient. closure, if given, computes and returns the loss again."""
        loss = self.evaluate(closure)
        self._move_all()
        return loss

    def _move_all(self):
        for i, group in enumerate(self.param_groups):
            names, plan = self.names(group), self._plans.get(i)
            if plan is None or plan.names != names or not gather(plan, group["params"], self.state):
                plan = self._plans[i] = self._plan(group, names)
                gather(plan, group["params"], self.state)
            for part in plan.parts:
                numbers = self.advance(group, part.numbers)
                self.move(group, part.group, part.grads, part.columns, numbers, part.fresh)
                count(part, part.values if self.counters else [], part.counters, numbers)
                wrote_all(part.params, self._op)

    def _plan(self, group, names):
        idle, parts = [], {}
        for p in group["params"]:
            if p.grad is None:
                idle.append(p)
                continue
            values, fresh = self._state_of(group, p, names)
            numbers = tuple(values[name] for name in self.counters) if values else ()
            parts.setdefault((p.array.dtype, numbers, fresh), []).append((p, values))
        made = []
        for (_, numbers, fresh), members in parts.items():
            params, values = ([m[i] for m in members] for i in (0, 1))
            columns = [None if name is None else [v[name] for v in values] for name in names]
            arrays = Group(self.kernel, [p.array for p in params], *columns)
            known = [name or "" for name in names]
            made.append(Part(params, arrays, values, tuple(known), columns, tuple(self.counters), numbers, fresh))
        return Plan(list(group["params"]), idle, names, made)

    def _state_of(self, group, p, names):
        """(the state of a parameter, made if there is none, is any array of it new?); the first is None if it needs none."""
        values = self.state.get(p)
        if values is None:
            values = dict(zip(self.counters, self.begin(group), strict=True)) if self.counters else {}
        fresh = False
        for name in names:
            if name is not None and values.get(name) is None:
                values[name] = self.start(group, p, name)
                fresh = True
        if not values:
            return None, fresh
        self.state[p] = values
        return values, fresh

    def __getstate__(self):
        return {**self.__dict__, "_plans": {}}
