"""Progressive GAN: start at 4x4 pixels and add layers up to 1024x1024, each faded in beside what was there.

G   z -> pixel norm -> dense 4x4 x nf -> conv 3x3; each further size: nearest x2, two 3x3 convs; leaky .2 then pixel norm; 1x1 toRGB
D   1x1 fromRGB, two 3x3 convs, average pool; at 4x4: minibatch deviation (groups of 4, one more map), conv 3x3, dense, dense 1
nf(stage) = min(fmap_base / 2^stage, fmap_max), stage = log2(size) - 1.
Equalised learning rate: weights N(0, 1), multiplied by gain / sqrt(fan_in) whenever they are used; biases 0.

1024 px: 23,079,115 and 23,087,249 parameters with all RGB layers. Loss: WGAN-GP 10 with drift .001, Adam lr .001, betas (0, .99),
averaged generator .999, optimizer state new at each size.

Ref  Karras, Aila, Laine, Lehtinen, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", 2018,
     arXiv 1710.10196
"""

import copy
from math import log2, sqrt

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.generative import GenerativeModel, seeded
from fastdl.gan import Average, GANTrainer, check_images
from fastdl.nn import functional as F
from fastdl.ops.random import numpy_generator, randn
from fastdl.ops.shape import cat
from fastdl.optim import Adam

HE = sqrt(2)  # the gain that suits ReLU


class EqualConv2d(nn.Module):
    """A convolution whose weight is N(0, 1) and is used times gain / sqrt(fan_in).

    Shapes      x (N, C, H, W) -> (N, O, H, W), stride 1, padded to the same size
    Parameters  weight (O, C, K, K), bias (O,)
    """

    def __init__(self, in_channels, out_channels, kernel_size, gain=HE):
        super().__init__()
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(numpy_generator().standard_normal(shape).astype(np.float32))
        self.bias = nn.Parameter(np.zeros(out_channels, np.float32))
        self.scale, self.padding = gain / sqrt(in_channels * kernel_size**2), kernel_size // 2

    def forward(self, x):
        return F.conv2d(x, self.weight * self.scale, self.bias, 1, self.padding)


class EqualLinear(nn.Module):
    """A dense layer likewise; bias: its length, for one bias a map of a 4x4 result. weight (O, I)."""

    def __init__(self, in_features, out_features, gain=HE, bias=None):
        super().__init__()
        self.weight = nn.Parameter(numpy_generator().standard_normal((out_features, in_features)).astype(np.float32))
        self.bias = nn.Parameter(np.zeros(bias or out_features, np.float32))
        self.scale = gain / sqrt(in_features)

    def forward(self, x):
        y = F.linear(x, self.weight * self.scale)
        repeats = y.shape[1] // self.bias.shape[0]
        return y + (self.bias if repeats == 1 else self.bias.repeat_interleave(repeats))


def pixel_norm(x, eps=1e-8):
    """x divided by the root mean square over its channels."""
    return x * ((x * x).mean(1, keepdim=True) + eps).rsqrt()


