"""Adam: steps scaled by running means of the gradient and of its square."""

from fastdl.optim.fused import Fused
from fastdl.optim.optimizer import form_of, torch_options


class Adam(Fused):
    """Adaptive moments.

    Maths       g = gradient + weight_decay w
                m <- beta1 m + (1 - beta1) g
                v <- beta2 v + (1 - beta2) g^2
                w <- w - lr m_hat / (sqrt(v_hat) + eps),   m_hat = m / (1 - beta1^t), v_hat = v / (1 - beta2^t)
                eps_inside_sqrt: w <- w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / sqrt(v + eps)
                amsgrad: the largest v so far in place of v
    Parameters  lr, betas, eps, weight_decay (added to the gradient), amsgrad, maximize
                decoupled_weight_decay: w <- (1 - lr weight_decay) w instead, and g = gradient (AdamW)
                form="lecture" is eps_inside_sqrt=True
    State       step (t), exp_avg (m), exp_avg_sq (v), max_exp_avg_sq
    Errors      ValueError for negative settings and for betas outside [0, 1)
    Ref         Kingma and Ba 2015, arXiv 1412.6980; Reddi, Kale, Kumar 2018 (AMSGrad)
    """

    kernel = "adam"
    takes = (
        "step", "lr", "betas", "eps", "weight_decay", "decoupled_weight_decay", "maximize", "eps_inside_sqrt",
    )  # fmt: skip

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        amsgrad=False,
        *,
        maximize=False,
        decoupled_weight_decay=False,
        eps_inside_sqrt=False,
        form="torch",
        **options,
    ):
        torch_options(type(self).__name__, options)
        settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        settings["eps_inside_sqrt"] = form_of(type(self).__name__, form) or eps_inside_sqrt
        settings["decoupled_weight_decay"] = decoupled_weight_decay
        super().__init__(params, {**settings, "maximize": maximize})

    def names(self, group):
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq" if group["amsgrad"] else None)
