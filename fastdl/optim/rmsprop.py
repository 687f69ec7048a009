"""RMSprop: steps scaled by the recent size of the gradient."""

from fastdl.optim.fused import Fused
from fastdl.optim.optimizer import form_of, torch_options


class RMSprop(Fused):
    """Adagrad that forgets.

    Maths       v <- alpha v + (1 - alpha) g^2;  centered: c <- alpha c + (1 - alpha) g, and v - c^2 is used for v
                d = g / (sqrt(v) + eps),  eps_inside: g / sqrt(v + eps)
                momentum: b <- momentum b + d, and b is used for d;  w <- w - lr d
    Parameters  lr, alpha, eps, weight_decay (added to the gradient), momentum, centered, maximize
                form="lecture" is eps_inside=True
    State       step, square_avg (v), grad_avg (c), momentum_buffer (b)
    Errors      ValueError for negative settings
    Notes       v - c^2 is taken as 0 where rounding brings it below; torch gives NaN there
    Ref         Hinton 2012, Neural Networks for Machine Learning, lecture 6e; Graves 2013, arXiv 1308.0850 (centered)
    """

    kernel = "rmsprop"
    takes = ("lr", "alpha", "eps", "weight_decay", "momentum", "maximize", "eps_inside")

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0.0,
        momentum=0.0,
        centered=False,
        *,
        maximize=False,
        eps_inside=False,
        form="torch",
        **options,
    ):
        torch_options("RMSprop", options)
        settings = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        settings |= {"centered": centered, "eps_inside": form_of("RMSprop", form) or eps_inside, "maximize": maximize}
        super().__init__(params, settings)

    def names(self, group):
        return (
            "square_avg",
            "grad_avg" if group["centered"] else None,
            "momentum_buffer" if group["momentum"] > 0 else None,
        )
