"""InfoGAN: a part of the noise is a code that must be recoverable from the image, so it comes to mean something.

noise 62 + a class of 10 + two numbers in [-1, 1] = 74. The discriminator's trunk also feeds Q, which guesses the code; the
generator is paid lambda times the mutual-information bound L = E ln Q(c | G(z, c)) + H(c).

Published sizes: generator 6,645,121, trunk 6,556,992, D head 1,025, Q head 133,134 parameters.

Ref  Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel, "InfoGAN", 2016, arXiv 1606.03657
"""

from dataclasses import dataclass
from math import log

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions import Normal
from fastdl.distributions.generative import GenerativeModel, seeded
from fastdl.distributions.training import Training
from fastdl.gan import check_images, discriminator_loss, generator_loss
from fastdl.nn import functional as F
from fastdl.ops.random import numpy_generator
from fastdl.optim import Adam


@dataclass(frozen=True)
class InfoGANConfig:
    """Sizes for images (channels, 28, 28), or any multiple of 4; the defaults are the published ones."""

    noise: int = 62
    classes: int = 10
    continuous: int = 2
    g_hidden: int = 1024
    g_maps: int = 128
    d_maps: int = 64
    d_hidden: int = 1024
    q_hidden: int = 128
    image_size: int = 28
    channels: int = 1

    @property
    def latent(self):
        return self.noise + self.classes + self.continuous


