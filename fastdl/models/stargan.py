"""StarGAN: one generator for many attributes: the wanted labels come in as constant maps beside the image.

G   image + c label maps; conv 7x7 f; conv 4x4 s2 2f, 4f; residual blocks 3x3; transposed 4x4 s2 2f, f; conv 7x7, tanh. No biases,
    instance norm with scale, shift and running statistics, zero padding: reflected edges would leave nothing of a constant map
    under instance norm.                                             f = 64, c = 5, 6 blocks: 8,430,528
D   4x4 s2 convs f .. 32f (6 layers, leaky .01, biased), then a 3x3 map of real or not and a convolution of the whole map to
    c logits.                                                        128 px: 44,762,048

Loss D: Wasserstein with gradient penalty 10 + attributes of real images; G: -D(fake) + wanted attributes + 10 |back - image|.
The penalty asks a gradient of length 1 of the *sum* of D's map, as the authors' code does: of its mean it would let the adversarial
part weigh as many times more as the map has places, and the generator would forget the image.

Ref  Choi, Choi, Kim, Ha, Kim, Choo, "StarGAN", 2018, arXiv 1711.09020
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.training import Training, linear_decay
from fastdl.gan import check_images, gradient_penalty
from fastdl.nn import functional as F
from fastdl.ops.shape import cat
from fastdl.optim import Adam


def _norm(channels):
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), 3x3; key main.<i>."""

    def __init__(self, channels):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), _norm(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), _norm(channels),
        )  # fmt: skip

    def forward(self, x):
        return x + self.main(x)


