"""RAdam: Adam whose adaptive step waits until its variance is tractable."""

from fastdl.optim.fused import Fused
from fastdl.optim.optimizer import form_of, torch_options


class RAdam(Fused):
    """Rectified Adam: needs no warm-up.

    Maths       m, v as in Adam, m_hat = m / (1 - beta1^t)
                rho_inf = 2 / (1 - beta2) - 1,  rho_t = rho_inf - 2 t beta2^t / (1 - beta2^t)
                rho_t > threshold:  r_t^2 = (rho_t - 4) (rho_t - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho_t)
                                    w <- w - lr r_t m_hat sqrt(1 - beta2^t) / (sqrt(v) + eps)
                else                w <- w - lr m_hat
    Parameters  lr, betas, eps, weight_decay (added to the gradient), decoupled_weight_decay (as AdamW), maximize
                threshold: 5 as in the authors' code and in torch; form="lecture" makes it the paper's 4
                degenerated_to_sgd: False leaves the parameters alone as long as rho_t <= threshold
    State       step (t), exp_avg (m), exp_avg_sq (v)
    Errors      ValueError for negative settings, betas outside [0, 1), and a threshold below 4 (r_t is not real there)
    Ref         Liu, Jiang, He, Chen, Liu, Gao, Han 2020, arXiv 1908.03265
    """

    kernel = "radam"
    states = ("exp_avg", "exp_avg_sq")
    takes = (
        "step", "lr", "betas", "eps", "weight_decay", "decoupled_weight_decay", "maximize", "threshold", "degenerated_to_sgd",
    )  # fmt: skip

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        decoupled_weight_decay=False,
        *,
        maximize=False,
        threshold=None,
        degenerated_to_sgd=True,
        form="torch",
        **options,
    ):
        torch_options("RAdam", options)
        if threshold is None:
            threshold = 4.0 if form_of("RAdam", form) else 5.0
        settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        settings |= {"decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize}
        super().__init__(params, {**settings, "threshold": threshold, "degenerated_to_sgd": degenerated_to_sgd})

    def check(self, group):
        super().check(group)
        if not group["threshold"] >= 4:
            raise ValueError(f"RAdam: threshold must be at least 4; got {group['threshold']}")
