"""Adadelta: steps in the unit of the parameters, without a learning rate to choose."""

from fastdl.optim.fused import Fused
from fastdl.optim.optimizer import torch_options


class Adadelta(Fused):
    """Each step is as long as the recent steps were, compared with the recent gradients.

    Maths       v <- rho v + (1 - rho) g^2;  d = sqrt(h + eps) / sqrt(v + eps) g;  h <- rho h + (1 - rho) d^2;  w <- w - lr d
    Parameters  lr (a factor on top; the paper has none), rho, eps (the first steps are of the size sqrt(eps)),
                weight_decay (added to the gradient), maximize
    State       step, square_avg (v), acc_delta (h)
    Errors      ValueError for negative settings and for rho outside [0, 1]
    Ref         Zeiler 2012, arXiv 1212.5701
    """

    kernel = "adadelta"
    states = ("square_avg", "acc_delta")
    takes = ("lr", "rho", "eps", "weight_decay", "maximize")

    def __init__(self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0, *, maximize=False, **options):
        torch_options("Adadelta", options)
        settings = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, settings)
