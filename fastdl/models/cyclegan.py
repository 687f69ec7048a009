"""CycleGAN: translate between two kinds of images without pairs: two generators, two discriminators, and the way back.

G   reflect pad 3, conv 7x7 f - IN - ReLU; conv 3x3 s2: 2f, 4f; residual blocks (reflect-padded 3x3 conv - IN - ReLU - conv -
    IN); transposed 3x3 s2: 2f, f; reflect pad 3, conv 7x7, tanh.        f = 64: 11,378,179 with 9 blocks, 7,837,699 with 6
D   PatchGAN: 4x4 convs f s2, 2f s2, 4f s2, 8f, 1; IN but in the first; every output judges a 70x70 patch.    2,764,737
Instance norm without scale and shift, convolutions with bias, weights N(0, .02).

Loss: least squares both ways + 10 (|F(G(a)) - a| + |G(F(b)) - b|) + 5 (identity: |G(b) - b| + |F(a) - a|).

Ref  Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", 2017,
     arXiv 1703.10593
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.training import Training, linear_decay
from fastdl.gan import ImagePool, check_images, cycle_consistency, discriminator_loss, generator_loss
from fastdl.nn import init
from fastdl.optim import Adam


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), 3x3 with reflected edges and instance norm; key conv_block.<i>."""

    def __init__(self, channels):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels), nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels),
        )  # fmt: skip

    def forward(self, x):
        return x + self.conv_block(x)


