"""StarGAN: one generator for many attributes: the wanted labels come in as constant maps beside the image.

G   image + c label maps; conv 7x7 f; conv 4x4 s2 2f, 4f; residual blocks 3x3; transposed 4x4 s2 2f, f; conv 7x7, tanh. No biases,
    instance norm with scale, shift and running statistics, zero padding: reflected edges would leave nothing of a constant map
    under instance norm.                                             f = 64, c = 5, 6 blocks: 8,430,528
D   4x4 s2 convs f .. 32f (6 layers, leaky .01, biased), then a 3x3 map of real or not and a convolution of the whole map to
    c logits.                                                        128 px: 44,762,048

Loss D: Wasserstein with gradient penalty 10 + attributes of real images; G: -D(fake) + wanted attributes + 10 |back - image|.
The penalty asks a gradient of length 1 of the *sum* of D's map, as the authors' code does: of its mean it would let the adversarial
part weigh as many times more as the map has places, and the generator would forget the image.

With few images, small and mostly background, G otherwise comes to draw one shape a label: an absolute error is least for a blank
image as long as G guesses less than half of the ink, and an attribute is cheaper drawn anew than changed. So fit can let G copy
first (squared error: it leaves the blank image), weigh the way back more, and blur with noise what D sees, so that G cannot
please the attributes with a faint pattern. `labelled` tells the labels to every norm: maps alone hardly pass the first one.
A critic of the Wasserstein loss learns slowly; in a thousand steps least squares with instance norm in D (`adversarial="lsgan"`,
`d_norm`) see far more. What is left then is that a negative comes back with ink and gaps exchanged: `oriented` mends that.

Ref  Choi, Choi, Kim, Ha, Kim, Choo, "StarGAN", 2018, arXiv 1711.09020
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.training import Training, linear_decay
from fastdl.gan import LOSSES, check_images, discriminator_loss, generator_loss, gradient_penalty
from fastdl.nn import functional as F
from fastdl.ops.shape import cat
from fastdl.optim import Adam


class LabelledNorm(nn.InstanceNorm2d):
    """Instance norm whose scale and shift depend on labels c (N, c_dim) as well.

    Maths       y (1 + A c) + B c, y the published layer's output
    Parameters  weight, bias, running statistics as there; told.weight (2 channels, c_dim) = [A; B]

    Ref  Dumoulin, Shlens, Kudlur, "A Learned Representation for Artistic Style", 2017, arXiv 1610.07629
    """

    def __init__(self, channels, c_dim):
        super().__init__(channels, affine=True, track_running_stats=True)
        self.told = nn.Linear(c_dim, 2 * channels, bias=False)

    def forward(self, x, c):
        y, told = super().forward(x), self.told(c).reshape(c.shape[0], -1, 1, 1)
        C = x.shape[1]
        return y * (1 + told[:, :C]) + told[:, C:]


def _norm(channels, c_dim=None):
    if c_dim is not None:
        return LabelledNorm(channels, c_dim)
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), 3x3; key main.<i>. c_dim: of labels that its norms are told, None for the published block."""

    def __init__(self, channels, c_dim=None):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), _norm(channels, c_dim), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), _norm(channels, c_dim),
        )  # fmt: skip

    def forward(self, x, c=None):
        return x + _through(self.main, x, c)


def _through(layers, x, c):
    """x through the layers, of which some are told the labels c."""
    for layer in layers:
        x = layer(x, c) if isinstance(layer, (LabelledNorm, ResidualBlock)) else layer(x)
    return x


