"""AdamP: Adam that does not lengthen weights whose length means nothing."""

from fastdl.optim.fused import Fused
from fastdl.optim.optimizer import torch_options


class AdamP(Fused):
    """Adam without the part of the step along the weights, where these look invariant to scale (before a normalization).

    Maths       m, v as in Adam; d = m / (sqrt(v_hat) + eps), nesterov: (beta1 m + (1 - beta1) g) / (...)
                for parameters of two axes and more, by output channels (rows of w), then for the whole tensor:
                    if max |cos(g, w)| < delta / sqrt(length):  d <- d - u (u . d), u = w / (|w| + eps), and ratio = wd_ratio
                else ratio = 1
                w <- (1 - lr weight_decay ratio) w - lr / (1 - beta1^t) d
    Parameters  lr, betas, eps, weight_decay (decoupled), delta, wd_ratio, nesterov, maximize
    State       step (t), exp_avg (m), exp_avg_sq (v)
    Errors      ValueError for negative settings and for betas outside [0, 1)
    Ref         Heo, Chun, Oh, Han, Yun, Kim, Uh, Ha 2021, arXiv 2006.08217
    """

    kernel = "adamp"
    states = ("exp_avg", "exp_avg_sq")
    takes = (
        "step", "lr", "betas", "eps", "weight_decay", "delta", "wd_ratio", "nesterov", "maximize",
    )  # fmt: skip

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        delta=0.1,
        wd_ratio=0.1,
        nesterov=False,
        *,
        maximize=False,
        **options,
    ):
        torch_options("AdamP", options)
        settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {**settings, "delta": delta, "wd_ratio": wd_ratio, "nesterov": nesterov})