class Generator(nn.Module):
    """z (N, latent) -> images in [-1, 1]: two dense layers, two transposed convolutions."""

    def __init__(self, c):
        super().__init__()
        s = c.image_size // 4
        self.latent = c.latent
        self.main = nn.Sequential(
            nn.Linear(c.latent, c.g_hidden, bias=False), nn.BatchNorm1d(c.g_hidden), nn.ReLU(),
            nn.Linear(c.g_hidden, s * s * c.g_maps, bias=False), nn.BatchNorm1d(s * s * c.g_maps), nn.ReLU(),
            nn.Unflatten(1, (c.g_maps, s, s)),
            nn.ConvTranspose2d(c.g_maps, c.g_maps // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(c.g_maps // 2), nn.ReLU(),
            nn.ConvTranspose2d(c.g_maps // 2, c.channels, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z):
        if len(z.shape) != 2 or z.shape[1] != self.latent:
            raise ValueError(f"InfoGAN: the latent must have shape (N, {self.latent}); got {z.shape}")
        return self.main(z)


class InfoGAN(nn.Module, GenerativeModel):
    """Generator, shared trunk, and the heads of D and Q; density "none".

    Example
    >>> m = InfoGAN()
    >>> [sum(p.numel() for p in part.parameters()) for part in (m.generator, m.trunk, m.d_head, m.q_head)]
    [6645121, 6556992, 1025, 133134]
    """

    density = "none"

    def __init__(self, config: InfoGANConfig | None = None):
        super().__init__()
        self.config = c = config or InfoGANConfig()
        if c.image_size % 4 or c.classes < 2:
            raise ValueError(f"InfoGAN: image_size must be divisible by 4 and classes at least 2; got {c}")
        s = c.image_size // 4
        self.generator = Generator(c)
        self.trunk = nn.Sequential(
            nn.Conv2d(c.channels, c.d_maps, 4, 2, 1), nn.LeakyReLU(0.1),
            nn.Conv2d(c.d_maps, 2 * c.d_maps, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * c.d_maps), nn.LeakyReLU(0.1),
            nn.Flatten(),
            nn.Linear(2 * c.d_maps * s * s, c.d_hidden, bias=False), nn.BatchNorm1d(c.d_hidden), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.d_head = nn.Linear(c.d_hidden, 1)
        self.q_head = nn.ModuleDict(
            {
                "hidden": nn.Sequential(
                    nn.Linear(c.d_hidden, c.q_hidden, bias=False), nn.BatchNorm1d(c.q_hidden), nn.LeakyReLU(0.1)
                ),
                "classes": nn.Linear(c.q_hidden, c.classes),
                "mean": nn.Linear(c.q_hidden, c.continuous),
                "log_std": nn.Linear(c.q_hidden, c.continuous),
            }
        )

    def codes(self, n, generator=None):
        """(noise (n, noise), labels (n,), numbers (n, continuous) in [-1, 1]) as arrays."""
        c, rng = self.config, numpy_generator(generator)
        labels = rng.integers(0, c.classes, n)
        return rng.standard_normal((n, c.noise)), labels, rng.uniform(-1, 1, (n, c.continuous))

    def latent(self, noise, labels, numbers) -> Tensor:
        """The generator's input (N, latent) of noise, class labels and continuous codes."""
        if np.shape(numbers) != (len(labels), self.config.continuous):
            raise ValueError(
                f"InfoGAN: the continuous codes must have shape ({len(labels)}, {self.config.continuous}); got {np.shape(numbers)}"
            )
        if len(labels) and (np.min(labels) < 0 or np.max(labels) >= self.config.classes):
            raise ValueError(f"InfoGAN: labels must lie in 0 .. {self.config.classes - 1}")
        hot = np.eye(self.config.classes)[labels]
        return Tensor(np.concatenate([noise, hot, numbers], 1).astype(np.float32))

    def guess(self, features):
        """(class logits, Normal of the continuous codes) by Q from the trunk's features."""
        h = self.q_head["hidden"](features)
        spread = self.q_head["log_std"](h).clamp(-3, 3).exp()
        return self.q_head["classes"](h), Normal(self.q_head["mean"](h), spread)

    def information(self, features, labels, numbers):
        """(bound on I(class; image), bound for the continuous codes): means in nats; the first is at most ln classes."""
        logits, q = self.guess(features)
        discrete = log(self.config.classes) - F.cross_entropy(logits, np.asarray(labels))
        continuous = q.log_prob(Tensor(numbers.astype(np.float32))).sum(1).mean() + self.config.continuous * log(2.0)
        return discrete, continuous

    def fit(
        self,
        x,
        steps=2000,
        batch_size=64,
        d_lr=2e-4,
        g_lr=1e-3,
        lam=1.0,
        lam_continuous=0.1,
        seed=0,
        each=None,
        every=100,
        keep=None,
    ):
        """Train on images (N, C, H, W) in [-1, 1] without labels; returns the log."""
        c = self.config
        x = check_images(x, "InfoGAN.fit", (c.channels, c.image_size, c.image_size))
        d_side = [*self.trunk.parameters(), *self.d_head.parameters()]
        d_optimizer = Adam(d_side, lr=d_lr, betas=(0.5, 0.999))
        # Q's gradient changes the generator and Q's own head; the trunk is D's.
        g_optimizer = Adam([*self.generator.parameters(), *self.q_head.parameters()], lr=g_lr, betas=(0.5, 0.999))
        self.train()
        training = Training(self, steps, {"g": g_optimizer, "d": d_optimizer}, seed, each, every, keep)
        rng, random = training.rng, training.random
        for _ in training:
            real = Tensor(x[rng.choice(len(x), min(batch_size, len(x)), replace=False)])
            n = real.shape[0]
            with no_grad():
                fake = self.generator(self.latent(*self.codes(n, random)))
            d_optimizer.zero_grad()
            on_real, on_fake = self.d_head(self.trunk(real)), self.d_head(self.trunk(fake))
            d_loss = discriminator_loss("nonsaturating", on_real, on_fake)
            d_loss.backward()
            d_optimizer.step()

            g_optimizer.zero_grad()
            noise, labels, numbers = self.codes(n, random)
            features = self.trunk(self.generator(self.latent(noise, labels, numbers)))
            g_loss = generator_loss("nonsaturating", self.d_head(features))
            discrete, continuous = self.information(features, labels, numbers)
            (g_loss - lam * discrete - lam_continuous * continuous).backward()
            g_optimizer.step()
            record = {"d_loss": d_loss, "g_loss": g_loss, "information": discrete, "continuous": continuous}
            training.record(**{name: value.item() for name, value in record.items()})
        return training.log

    def generate(self, labels, numbers=None, seed=None) -> Tensor:
        """Images of the given class codes (N,) and continuous codes (N, continuous; drawn if left out)."""
        labels = np.asarray(labels)
        noise, _, drawn = self.codes(len(labels), seeded(seed))
        self.generator.eval()
        with no_grad():
            return self.generator(self.latent(noise, labels, drawn if numbers is None else np.asarray(numbers)))

    def sample(self, n, seed=None) -> Tensor:
        """n images of random codes."""
        generator = seeded(seed)
        noise, labels, numbers = self.codes(n, generator)
        self.generator.eval()
        with no_grad():
            return self.generator(self.latent(noise, labels, numbers))


def best_assignment(codes, classes, k=10):
    """(k,) the class that each code stands for, one to one, that agrees most often: by successive improvement of pairs."""
    table = np.zeros((k, k))
    np.add.at(table, (np.asarray(codes), np.asarray(classes)), 1)
    match = np.argsort(np.argsort(-table.max(1)))  # any permutation to start from
    better = True
    while better:
        better = False
        for a in range(k):
            for b in range(a + 1, k):
                gain = table[a, match[b]] + table[b, match[a]] - table[a, match[a]] - table[b, match[b]]
                if gain > 0:
                    match[a], match[b] = match[b], match[a]
                    better = True
    return match
