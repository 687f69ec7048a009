"""Adamax: Adam with the largest gradient, not the mean of squares, as scale."""

from fastdl.optim.fused import Fused
from fastdl.optim.optimizer import torch_options


class Adamax(Fused):
    """Adam in the infinity norm.

    Maths       m <- beta1 m + (1 - beta1) g;  u <- max(beta2 u, |g| + eps);  w <- w - lr / (1 - beta1^t) m / u
    Parameters  lr, betas, eps, weight_decay (added to the gradient), maximize
    State       step (t), exp_avg (m), exp_inf (u)
    Errors      ValueError for negative settings and for betas outside [0, 1)
    Ref         Kingma and Ba 2015, arXiv 1412.6980, section 7.1
    """

    kernel = "adamax"
    states = ("exp_avg", "exp_inf")
    takes = ("step", "lr", "betas", "eps", "weight_decay", "maximize")

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, *, maximize=False, **options):
        torch_options("Adamax", options)
        settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})
