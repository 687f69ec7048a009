"""Stochastic gradient descent, with momentum (Polyak) or Nesterov's look-ahead."""

import numpy as np

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
        lr, momentum, dampening = group["lr"], group["momentum"], group["dampening"]
        for p in params:
            w, g = p.array, p.grad.array
            if group["maximize"]:
                g = -g
            if group["weight_decay"]:
                g = g + group["weight_decay"] * w
            if momentum:
                state = self.state.setdefault(p, {})
                a = state.get("momentum_buffer")
                if a is None:
                    a = state["momentum_buffer"] = np.empty_like(w)
                    a[...] = g
                else:
                    a *= momentum
                    a += (1 - dampening) * g
                g = g + momentum * a if group["nesterov"] else a
            w -= lr * g