class Generator(nn.Module):
    """Images (N, channels, H, W) in [-1, 1] -> the same shape; H and W divisible by 4. Keys model.<i>."""

    def __init__(self, channels=3, ngf=64, blocks=9):
        super().__init__()
        f = ngf
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(channels, f, 7), nn.InstanceNorm2d(f), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Conv2d(f, 2 * f, 3, 2, 1), nn.InstanceNorm2d(2 * f), nn.ReLU()]
            f *= 2
        layers += [ResidualBlock(f) for _ in range(blocks)]
        for _ in range(2):
            layers += [nn.ConvTranspose2d(f, f // 2, 3, 2, 1, output_padding=1), nn.InstanceNorm2d(f // 2), nn.ReLU()]
            f //= 2
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(f, channels, 7), nn.Tanh())

    def forward(self, x):
        if len(x.shape) != 4 or x.shape[2] % 4 or x.shape[3] % 4:
            raise ValueError(f"CycleGAN: expected images (N, C, H, W), H and W divisible by 4; got shape {x.shape}")
        return self.model(x)


class Discriminator(nn.Module):
    """Images (N, channels, H, W) -> a map of logits, one a patch. layers: strided convolutions (3: patches of 70x70)."""

    def __init__(self, channels=3, ndf=64, layers=3):
        super().__init__()
        f, stack = ndf, [nn.Conv2d(channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
        for n in range(1, layers + 1):
            wider = ndf * min(2**n, 8)
            stack += [nn.Conv2d(f, wider, 4, 2 if n < layers else 1, 1), nn.InstanceNorm2d(wider), nn.LeakyReLU(0.2)]
            f = wider
        self.model = nn.Sequential(*stack, nn.Conv2d(f, 1, 4, 1, 1))

    def forward(self, x):
        return self.model(x)


def patch_size(layers=3) -> int:
    """Side of the patch that one output of the discriminator sees: 70 for three strided convolutions."""
    size = 1
    for stride in [1, 1] + [2] * layers:
        size = (size - 1) * stride + 4
    return size


def _initialise(module):
    for m in module.modules():
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
            init.normal_(m.weight, 0.0, 0.02)
            if m.bias is not None:
                init.zeros_(m.bias)
    return module


class CycleGAN(nn.Module):
    """G_a: A -> B, G_b: B -> A, and the discriminators D_a (of images in A) and D_b.

    Example
    >>> model = CycleGAN()
    >>> [sum(p.numel() for p in m.parameters()) for m in (model.G_a, model.D_a)]
    [11378179, 2764737]
    """

    density = "none"

    def __init__(self, channels=3, ngf=64, ndf=None, blocks=9, d_layers=3):
        super().__init__()
        self.channels = channels
        self.G_a, self.G_b = (_initialise(Generator(channels, ngf, blocks)) for _ in range(2))
        self.D_a, self.D_b = (_initialise(Discriminator(channels, ndf or ngf, d_layers)) for _ in range(2))

    def fit(
        self,
        domain_a,
        domain_b,
        steps=1000,
        batch_size=1,
        lr=2e-4,
        lam=10.0,
        identity=0.5,
        pool=50,
        constant=0.5,
        seed=0,
        each=None,
        every=100,
        keep=None,
    ):
        """Train on images of the two kinds, unpaired, (N, C, H, W) and (M, C, H, W) in [-1, 1]; returns the log.

        lam: weight of the cycle; identity: weight of the identity loss as a share of lam; pool: past fakes shown to the
        discriminators; constant: the share of the steps after which the learning rate falls linearly to 0.
        """
        a = check_images(domain_a, "CycleGAN.fit, domain A")
        b = check_images(domain_b, "CycleGAN.fit, domain B")
        if a.ndim != 4 or a.shape[1:] != b.shape[1:] or a.shape[1] != self.channels:
            raise ValueError(
                f"CycleGAN.fit: both domains need images ({self.channels}, H, W) of one size; got {a.shape[1:]} and {b.shape[1:]}"
            )
        g_optimizer = Adam([*self.G_a.parameters(), *self.G_b.parameters()], lr=lr, betas=(0.5, 0.999))
        d_optimizer = Adam([*self.D_a.parameters(), *self.D_b.parameters()], lr=lr, betas=(0.5, 0.999))
        pools = ImagePool(pool, seed), ImagePool(pool, seed + 1)
        self.train()
        training = Training(
            self, steps, {"g": g_optimizer, "d": d_optimizer}, seed, each, every, keep,
            {"pool_a": pools[0], "pool_b": pools[1]},
        )  # fmt: skip
        rng = training.rng
        for step in training:
            linear_decay((g_optimizer, d_optimizer), lr, step, steps, constant)
            real_a = Tensor(a[rng.integers(0, len(a), batch_size)])
            real_b = Tensor(b[rng.integers(0, len(b), batch_size)])
            training.record(**self._step(real_a, real_b, g_optimizer, d_optimizer, pools, lam, identity))
        return training.log

    def _step(self, a, b, g_optimizer, d_optimizer, pools, lam, identity):
        judges = (self.D_a, self.D_b)
        for D in judges:
            D.requires_grad_(False)
        g_optimizer.zero_grad()
        fake_b, fake_a = self.G_a(a), self.G_b(b)
        adversarial = generator_loss("lsgan", self.D_b(fake_b)) + generator_loss("lsgan", self.D_a(fake_a))
        cycle = cycle_consistency(a, self.G_b(fake_b), b, self.G_a(fake_a), 1.0)
        loss = 2 * adversarial + lam * cycle  # 2: the paper's generator loss is (D - 1)^2, without the half
        if lam and identity:
            loss = loss + lam * identity * ((self.G_a(b) - b).abs().mean() + (self.G_b(a) - a).abs().mean())
        loss.backward()
        g_optimizer.step()
        for D in judges:
            D.requires_grad_(True)
        d_optimizer.zero_grad()
        shown_a, shown_b = pools[0].query(fake_a.detach()), pools[1].query(fake_b.detach())
        d_loss = discriminator_loss("lsgan", self.D_a(a), self.D_a(shown_a)) + discriminator_loss(
            "lsgan", self.D_b(b), self.D_b(shown_b)
        )
        d_loss.backward()
        d_optimizer.step()
        return {"adversarial": adversarial.item(), "cycle": cycle.item(), "d_loss": d_loss.item()}

    def translate(self, x, to="b", batch=50) -> Tensor:
        """Images of the other kind: from A to B, or to="a" back."""
        if to not in ("a", "b"):
            raise ValueError(f"CycleGAN.translate: to must be 'a' or 'b'; got {to!r}")
        x = check_images(x, "CycleGAN.translate", least=1)
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"CycleGAN.translate: expected images (N, {self.channels}, H, W); got shape {x.shape}")
        G = self.G_a if to == "b" else self.G_b
        with no_grad():
            return Tensor(np.concatenate([G(Tensor(x[i : i + batch])).array for i in range(0, len(x), batch)]))
