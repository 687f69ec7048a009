"""Stochastic gradient descent, with momentum (Polyak) or Nesterov's look-ahead."""

import numpy as np

from fastdl.kernels.optim_step import sgd_step
from fastdl.optim.optimizer import Optimizer


class SGD(Optimizer):
    """Gradient descent on mini-batches.

    Maths       g = gradient + weight_decay w
                a <- momentum a + (1 - dampening) g      (a = g at the first step)
                w <- w - lr a                            nesterov: w <- w - lr (g + momentum a)
    Parameters  lr, momentum, dampening, weight_decay, nesterov; maximize: climb instead of descend
    State       momentum_buffer (a)
    Ref         Polyak 1964; Nesterov 1983; Sutskever, Martens, Dahl, Hinton 2013
    """

    def __init__(
        self, params, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, *, maximize=False
    ):
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "nesterov": nesterov, "maximize": maximize})

    def check(self, group):
        super().check(group)
        if group["nesterov"] and not (group["momentum"] > 0 and group["dampening"] == 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and no dampening")

    def update(self, group, params):
        first = [p for p in params if group["momentum"] and "momentum_buffer" not in self.state.get(p, ())]
        for p in first:
            self.state.setdefault(p, {})["momentum_buffer"] = np.empty_like(p.array)
        if first and len(first) < len(params):  # parameters that had no gradient until now
            new = set(map(id, first))
            self.move(group, [p for p in params if id(p) not in new], False)
            params = first
        self.move(group, params, bool(first))

    def move(self, group, params, first):
        """One step of parameters that all have, or all lack, a momentum from the steps before."""
        momenta = [self.state[p]["momentum_buffer"] for p in params] if group["momentum"] else None
        sgd_step(
            [p.array for p in params],
            [p.grad.array for p in params],
            momenta,
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
            first,
        )
