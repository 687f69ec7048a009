"""Stochastic gradient descent, with momentum (Polyak) or Nesterov's look-ahead."""

import numpy as np

from fastdl.optim.fused import Fused
from fastdl.optim.optimizer import torch_options


class SGD(Fused):
    """Gradient descent. The batches that the gradients come from decide its name: all samples, one, or a few.

    Maths       g = gradient + weight_decay w
                a <- momentum a + (1 - dampening) g      (a = g at the first step)
                w <- w - lr a                            nesterov: w <- w - lr (g + momentum a)
    Parameters  lr, momentum, dampening, weight_decay, nesterov; maximize: climb instead of descend
    State       momentum_buffer (a)
    Errors      ValueError for negative settings, and for nesterov without momentum or with dampening
    Notes       nesterov is the recursion of NAG (nag.py) written in the look-ahead point, as in torch
    Ref         Polyak 1964; Nesterov 1983; Sutskever, Martens, Dahl, Hinton 2013
    """

    kernel = "sgd"
    takes = ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize", "fresh")
    counters: dict = {}  # noqa: RUF012

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0.0,
        dampening=0.0,
        weight_decay=0.0,
        nesterov=False,
        *,
        maximize=False,
        **options,
    ):
        torch_options("SGD", options)
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "nesterov": nesterov, "maximize": maximize})

    def check(self, group):
        super().check(group)
        if group["nesterov"] and not (group["momentum"] > 0 and group["dampening"] == 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and no dampening")

    def names(self, group):
        return ("momentum_buffer" if group["momentum"] else None,)

    def start(self, group, p, name):
        return np.empty_like(p.array)
