"""Adagrad: what has moved much moves less."""

import numpy as np

from fastdl.optim.fused import Fused
from fastdl.optim.optimizer import form_of, torch_options


class Adagrad(Fused):
    """Steps scaled by the sum of all squared gradients so far; it only grows, so learning slows down and can stall.

    Maths       s <- s + g^2;  w <- w - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)
                form="lecture": w <- w - lr g / sqrt(s + eps)
    Parameters  lr, lr_decay, weight_decay (added to the gradient), initial_accumulator_value (s before the first step), eps,
                maximize, form
    State       step (t), sum (s)
    Errors      ValueError for negative settings
    Ref         Duchi, Hazan, Singer 2011
    """

    kernel = "adagrad"
    states = ("sum",)
    takes = ("lr", "eps", "weight_decay", "maximize", "eps_inside_sqrt")

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0.0,
        weight_decay=0.0,
        initial_accumulator_value=0.0,
        eps=1e-10,
        *,
        maximize=False,
        form="torch",
        **options,
    ):
        torch_options("Adagrad", options)
        settings = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "maximize": maximize}
        settings["initial_accumulator_value"] = initial_accumulator_value
        super().__init__(params, {**settings, "eps_inside_sqrt": form_of("Adagrad", form)})

    def start(self, group, p, name):
        return np.full_like(p.array, group["initial_accumulator_value"])

    def move(self, group, params, grads, states, numbers, fresh):
        lr = group["lr"] / (1 + (numbers[0] - 1) * group["lr_decay"])
        super().move({**group, "lr": lr}, params, grads, states, numbers, fresh)
