"""Losses of adversarial training as functions of the discriminator's raw outputs (logits, or a critic's scores).

    name           discriminator                                    generator
    minimax        softplus(-real) + softplus(fake)                 -softplus(fake): saturates while D wins
    nonsaturating  the same                                         softplus(-fake)
    lsgan          ((real - 1)^2 + fake^2) / 2                      (fake - 1)^2 / 2
    hinge          max(0, 1 - real) + max(0, 1 + fake)              -fake
    wgan           fake - real                                      -fake

Each is a mean over all outputs. wgan needs a Lipschitz critic: add gradient_penalty.

Ref  Goodfellow et al. 2014, arXiv 1406.2661; Mao et al. 2017 (lsgan), arXiv 1611.04076; Lim and Ye 2017 (hinge);
     Arjovsky et al. 2017, arXiv 1701.07875; Gulrajani et al. 2017 (gradient penalty), arXiv 1704.00028;
     Mescheder et al. 2018 (R1), arXiv 1801.04406; Zhu et al. 2017 (cycle consistency), arXiv 1703.10593
"""

import numpy as np

from fastdl.autograd import Tensor, grad
from fastdl.nn.functional import relu, softplus
from fastdl.ops.random import numpy_generator

LOSSES = ("minimax", "nonsaturating", "lsgan", "hinge", "wgan")


def _check(name):
    if name not in LOSSES:
        raise ValueError(f"unknown adversarial loss {name!r}; choose one of {', '.join(LOSSES)}")


def discriminator_loss(name, real, fake):
    """The loss that the discriminator minimises, from its outputs on real and generated samples."""
    _check(name)
    if name in ("minimax", "nonsaturating"):
        return softplus(-real).mean() + softplus(fake).mean()
    if name == "lsgan":
        return 0.5 * (((real - 1) ** 2).mean() + (fake * fake).mean())
    if name == "hinge":
        return relu(1 - real).mean() + relu(1 + fake).mean()
    return fake.mean() - real.mean()


def generator_loss(name, fake):
    """The loss that the generator minimises, from the discriminator's outputs on generated samples."""
    _check(name)
    if name == "minimax":
        return -softplus(fake).mean()
    if name == "nonsaturating":
        return softplus(-fake).mean()
    if name == "lsgan":
        return 0.5 * ((fake - 1) ** 2).mean()
    return -fake.mean()


def _input_gradient(critic, x):
    """(N,) squared norms of the gradient of critic(x) at each x, differentiable."""
    x = Tensor(x.array, requires_grad=True)
    (g,) = grad(critic(x).sum(), x, create_graph=True)
    g = g.reshape(g.shape[0], -1)
    return (g * g).sum(1)


def gradient_penalty(critic, real, fake, target=1.0, generator=None):
    """mean (|grad critic(x)| - target)^2 at points x between real and generated samples: second-order gradients.

    critic: a function of one tensor (N, ...). Every sample must be judged alone: no batch norm in the critic.
    """
    if real.shape != fake.shape:
        raise ValueError(f"gradient_penalty: real samples {real.shape} and generated ones {fake.shape} differ in shape")
    u = numpy_generator(generator).random((real.shape[0],) + (1,) * (len(real.shape) - 1)).astype(real.array.dtype)
    norm = (_input_gradient(critic, Tensor(u * real.array + (1 - u) * fake.array)) + 1e-12).sqrt()
    return ((norm - target) ** 2).mean()


def r1_penalty(critic, real):
    """mean |grad critic(x)|^2 at the real samples x; the usual loss adds gamma / 2 times it."""
    return _input_gradient(critic, real).mean()


def cycle_consistency(a, rec_a, b, rec_b, lam=10.0):
    """lam (|rec_a - a| + |rec_b - b|), mean absolute errors: there and back again must end where it began."""
    for x, y in ((a, rec_a), (b, rec_b)):
        if x.shape != y.shape:
            raise ValueError(f"cycle_consistency: an image {x.shape} came back as {y.shape}")
    return lam * ((rec_a - a).abs().mean() + (rec_b - b).abs().mean())


def accuracy(real, fake):
    """The share of samples that a discriminator with these logits judges rightly."""
    r, f = np.asarray(real.array), np.asarray(fake.array)
    return float(((r > 0).mean() + (f < 0).mean()) / 2)
