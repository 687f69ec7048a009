"""Adam: steps scaled by running means of the gradient and of its square."""

import math

import numpy as np

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
        lr, eps, decay = group["lr"], group["eps"], group["weight_decay"]
        beta1, beta2 = group["betas"]
        for p in params:
            w, g = p.array, p.grad.array
            state = self.state.get(p)
            if state is None:
                state = {"step": 0, "exp_avg": np.zeros_like(w), "exp_avg_sq": np.zeros_like(w)}
                if group["amsgrad"]:
                    state["max_exp_avg_sq"] = np.zeros_like(w)
                self.state[p] = state
            m, v = state["exp_avg"], state["exp_avg_sq"]
            state["step"] = t = state["step"] + 1
            if group["maximize"]:
                g = -g
            if decay and self.decoupled:
                w *= 1 - lr * decay
            elif decay:
                g = g + decay * w
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * (g * g)
            if group["amsgrad"]:
                v = np.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
            scale1, scale2 = 1 - beta1**t, math.sqrt(1 - beta2**t)
            if group["eps_inside_sqrt"]:
                w -= (lr * scale2 / scale1) * (m / np.sqrt(v + eps))
            else:
                w -= (lr / scale1) * (m / (np.sqrt(v) / scale2 + eps))