class Generator(nn.Module):
    """Images (N, channels, H, W) and labels (N, c) -> images; keys main.<i>.

    labelled: the labels go into every norm too. As maps beside the image only, they reach little of it: a constant map is what
    instance norm takes away but for its edges.

    oriented: the image comes in times tanh(w m), m its means of the channels, w learned from -3: light ones come in as negatives.
    Else G can take the gaps between the strokes of a light image for the strokes of a dark one, which no cycle shows.
    """

    def __init__(self, channels=3, c_dim=5, conv_dim=64, repeat_num=6, labelled=False, oriented=False):
        super().__init__()
        self.orient = None
        if oriented:
            self.orient = nn.Linear(channels, 1, bias=False)
            nn.init.constant_(self.orient.weight, -3.0)
        f, told = conv_dim, c_dim if labelled else None
        layers = [nn.Conv2d(channels + c_dim, f, 7, 1, 3, bias=False), _norm(f, told), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Conv2d(f, 2 * f, 4, 2, 1, bias=False), _norm(2 * f, told), nn.ReLU()]
            f *= 2
        layers += [ResidualBlock(f, told) for _ in range(repeat_num)]
        for _ in range(2):
            layers += [nn.ConvTranspose2d(f, f // 2, 4, 2, 1, bias=False), _norm(f // 2, told), nn.ReLU()]
            f //= 2
        self.main = nn.Sequential(*layers, nn.Conv2d(f, channels, 7, 1, 3, bias=False), nn.Tanh())

    def forward(self, x, c):
        if self.orient is not None:
            x = x * self.orient(x.mean((2, 3))).tanh().reshape(-1, 1, 1, 1)
        maps = c.reshape(*c.shape, 1, 1).expand(*c.shape, *x.shape[2:])
        return _through(self.main, cat([x, maps], 1), c)


class Discriminator(nn.Module):
    """Images (N, channels, size, size) -> (map of scores (N, 1, h, w), attribute logits (N, c)).

    norm: instance norm after every convolution but the first, and leaky .2, as CycleGAN's; not for a gradient penalty.
    """

    def __init__(self, image_size=128, channels=3, c_dim=5, conv_dim=64, repeat_num=6, norm=False):
        super().__init__()
        if image_size % 2**repeat_num:
            raise ValueError(
                f"StarGAN: image_size {image_size} must be divisible by 2^{repeat_num}, one for each layer of D"
            )
        f, layers = conv_dim, [nn.Conv2d(channels, conv_dim, 4, 2, 1), nn.LeakyReLU(0.01)]
        for _ in range(1, repeat_num):
            layers += [nn.Conv2d(f, 2 * f, 4, 2, 1)]
            layers += [nn.InstanceNorm2d(2 * f), nn.LeakyReLU(0.2)] if norm else [nn.LeakyReLU(0.01)]
            f *= 2
        self.main = nn.Sequential(*layers)
        self.conv1 = nn.Conv2d(f, 1, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(f, c_dim, image_size // 2**repeat_num, bias=False)

    def forward(self, x):
        h = self.main(x)
        return self.conv1(h), self.conv2(h).flatten(1)


def _attributes(logits, labels):
    """Cross-entropy of the attributes, summed over them."""
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(1).mean()


def _apart(a, b, squared):
    """How far images are apart: absolute error, squared error, or so much of it."""
    d = a - b
    if squared == 1:
        return (d * d).mean()
    return d.abs().mean() if squared == 0 else (1 - squared) * d.abs().mean() + squared * (d * d).mean()


def _noisy(x, level, rng):
    """x with Gaussian noise of that deviation."""
    return x + Tensor((level * rng.standard_normal(x.shape)).astype(x.array.dtype)) if level else x


class StarGAN(nn.Module):
    """Generator and discriminator; density "none".

    labelled, oriented: see Generator; d_norm: see Discriminator. The published networks have none of them.

    Example
    >>> model = StarGAN()
    >>> [sum(p.numel() for p in m.parameters()) for m in (model.generator, model.discriminator)]
    [8430528, 44762048]
    """

    density = "none"

    def __init__(
        self, c_dim=5, image_size=128, channels=3, g_dim=64, d_dim=64, blocks=6, d_layers=6, labelled=False, oriented=False,
        d_norm=False,
    ):  # fmt: skip
        super().__init__()
        self.c_dim, self.image_size, self.channels, self.d_norm = c_dim, image_size, channels, d_norm
        self.generator = Generator(channels, c_dim, g_dim, blocks, labelled, oriented)
        self.discriminator = Discriminator(image_size, channels, c_dim, d_dim, d_layers, d_norm)

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
        lam_adversarial=1.0,
        adversarial="wasserstein",
        copy_steps=0,
        copy_lr=1e-3,
        squared=0.0,
        ramp=0,
        noise=0.0,
        constant=0.5,
        seed=0,
        each=None,
        every=100,
        keep=None,
    ):
        """Train on images (N, C, H, W) in [-1, 1] with labels (N, c) of 0 and 1; `steps` discriminator steps; the log.

        Wanted labels are those of other images of the set, so only combinations that occur are asked for. The defaults are the
        paper's losses. For few images and steps (see the top of this file):

        copy_steps  before all else so many steps in which G only learns to copy, by the squared error, at rate copy_lr, and D the
                    attributes; they come on top of `steps`
        squared     share of the squared error in |back - image|
        adversarial "wasserstein" with the penalty, or a loss of fastdl.gan.losses, for which lam_penalty is not used
        ramp        so many of G's steps until the critic and the attributes weigh in full
        noise       deviation of Gaussian noise on all that D sees, falling to none at half of the steps
        """
        if adversarial not in ("wasserstein", *LOSSES):
            raise ValueError(f"StarGAN.fit: adversarial must be wasserstein, {', '.join(LOSSES)}; got {adversarial!r}")
        if adversarial == "wasserstein" and self.d_norm:
            raise ValueError(
                "StarGAN.fit: the gradient penalty of each image needs a discriminator without d_norm; hint: adversarial='lsgan'"
            )
        x = check_images(x, "StarGAN.fit", (self.channels, self.image_size, self.image_size))
        labels = self._labels(labels, len(x), "labels")
        if not 0 <= squared <= 1 or min(copy_steps, ramp, noise) < 0:
            raise ValueError(
                "StarGAN.fit: squared must lie in [0, 1], copy_steps, ramp and noise must not be negative; "
                f"got {squared}, {copy_steps}, {ramp}, {noise}"
            )
        G, D = self.generator, self.discriminator
        g_optimizer = Adam(G.parameters(), lr=copy_lr if copy_steps else lr, betas=(0.5, 0.999))
        d_optimizer = Adam(D.parameters(), lr=lr, betas=(0.5, 0.999))
        self.train()
        training = Training(self, copy_steps + steps, {"g": g_optimizer, "d": d_optimizer}, seed, each, every, keep)
        rng = training.rng
        for count in training:
            step = count - copy_steps
            level = noise * max(0.0, 1 - 2 * max(0, step - 1) / steps)
            rows = rng.integers(0, len(x), batch_size)
            real, own = Tensor(x[rows]), Tensor(labels[rows])
            seen = _noisy(real, level, rng)
            if step <= 0:
                g_optimizer.zero_grad()
                copied = _apart(G(real, own), real, 1.0)
                copied.backward()
                g_optimizer.step()
                d_optimizer.zero_grad()
                d_class = _attributes(D(seen)[1], own)
                d_class.backward()
                d_optimizer.step()
                training.record(copied=copied.item(), d_class=d_class.item())
                continue
            if (
                step == 1 and copy_steps
            ):  # what Adam knows of the small gradients of copying would make its first steps huge
                g_optimizer.load_state_dict({**g_optimizer.state_dict(), "state": {}})
            linear_decay((g_optimizer, d_optimizer), lr, step, steps, constant)
            wanted = Tensor(labels[rng.integers(0, len(x), batch_size)])
            with no_grad():
                fake = _noisy(G(real, wanted), level, rng)
            d_optimizer.zero_grad()
            score, classes = D(seen)
            refused = D(fake)[0]
            d_class = _attributes(classes, own)
            record = {"d_class": d_class.item()}
            if adversarial == "wasserstein":
                apart = refused.mean() - score.mean()
                penalty = gradient_penalty(lambda t: D(t)[0].sum((1, 2, 3)), seen, fake, generator=training.random)
                record |= {"wasserstein": -apart.item(), "penalty": penalty.item()}
                apart = apart + lam_penalty * penalty
            else:
                apart = discriminator_loss(adversarial, score, refused)
                record |= {"d_loss": apart.item()}
            (apart + lam_class * d_class).backward()
            d_optimizer.step()
            if step % n_critic == 0:
                D.requires_grad_(False)
                g_optimizer.zero_grad()
                fake = G(real, wanted)
                score, classes = D(_noisy(fake, level, rng))
                g_class = _attributes(classes, wanted)
                pleased = -score.mean() if adversarial == "wasserstein" else generator_loss(adversarial, score)
                back = _apart(G(fake, own), real, squared)
                weight = min(1.0, step / (ramp * n_critic)) if ramp else 1.0
                (weight * (lam_class * g_class + lam_adversarial * pleased) + lam_back * back).backward()
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
