"""The GAN objective where it can be computed exactly: discrete distributions, and a density ratio in one dimension.

    V(D) = E_p ln D + E_q ln(1 - D);  the best D* = p / (p + q), and V(D*) = -ln 4 + 2 JSD(p || q)

Ref  Goodfellow et al. 2014, arXiv 1406.2661, section 4
"""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.nn.functional import binary_cross_entropy_with_logits
from fastdl.optim import Adam


def _pair(p, q):
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    if p.shape != q.shape or (p < 0).any() or (q < 0).any() or not np.allclose([p.sum(), q.sum()], 1):
        raise ValueError(
            f"expected two distributions over the same cases, each summing to 1; got {p.shape} and {q.shape}"
        )
    return p, q


def _kl(p, q):
    on = p > 0
    return float(np.sum(p[on] * np.log(p[on] / q[on])))


def jsd(p, q) -> float:
    """The Jensen-Shannon divergence in nats: (KL(p || m) + KL(q || m)) / 2, m the mean; between 0 and ln 2."""
    p, q = _pair(p, q)
    m = (p + q) / 2
    return (_kl(p, m) + _kl(q, m)) / 2


def optimal_discriminator(p, q) -> np.ndarray:
    """D* = p / (p + q); 1/2 where neither has mass."""
    p, q = _pair(p, q)
    total = p + q
    return np.where(total > 0, p / np.where(total > 0, total, 1), 0.5)


def gan_value(D, p, q) -> float:
    """V(D) = E_p ln D + E_q ln(1 - D), with 0 ln 0 = 0."""
    p, q = _pair(p, q)
    D = np.asarray(D, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(p > 0, p * np.log(D), 0).sum() + np.where(q > 0, q * np.log1p(-D), 0).sum())


def density_ratio_jsd(x, y, hidden=32, steps=600, lr=1e-2, seed=0) -> float:
    """An estimate of JSD from samples x (N,) and y (M,): (ln 4 + V) / 2 of a small network trained to tell them apart."""
    from fastdl import nn
    from fastdl.random import fork_rng, manual_seed

    x, y = np.asarray(x, np.float32).reshape(-1), np.asarray(y, np.float32).reshape(-1)
    rng = np.random.default_rng(seed)
    mean, std = np.concatenate([x, y]).mean(), np.concatenate([x, y]).std() + 1e-9
    x, y = (rng.permutation((v - mean) / std) for v in (x, y))
    cut, cut_y = len(x) // 2, len(y) // 2
    with fork_rng():
        manual_seed(seed)
        net = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        optimizer = Adam(net.parameters(), lr=lr)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
            batch = np.concatenate([rng.choice(x[:cut], 128), rng.choice(y[:cut_y], 128)])[:, None]
            labels = Tensor(np.repeat(np.float32([1, 0]), 128)[:, None])
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(net(Tensor(batch)), labels).backward()
            optimizer.step()
    logits = [net(Tensor(v[:, None])).array.astype(np.float64) for v in (x[cut:], y[cut_y:])]
    value = -np.logaddexp(0, -logits[0]).mean() - np.logaddexp(0, logits[1]).mean()
    return float((np.log(4) + value) / 2)
