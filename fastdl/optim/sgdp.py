"""SGDP: SGD with momentum that does not lengthen weights whose length means nothing."""

from fastdl.optim.fused import Fused
from fastdl.optim.optimizer import torch_options


class SGDP(Fused):
    """SGD without the part of the step along the weights, where these look invariant to scale (before a normalization).

    Maths       a <- momentum a + (1 - dampening) g;  d = a, nesterov: g + momentum a
                the projection of d and ratio as in AdamP
                w <- (1 - lr weight_decay ratio / (1 - momentum)) w - lr d
    Parameters  lr, momentum (below 1), dampening, weight_decay (decoupled), nesterov, eps, delta, wd_ratio, maximize
    State       momentum_buffer (a)
    Errors      ValueError for negative settings and a momentum of 1 or more
    Ref         Heo, Chun, Oh, Han, Yun, Kim, Uh, Ha 2021, arXiv 2006.08217
    """

    kernel = "sgdp"
    states = ("momentum_buffer",)
    takes = (
        "lr", "momentum", "dampening", "eps", "weight_decay", "delta", "wd_ratio", "nesterov", "maximize",
    )  # fmt: skip
    counters: dict = {}  # noqa: RUF012

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0.0,
        dampening=0.0,
        weight_decay=0.0,
        nesterov=False,
        eps=1e-8,
        delta=0.1,
        wd_ratio=0.1,
        *,
        maximize=False,
        **options,
    ):
        torch_options("SGDP", options)
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "eps": eps}
        settings |= {"delta": delta, "wd_ratio": wd_ratio, "nesterov": nesterov, "maximize": maximize}
        super().__init__(params, settings)

    def check(self, group):
        super().check(group)
        if not group["momentum"] < 1:
            raise ValueError(f"SGDP: momentum must be below 1; got {group['momentum']}")