class Generator(nn.Module):
    """Images (N, channels, H, W) and labels (N, c) -> images; keys main.<i>."""

    def __init__(self, channels=3, c_dim=5, conv_dim=64, repeat_num=6):
        super().__init__()
        f = conv_dim
        layers = [nn.Conv2d(channels + c_dim, f, 7, 1, 3, bias=False), _norm(f), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Conv2d(f, 2 * f, 4, 2, 1, bias=False), _norm(2 * f), nn.ReLU()]
            f *= 2
        layers += [ResidualBlock(f) for _ in range(repeat_num)]
        for _ in range(2):
            layers += [nn.ConvTranspose2d(f, f // 2, 4, 2, 1, bias=False), _norm(f // 2), nn.ReLU()]
            f //= 2
        self.main = nn.Sequential(*layers, nn.Conv2d(f, channels, 7, 1, 3, bias=False), nn.Tanh())

    def forward(self, x, c):
        maps = c.reshape(*c.shape, 1, 1).expand(*c.shape, *x.shape[2:])
        return self.main(cat([x, maps], 1))


class Discriminator(nn.Module):
    """Images (N, channels, size, size) -> (map of scores (N, 1, h, w), attribute logits (N, c))."""

    def __init__(self, image_size=128, channels=3, c_dim=5, conv_dim=64, repeat_num=6):
        super().__init__()
        if image_size % 2**repeat_num:
            raise ValueError(
                f"StarGAN: image_size {image_size} must be divisible by 2^{repeat_num}, one for each layer of D"
            )
        f, layers = conv_dim, [nn.Conv2d(channels, conv_dim, 4, 2, 1), nn.LeakyReLU(0.01)]
        for _ in range(1, repeat_num):
            layers += [nn.Conv2d(f, 2 * f, 4, 2, 1), nn.LeakyReLU(0.01)]
            f *= 2
        self.main = nn.Sequential(*layers)
        self.conv1 = nn.Conv2d(f, 1, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(f, c_dim, image_size // 2**repeat_num, bias=False)

    def forward(self, x):
        h = self.main(x)
        return self.conv1(h), self.conv2(h).flatten(1)


class StarGAN(nn.Module):
    """Generator and discriminator; density "none".

    exclusive: groups of label positions of which exactly one is set (as hair colours are); the others are independent.

    Example
    >>> model = StarGAN()
    >>> [sum(p.numel() for p in m.parameters()) for m in (model.generator, model.discriminator)]
    [8430528, 44762048]
    """

    density = "none"

    def __init__(self, c_dim=5, image_size=128, channels=3, g_dim=64, d_dim=64, blocks=6, d_layers=6):
        super().__init__()
        self.c_dim, self.image_size, self.channels = c_dim, image_size, channels
        self.generator = Generator(channels, c_dim, g_dim, blocks)
        self.discriminator = Discriminator(image_size, channels, c_dim, d_dim, d_layers)

    def _labels(self, labels, n, name):
        c = np.asarray(labels.array if isinstance(labels, Tensor) else labels, np.float32)
        if c.shape != (n, self.c_dim):
            raise ValueError(f"StarGAN: {name} must have shape ({n}, {self.c_dim}); got {c.shape}")
        if ((c != 0) & (c != 1)).any():
            raise ValueError(f"StarGAN: {name} must be 0 or 1")
        return c

    def fit(
        self,
        x,
        labels,
        steps=1000,
        batch_size=16,
        lr=1e-4,
        n_critic=5,
        lam_class=1.0,
        lam_back=10.0,
        lam_penalty=10.0,
        constant=0.5,
        seed=0,
        each=None,
        every=100,
        keep=None,
    ):
        """Train on images (N, C, H, W) in [-1, 1] with labels (N, c) of 0 and 1; `steps` discriminator steps; the log.

        Wanted labels are those of other images of the set, so only combinations that occur are asked for.
        """
        x = check_images(x, "StarGAN.fit", (self.channels, self.image_size, self.image_size))
        labels = self._labels(labels, len(x), "labels")
        G, D = self.generator, self.discriminator
        g_optimizer = Adam(G.parameters(), lr=lr, betas=(0.5, 0.999))
        d_optimizer = Adam(D.parameters(), lr=lr, betas=(0.5, 0.999))
        self.train()
        training = Training(self, steps, {"g": g_optimizer, "d": d_optimizer}, seed, each, every, keep)
        rng = training.rng
        for step in training:
            linear_decay((g_optimizer, d_optimizer), lr, step, steps, constant)
            rows = rng.integers(0, len(x), batch_size)
            real, own = Tensor(x[rows]), Tensor(labels[rows])
            wanted = Tensor(labels[rng.integers(0, len(x), batch_size)])
            with no_grad():
                fake = G(real, wanted)
            d_optimizer.zero_grad()
            score, classes = D(real)
            wasserstein = D(fake)[0].mean() - score.mean()
            d_class = F.binary_cross_entropy_with_logits(classes, own, reduction="none").sum(1).mean()
            penalty = gradient_penalty(lambda t: D(t)[0].sum((1, 2, 3)), real, fake, generator=training.random)
            (wasserstein + lam_class * d_class + lam_penalty * penalty).backward()
            d_optimizer.step()
            record = {"wasserstein": -wasserstein.item(), "d_class": d_class.item(), "penalty": penalty.item()}
            if step % n_critic == 0:
                D.requires_grad_(False)
                g_optimizer.zero_grad()
                fake = G(real, wanted)
                score, classes = D(fake)
                g_class = F.binary_cross_entropy_with_logits(classes, wanted, reduction="none").sum(1).mean()
                back = (G(fake, own) - real).abs().mean()
                (-score.mean() + lam_class * g_class + lam_back * back).backward()
                g_optimizer.step()
                D.requires_grad_(True)
                record |= {"g_class": g_class.item(), "back": back.item()}
            training.record(**record)
        return training.log

    def translate(self, x, labels, batch=50) -> Tensor:
        """Images (N, C, H, W) changed to the attributes labels (N, c).

        Instance norm takes each image's own statistics, as in training: the running ones are kept for their names only.
        """
        x = check_images(x, "StarGAN.translate", (self.channels, self.image_size, self.image_size), least=1)
        c = self._labels(labels, len(x), "labels")
        training = self.generator.training
        kept = {k: v.array.copy() for k, v in self.generator.named_buffers()}
        self.generator.train()
        with no_grad():
            parts = [
                self.generator(Tensor(x[i : i + batch]), Tensor(c[i : i + batch])).array
                for i in range(0, len(x), batch)
            ]
        for k, v in self.generator.named_buffers():
            v.array[...] = kept[k]
        self.generator.train(training)
        return Tensor(np.concatenate(parts))
