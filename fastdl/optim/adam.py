"""Adam: steps scaled by running means of the gradient and of its square."""

import numpy as np

from fastdl.kernels.optim_step import adam_step
from fastdl.optim.optimizer import Optimizer


class Adam(Optimizer):
    """Adaptive moments.

    Maths       g = gradient + weight_decay w
                m <- beta1 m + (1 - beta1) g
                v <- beta2 v + (1 - beta2) g^2
                w <- w - lr m_hat / (sqrt(v_hat) + eps),   m_hat = m / (1 - beta1^t), v_hat = v / (1 - beta2^t)
                eps_inside_sqrt: w <- w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / sqrt(v + eps)
                amsgrad: the largest v so far in place of v
    Parameters  lr, betas, eps, weight_decay (added to the gradient; AdamW has the other kind), amsgrad, maximize
    State       step (t), exp_avg (m), exp_avg_sq (v), max_exp_avg_sq
    Ref         Kingma and Ba 2015, arXiv 1412.6980; Reddi, Kale, Kumar 2018 (AMSGrad)
    """

    decoupled = False  # AdamW: weight decay shrinks w itself and stays out of m and v

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
        eps_inside_sqrt=False,
    ):
        settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, {**settings, "maximize": maximize, "eps_inside_sqrt": eps_inside_sqrt})

    def update(self, group, params):
        together = {}  # number of the step -> parameters; one entry unless some had no gradient in earlier steps
        for p in params:
            state = self.state.get(p)
            if state is None:
                state = self.state[p] = {"step": 0, "exp_avg": np.zeros_like(p.array)}
                state["exp_avg_sq"] = np.zeros_like(p.array)
                if group["amsgrad"]:
                    state["max_exp_avg_sq"] = np.zeros_like(p.array)
            state["step"] += 1
            together.setdefault(state["step"], []).append((p, state))
        for step, members in together.items():
            adam_step(
                [p.array for p, _ in members],
                [p.grad.array for p, _ in members],
                [state["exp_avg"] for _, state in members],
                [state["exp_avg_sq"] for _, state in members],
                [state["max_exp_avg_sq"] for _, state in members] if group["amsgrad"] else None,
                step,
                group["lr"],
                *group["betas"],
                group["eps"],
                group["weight_decay"],
                self.decoupled,
                group["maximize"],
                group["eps_inside_sqrt"],
            )
