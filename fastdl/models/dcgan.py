"""DCGAN: a generator of transposed convolutions, a discriminator of strided ones; no pooling, no hidden dense layers.

64x64:  z 100 -> 4x4 x 8f -> 8x8 x 4f -> 16x16 x 2f -> 32x32 x f -> 64x64 x channels, batch norm and ReLU between, tanh last;
        the discriminator mirrors it with leaky ReLU(.2). Every convolution is 4x4 and has no bias.

f = 64: 3,576,704 and 2,765,568 parameters; f = 128, the paper's width: 12,658,432 and 11,036,160.
Other sizes start from 4x4, or from 7x7 (28, 14) and double.

Ref  Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
     Networks", 2016, arXiv 1511.06434
"""

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.generative import GenerativeModel, seeded
from fastdl.gan import GANTrainer, adam_trainer, check_images
from fastdl.nn import init
from fastdl.ops.random import randn


def doublings(image_size):
    """(size of the first map, number of doublings) that lead to image_size."""
    for start in (4, 7):
        k, rest = 0, image_size
        while rest > start and rest % 2 == 0:
            rest, k = rest // 2, k + 1
        if rest == start and k:
            return start, k
    raise ValueError(f"DCGAN: image_size must be 4 or 7 times a power of two, 8 or more; got {image_size}")


class Generator(nn.Module):
    """z (N, latent) or (N, latent, 1, 1) -> images (N, channels, size, size) in [-1, 1]; keys main.<i>.weight."""

    def __init__(self, image_size=64, channels=3, latent=100, ngf=64):
        super().__init__()
        start, k = doublings(image_size)
        self.latent, width, layers = latent, ngf * 2 ** (k - 1), []
        layers += [nn.ConvTranspose2d(latent, width, start, 1, 0, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        for _ in range(k - 1):
            layers += [
                nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width // 2),
                nn.ReLU(),
            ]
            width //= 2
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        if len(z.shape) not in (2, 4) or z.shape[1] != self.latent:
            raise ValueError(f"DCGAN: the latent must have shape (N, {self.latent}); got {z.shape}")
        return self.main(z if len(z.shape) == 4 else z.reshape(*z.shape, 1, 1))


class Discriminator(nn.Module):
    """Images (N, channels, size, size) -> logits (N,)."""

    def __init__(self, image_size=64, channels=3, ndf=64):
        super().__init__()
        start, k = doublings(image_size)
        layers = [nn.Conv2d(channels, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        width = ndf
        for _ in range(k - 1):
            layers += [nn.Conv2d(width, width * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width * 2), nn.LeakyReLU(0.2)]
            width *= 2
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, start, 1, 0, bias=False))

    def forward(self, x):
        return self.main(x).reshape(x.shape[0])

    def features(self, x):
        """What the last convolution sees, flattened: (N, features), for a linear classifier."""
        for layer in list(self.main)[:-1]:
            x = layer(x)
        return x.flatten(1)


def initialise(module):
    """Weights N(0, .02), batch-norm scales N(1, .02), as in the paper."""
    for m in module.modules():
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
            init.normal_(m.weight, 0.0, 0.02)
        elif isinstance(m, nn.BatchNorm2d):
            init.normal_(m.weight, 1.0, 0.02)
    return module


class DCGAN(nn.Module, GenerativeModel):
    """A convolutional generator and discriminator; density "none".

    Example
    >>> model = DCGAN()
    >>> [sum(p.numel() for p in m.parameters()) for m in (model.generator, model.discriminator)]
    [3576704, 2765568]
    """

    density = "none"

    def __init__(self, image_size=64, channels=3, latent=100, ngf=64, ndf=None):
        super().__init__()
        self.image_size, self.channels, self.latent_size = image_size, channels, latent
        self.generator = initialise(Generator(image_size, channels, latent, ngf))
        self.discriminator = initialise(Discriminator(image_size, channels, ndf or ngf))

    def latent(self, n, generator=None):
        """Standard normal z (n, latent)."""
        return randn(n, self.latent_size, generator=generator)

    def trainer(self, **settings) -> GANTrainer:
        """A GANTrainer with Adam for both networks; settings: see fastdl.gan.adam_trainer."""
        return adam_trainer(self, **settings)

    def fit(self, x, steps=2000, batch_size=64, each=None, keep=None, **settings):
        """Train on images (N, channels, size, size) in [-1, 1]; returns the log."""
        x = check_images(x, "DCGAN.fit", (self.channels, self.image_size, self.image_size))
        return self.trainer(**settings).fit(x, steps=steps, batch_size=batch_size, each=each, keep=keep, model=self)

    def sample(self, n, seed=None) -> Tensor:
        """n images in [-1, 1], the generator in evaluation mode (batch norm with running statistics)."""
        return self.generate(self.latent(n, seeded(seed)))

    def generate(self, z) -> Tensor:
        """The images of latents z (N, latent)."""
        self.generator.eval()
        with no_grad():
            return self.generator(z)

    def interpolate(self, steps=8, seed=0) -> Tensor:
        """A walk on the sphere between two latents: (steps, channels, size, size)."""
        import numpy as np

        a, b = self.latent(2, seeded(seed)).array.astype(np.float64)
        angle = np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
        t = np.linspace(0, 1, steps)[:, None]
        z = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
        return self.generate(Tensor(z.astype(np.float32)))
