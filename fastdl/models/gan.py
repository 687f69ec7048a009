"""GAN: a generator learns from a discriminator that tells its samples from real ones. The model samples, and that is all.

    min_G max_D  E ln D(x) + E ln(1 - D(G(z)))

Published sizes (MNIST): G 100-1200-1200-784 with ReLU, D two maxout layers of 240 units with 5 pieces and dropout.
2,503,984 and 1,231,441 parameters.

Ref  Goodfellow et al., "Generative Adversarial Nets", 2014, arXiv 1406.2661; maxout: Goodfellow et al. 2013, arXiv 1302.4389
"""

from dataclasses import dataclass

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.generative import GenerativeModel, seeded
from fastdl.gan import GANTrainer, adam_trainer, check_images
from fastdl.ops.random import randn


@dataclass(frozen=True)
class GANConfig:
    """Sizes; the defaults are the published ones."""

    data: int = 784
    latent: int = 100
    g_hidden: tuple = (1200, 1200)
    g_batch_norm: bool = False
    d_hidden: tuple = (240, 240)
    maxout: int = 5  # pieces of a maxout layer; 0: leaky ReLU instead
    d_dropout: tuple = (0.2, 0.5)  # of the input, of hidden layers


class Maxout(nn.Module):
    """The largest of `pieces` linear functions, for every unit.

    Shapes      x (..., in_features) -> (..., out_features)
    Parameters  linear (out_features * pieces, in_features)
    """

    def __init__(self, in_features, out_features, pieces=5):
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(in_features, out_features * pieces)

    def forward(self, x):
        y = self.linear(x)
        return y.reshape(*y.shape[:-1], -1, self.pieces).amax(-1)


class Generator(nn.Module):
    """z (N, latent) -> (N, data) in [-1, 1]."""

    def __init__(self, config):
        super().__init__()
        layers, width = [], config.latent
        self.latent = width
        for hidden in config.g_hidden:
            layers.append(nn.Linear(width, hidden, bias=not config.g_batch_norm))
            layers += [nn.BatchNorm1d(hidden)] if config.g_batch_norm else []
            layers.append(nn.ReLU())
            width = hidden
        self.main = nn.Sequential(*layers, nn.Linear(width, config.data), nn.Tanh())

    def forward(self, z):
        if len(z.shape) != 2 or z.shape[1] != self.latent:
            raise ValueError(f"GAN: the latent must have shape (N, {self.latent}); got {z.shape}")
        return self.main(z)


class Discriminator(nn.Module):
    """x (N, data) or images of as many pixels -> logits (N, 1)."""

    def __init__(self, config):
        super().__init__()
        layers, width = [nn.Dropout(config.d_dropout[0])], config.data
        for hidden in config.d_hidden:
            layers += (
                [Maxout(width, hidden, config.maxout)]
                if config.maxout
                else [nn.Linear(width, hidden), nn.LeakyReLU(0.2)]
            )
            layers.append(nn.Dropout(config.d_dropout[1]))
            width = hidden
        self.main = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, x):
        return self.main(x.flatten(1))


class GAN(nn.Module, GenerativeModel):
    """A generator and a discriminator of vectors; density "none": log_prob raises ImplicitModelError.

    Example
    >>> gan = GAN()
    >>> [sum(p.numel() for p in m.parameters()) for m in (gan.generator, gan.discriminator)]
    [2503984, 1231441]
    """

    density = "none"

    def __init__(self, config: GANConfig | None = None):
        super().__init__()
        self.config = config or GANConfig()
        self.generator, self.discriminator = Generator(self.config), Discriminator(self.config)

    def latent(self, n, generator=None):
        """Standard normal z (n, latent)."""
        return randn(n, self.config.latent, generator=generator)

    def trainer(self, **settings) -> GANTrainer:
        """A GANTrainer with Adam for both networks; settings: see fastdl.gan.adam_trainer."""
        return adam_trainer(self, **settings)

    def fit(self, x, steps=2000, batch_size=64, each=None, keep=None, **settings):
        """Train on x (N, data) or images in [-1, 1]; returns the log. Settings: those of trainer()."""
        x = check_images(x, "GAN.fit")
        if int(np.prod(x.shape[1:])) != self.config.data:
            raise ValueError(f"GAN.fit: expected {self.config.data} numbers an image; got shape {x.shape}")
        return self.trainer(**settings).fit(
            x.reshape(len(x), -1), steps=steps, batch_size=batch_size, each=each, keep=keep, model=self
        )

    def sample(self, n, seed=None) -> Tensor:
        """n samples (n, data) in [-1, 1], the generator in evaluation mode."""
        self.generator.eval()
        with no_grad():
            return self.generator(self.latent(n, seeded(seed)))


def gan_small(data=784, latent=64, **settings) -> GAN:
    """G 64-256-512-784 with batch norm, D 784-512-256-1 leaky with dropout .3: learns MNIST in a minute."""
    small = {"g_hidden": (256, 512), "g_batch_norm": True, "d_hidden": (512, 256), "maxout": 0, "d_dropout": (0.0, 0.3)}
    return GAN(GANConfig(data=data, latent=latent, **{**small, **settings}))
