"""Optimizers whose step is one call of a kernel for all parameters of a group."""

import numpy as np

from fastdl.kernels import optim_step
from fastdl.optim._plan import Part, Plan, count, gather
from fastdl.optim.optimizer import Optimizer
from fastdl.tape import wrote_all


class Fused(Optimizer):
    """Base class: name the kernel and what it takes.

    kernel    <kernel>_step of fastdl/kernels/optim_step.py
    states    the arrays it takes beside parameters and gradients, in the order of its arguments (names(), where it depends)
    takes     what follows them: settings of a group ("betas" are two), "step" (from 1), "fresh" (the first step with a state)
    counters  the numbers in the state of a parameter and their type, "step" (how many steps it has made) foremost
    """

    kernel = ""
    states: tuple = ()
    takes: tuple = ()
    counters: dict = {"step": int}  # noqa: RUF012

    def names(self, group) -> tuple:
        """The states of this group: `states`, with None for one that it does without."""
        return self.states

    def start(self, group, p, name) -> np.ndarray:
        """A state before the first step."""
        return np.zeros_like(p.array)

    def begin(self, group) -> tuple:
        """The numbers in a state before the first step."""
        return (0,) * len(self.counters)

    def advance(self, group, numbers) -> tuple:
        """The numbers in a state, one step on."""
        return tuple(n + 1 for n in numbers)

    def move(self, group, params, grads, states, numbers, fresh) -> None:
        """Change params and states, lists of ndarrays, in place: the call of the kernel. numbers are those of this step."""
        known = {**group, "step": numbers[0] if numbers else None, "fresh": fresh}
        arguments = []
        for name in self.takes:
            if name == "betas":
                arguments += known[name]
            else:
                arguments.append(known[name])
        getattr(optim_step, f"{self.kernel}_step")(params, grads, *states, *arguments)

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
            arrays = optim_step.Group(self.kernel, [p.array for p in params], *columns)
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
