"""AdamW: Adam whose weight decay is kept out of the moments."""

from fastdl.optim.adam import Adam


class AdamW(Adam):
    """Adam with decoupled weight decay.

    Maths       w <- (1 - lr weight_decay) w, then Adam's step with the plain gradient
    Parameters  as Adam; weight_decay 0.01
    Ref         Loshchilov and Hutter 2019, arXiv 1711.05101
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=1e-2,
        amsgrad=False,
        *,
        maximize=False,
        eps_inside_sqrt=False,
        form="torch",
        **options,
    ):
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
            eps_inside_sqrt=eps_inside_sqrt,
            form=form,
            **options,
        )
