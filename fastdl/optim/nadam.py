"""NAdam: Adam with Nesterov's look-ahead."""

from fastdl.optim.fused import Fused
from fastdl.optim.optimizer import torch_options


class NAdam(Fused):
    """Nesterov-accelerated Adam.

    Maths       mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2), M_t = mu_1 ... mu_t; m, v as in Adam
                w <- w - lr (mu_(t+1) m / (1 - M_(t+1)) + (1 - mu_t) g / (1 - M_t)) / (sqrt(v / (1 - beta2^t)) + eps)
    Parameters  lr, betas, eps, weight_decay, momentum_decay, decoupled_weight_decay (as AdamW), maximize
    State       step (t), mu_product (M_t), exp_avg (m), exp_avg_sq (v)
    Errors      ValueError for negative settings and for betas outside [0, 1)
    Ref         Dozat 2016
    """

    kernel = "nadam"
    states = ("exp_avg", "exp_avg_sq")
    takes = (
        "step", "lr", "mean_weight", "grad_weight", "betas", "eps", "weight_decay", "decoupled_weight_decay", "maximize",
    )  # fmt: skip
    counters = {"step": int, "mu_product": float}  # noqa: RUF012

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        momentum_decay=4e-3,
        decoupled_weight_decay=False,
        *,
        maximize=False,
        **options,
    ):
        torch_options("NAdam", options)
        settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        settings |= {"momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})

    def begin(self, group):
        return (0, 1.0)

    def advance(self, group, numbers):
        return (numbers[0] + 1, numbers[1] * _mu(group, numbers[0] + 1))

    def move(self, group, params, grads, states, numbers, fresh):
        step, product = numbers
        following = _mu(group, step + 1)
        weights = {
            "mean_weight": following / (1 - product * following),
            "grad_weight": (1 - _mu(group, step)) / (1 - product),
        }
        super().move({**group, **weights}, params, grads, states, numbers, fresh)


def _mu(group, step):
    """The momentum of a step."""
    return group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