def minibatch_deviation(x, group=4):
    """x (N, C, H, W) with one more map: the deviation over groups of samples, averaged over channels and pixels."""
    N, C, H, W = x.shape
    g = next(k for k in range(min(group, N), 0, -1) if N % k == 0)
    y = x.reshape(g, N // g, C, H, W)
    y = y - y.mean(0, keepdim=True)
    deviation = ((y * y).mean(0) + 1e-8).sqrt().mean((1, 2, 3))  # (N / g,)
    maps = deviation.reshape(1, N // g, 1, 1, 1).expand(g, N // g, 1, H, W).reshape(N, 1, H, W)
    return cat([x, maps], 1)


class _Growing(nn.Module):
    """What both networks share: the widths, and how far they are grown: `level` (log2 of the size) and `alpha`."""

    def __init__(self, resolution, fmap_base, fmap_max):
        super().__init__()
        top = int(log2(resolution))
        if 2**top != resolution or top < 2:
            raise ValueError(f"ProgressiveGAN: the resolution must be a power of two from 4; got {resolution}")
        self.top = self.level = top
        self.alpha = 1.0
        self.nf = lambda stage: max(1, min(fmap_base // 2**stage, fmap_max))


class Generator(_Growing):
    """z (N, latent) -> images of side 2^level; modules `dense`, blocks.<size>.<0|1>, rgb.<size>."""

    def __init__(self, resolution=1024, channels=3, fmap_base=8192, fmap_max=512, latent=None):
        super().__init__(resolution, fmap_base, fmap_max)
        nf = self.nf
        self.latent = latent or nf(0)
        self.dense = EqualLinear(self.latent, nf(1) * 16, gain=HE / 4, bias=nf(1))
        self.blocks, self.rgb = nn.ModuleDict(), nn.ModuleDict()
        for r in range(2, self.top + 1):
            convs = [EqualConv2d(nf(1), nf(1), 3)] if r == 2 else [
                EqualConv2d(nf(r - 2), nf(r - 1), 3), EqualConv2d(nf(r - 1), nf(r - 1), 3)
            ]  # fmt: skip
            self.blocks[str(2**r)] = nn.ModuleList(convs)
            self.rgb[str(2**r)] = EqualConv2d(nf(r - 1), channels, 1, gain=1.0)

    def forward(self, z):
        if len(z.shape) != 2 or z.shape[1] != self.latent:
            raise ValueError(f"ProgressiveGAN: the latent must have shape (N, {self.latent}); got {z.shape}")
        act = lambda x: pixel_norm(F.leaky_relu(x, 0.2))  # noqa: E731
        x = act(self.dense(pixel_norm(z)).reshape(z.shape[0], -1, 4, 4))
        before = None
        for r in range(2, self.level + 1):
            if r > 2:
                before = x
                x = F.interpolate(x, scale_factor=2)
            for conv in self.blocks[str(2**r)]:
                x = act(conv(x))
        image = self.rgb[str(2**self.level)](x)
        if self.alpha < 1 and before is not None:
            old = F.interpolate(self.rgb[str(2 ** (self.level - 1))](before), scale_factor=2)
            image = old + (image - old) * self.alpha
        return image


class Discriminator(_Growing):
    """Images of side 2^level -> scores (N,)."""

    def __init__(self, resolution=1024, channels=3, fmap_base=8192, fmap_max=512):
        super().__init__(resolution, fmap_base, fmap_max)
        nf = self.nf
        self.blocks, self.rgb = nn.ModuleDict(), nn.ModuleDict()
        for r in range(self.top, 1, -1):
            self.rgb[str(2**r)] = EqualConv2d(channels, nf(r - 1), 1)
            if r > 2:
                convs = [EqualConv2d(nf(r - 1), nf(r - 1), 3), EqualConv2d(nf(r - 1), nf(r - 2), 3)]
                self.blocks[str(2**r)] = nn.ModuleList(convs)
        self.conv = EqualConv2d(nf(1) + 1, nf(1), 3)
        self.dense0, self.dense1 = EqualLinear(nf(1) * 16, nf(0)), EqualLinear(nf(0), 1, gain=1.0)

    def forward(self, x):
        size = 2**self.level
        if x.shape[2:] != (size, size):
            raise ValueError(f"ProgressiveGAN: grown to {size}x{size}, but got images of shape {x.shape}")
        h = F.leaky_relu(self.rgb[str(size)](x), 0.2)
        for r in range(self.level, 2, -1):
            for conv in self.blocks[str(2**r)]:
                h = F.leaky_relu(conv(h), 0.2)
            h = F.avg_pool2d(h, 2)
            if r == self.level and self.alpha < 1:
                old = F.leaky_relu(self.rgb[str(size // 2)](F.avg_pool2d(x, 2)), 0.2)
                h = old + (h - old) * self.alpha
        h = F.leaky_relu(self.conv(minibatch_deviation(h)), 0.2)
        return self.dense1(F.leaky_relu(self.dense0(h.flatten(1)), 0.2)).reshape(x.shape[0])


def at_level(x, level, alpha=1.0):
    """Images (N, C, S, S) averaged down to side 2^level, and faded like the networks' outputs for alpha < 1."""
    x = np.asarray(x, np.float32)
    while x.shape[2] > 2**level:
        x = _halved(x)
    return faded(x, alpha) if level > 2 else x


def faded(x, alpha):
    """Images (N, C, S, S) between their halved and doubled selves (alpha = 0) and themselves (alpha = 1)."""
    if alpha >= 1:
        return x
    old = _halved(x).repeat(2, 2).repeat(2, 3)
    return old + (x - old) * np.float32(alpha)


def _halved(x):
    N, C, H, W = x.shape
    return x.reshape(N, C, H // 2, 2, W // 2, 2).mean((3, 5))


class ProgressiveGAN(nn.Module, GenerativeModel):
    """Both networks, a running mean of the generator (`average`), and the schedule of growing; density "none".

    Example
    >>> model = ProgressiveGAN(max_res=32, channels=1, fmap_base=512, fmap_max=64)
    >>> [sum(p.numel() for p in m.parameters()) for m in (model.generator, model.discriminator)]
    [278180, 279073]
    """

    density = "none"

    def __init__(self, max_res=1024, channels=3, fmap_base=8192, fmap_max=512, latent=None):
        super().__init__()
        self.max_res, self.channels = max_res, channels
        self.generator = Generator(max_res, channels, fmap_base, fmap_max, latent)
        self.discriminator = Discriminator(max_res, channels, fmap_base, fmap_max)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)

    def grow(self, level, alpha=1.0):
        """Set both networks to images of side 2^level, the newest layers faded in by alpha."""
        if not 2 <= level <= self.generator.top or not 0 <= alpha <= 1:
            raise ValueError(
                f"ProgressiveGAN.grow: level must lie in 2 .. {self.generator.top}, alpha in 0 .. 1; got {level}, {alpha}"
            )
        for net in (self.generator, self.discriminator, self.average):
            net.level, net.alpha = level, float(alpha)

    def latent(self, n, generator=None):
        """Standard normal z (n, latent)."""
        return randn(n, self.generator.latent, generator=generator)

    def fit(
        self,
        x,
        images_per_phase=600_000,
        batch_size=16,
        lr=1e-3,
        start=2,
        penalty_weight=10.0,
        ema=0.999,
        seed=0,
        each=None,
        keep=None,
    ):
        """Train on images (N, C, max_res, max_res) in [-1, 1], from side 2^start up; returns the log, a record a phase.

        Each size is faded in for images_per_phase real images (a number, or one a level) and trained as long without fading.
        """
        x = check_images(x, "ProgressiveGAN.fit", (self.channels, self.max_res, self.max_res))
        levels = range(start, self.generator.top + 1)
        shares = [images_per_phase] * len(levels) if isinstance(images_per_phase, int) else images_per_phase
        if not levels or len(shares) != len(levels):
            raise ValueError(
                f"ProgressiveGAN.fit: start must lie in 2 .. {self.generator.top}, with one images_per_phase a level "
                f"({len(levels)}); got start {start} and {images_per_phase}"
            )
        phases = [
            (level, fading, max(1, share // batch_size))
            for level, share in zip(levels, shares, strict=True)
            for fading in ((True, False) if level > start else (False,))
        ]
        optimizers = [Adam(net.parameters(), lr=lr, betas=(0.0, 0.99)) for net in (self.generator, self.discriminator)]
        trainer = GANTrainer(
            self.generator, self.discriminator, *optimizers, self.latent, "wgan", 1, "gp", penalty_weight, 1e-3,
            Average(self.generator, ema, into=self.average), seed,
        )  # fmt: skip
        training = trainer.training(sum(n for *_, n in phases), each, None, keep, self)
        starts = np.cumsum([0] + [n for *_, n in phases])
        small = None
        for step in training:
            at = int(np.searchsorted(starts, step, "left")) - 1
            (level, fading, n), k = phases[at], step - int(starts[at])
            if k == 1 and (fading or at == 0):
                for optimizer in optimizers:  # a new size: the optimizers forget
                    optimizer.load_state_dict({**optimizer.state_dict(), "state": {}})
            self.grow(level, k / n if fading else 1.0)
            if small is None or small.shape[2] != 2**level:
                small = at_level(x, level)
            real = small[training.rng.integers(0, len(x), batch_size)]
            training.record(**trainer.step(Tensor(faded(real, self.generator.alpha))))
            if k == n:
                training.flush(level=level, fading=fading)
        return training.log

    def sample(self, n, seed=None, averaged=True, batch=100) -> Tensor:
        """n images of the present size, by the averaged generator unless told otherwise; not clipped to [-1, 1]."""
        G = self.average if averaged else self.generator
        z = self.latent(n, seeded(seed)).array
        with no_grad():
            return Tensor(np.concatenate([G(Tensor(z[i : i + batch])).array for i in range(0, n, batch)]))


def sliced_wasserstein(a, b, patch=7, patches=64, directions=128, levels=2, seed=0) -> list:
    """Distances of random patches of two sets of images (N, C, S, S), one a level of a pyramid, finest first.

    Each patch is normalised per channel over the set; the distance is the mean over random directions of the 1-D
    Wasserstein distance. Ref  Karras et al. 2018, section 5
    """
    rng, result = np.random.default_rng(seed), []
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(f"sliced_wasserstein: images of shapes {a.shape[1:]} and {b.shape[1:]}")
    for level in range(levels):
        finer = [x - (_halved(x).repeat(2, 2).repeat(2, 3) if level < levels - 1 else 0) for x in (a, b)]
        n, size = min(len(a), len(b)), a.shape[2]
        k = min(patch, size)
        sets = []
        for x in finer:
            rows = np.repeat(np.arange(n), patches)
            top, left = rng.integers(0, size - k + 1, (2, len(rows)))
            window = np.lib.stride_tricks.sliding_window_view(x[:n], (k, k), (2, 3))[rows, :, top, left]
            window = window - window.mean((0, 2, 3), keepdims=True)
            sets.append((window / (window.std((0, 2, 3), keepdims=True) + 1e-9)).reshape(len(rows), -1))
        u = rng.standard_normal((sets[0].shape[1], directions))
        u /= np.linalg.norm(u, axis=0)
        result.append(float(np.mean(np.abs(np.sort(sets[0] @ u, 0) - np.sort(sets[1] @ u, 0)))))
        a, b = _halved(a), _halved(b)
    return result
