"""Generative models as workloads: whole training steps of fastdl.models beside the same networks in torch.nn (twins.py).

What is drawn at random (latents, noise, points between real and generated images) is drawn once and the same on both sides, so
that the losses can be compared; those of the second network already depend on the first one's update.
"""

import numpy as np

from . import twins
from .sequences import on_torch
from .workload import Workload
from .zoo import numbered


def _adam(s, parameters, lr=2e-4, betas=(0.5, 0.999)):
    return s.optim.Adam(list(parameters), lr=lr, betas=betas, **s.fast("Adam"))


def _images(s, *shape):
    return s.tensor(np.tanh(s.array(*shape)))


def _binary(s, *shape):
    return s.tensor((s.rng.random(shape) < 0.3).astype(s.dtype))


def vae(s, batch, D=784, H=500, Z=20):
    """The bound by one sample, closed KL."""
    if on_torch(s):
        net = twins.vae(s.nn, D, H, Z)
    else:
        from fastdl.models.vae import VAE

        net = VAE(D, H, Z)
    net, F = numbered(s, net), s.F
    x, noise = _binary(s, batch, D), s.tensor(s.array(batch, Z))

    def loss(net):
        h = net.encoder(x)
        mu, logvar = net.mu(h), net.logvar(h)
        logits = net.decoder(mu + (0.5 * logvar).exp() * noise)
        kl = -0.5 * (1 + logvar - mu * mu - logvar.exp()).sum()
        return (F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl) / batch

    return s.training(net, _adam(s, net.parameters(), 1e-3, (0.9, 0.999)), loss)


def _adversarial(s, G, D, real, z):
    """One non-saturating step of each network."""
    g_optimizer, d_optimizer = _adam(s, G.parameters()), _adam(s, D.parameters())
    softplus = s.F.softplus

    def step():
        fake = s.run_without_tape(lambda: G(z))
        d_optimizer.zero_grad()
        d_loss = softplus(-D(real)).mean() + softplus(D(fake)).mean()
        d_loss.backward()
        d_optimizer.step()
        g_optimizer.zero_grad()
        D.requires_grad_(False)
        g_loss = softplus(-D(G(z))).mean()
        g_loss.backward()
        D.requires_grad_(True)
        g_optimizer.step()
        return [d_loss.detach(), g_loss.detach()]

    return {"both": step}


def gan(s, batch, latent=100, D=784, g_hidden=(1200, 1200), d_hidden=(240, 240)):
    if on_torch(s):
        net = twins.gan(s.nn, latent, g_hidden, d_hidden, 5, D)
    else:
        from fastdl.models.gan import GAN, GANConfig

        net = GAN(GANConfig(D, latent, g_hidden, d_hidden=d_hidden))
    networks = [numbered(s, part) for part in (net.generator, net.discriminator)]
    return _adversarial(s, *networks, _images(s, batch, D), s.tensor(s.array(batch, latent)))


def dcgan(s, batch, size=64, f=64):
    if on_torch(s):
        net = twins.dcgan(s.nn, size, 3, 100, f)
    else:
        from fastdl.models.dcgan import DCGAN

        net = DCGAN(size, ngf=f)
    networks = [numbered(s, part) for part in (net.generator, net.discriminator)]
    return _adversarial(s, *networks, _images(s, batch, 3, size, size), s.tensor(s.array(batch, 100)))


def cyclegan(s, batch, size, blocks, f=64):
    """Both generators (least squares, cycle 10, identity 5), then both discriminators."""
    if on_torch(s):
        net = twins.cyclegan(s.nn, 3, f, blocks)
    else:
        from fastdl.models.cyclegan import CycleGAN

        net = CycleGAN(3, f, blocks=blocks)
    net = numbered(s, net)
    a, b = _images(s, batch, 3, size, size), _images(s, batch, 3, size, size)
    judges = [net.D_a, net.D_b]
    g_optimizer = _adam(s, [*net.G_a.parameters(), *net.G_b.parameters()])
    d_optimizer = _adam(s, [*net.D_a.parameters(), *net.D_b.parameters()])
    square = lambda x: (x * x).mean()  # noqa: E731

    def step():
        for D in judges:
            D.requires_grad_(False)
        g_optimizer.zero_grad()
        fake_b, fake_a = net.G_a(a), net.G_b(b)
        g_loss = square(net.D_b(fake_b) - 1) + square(net.D_a(fake_a) - 1)
        g_loss = g_loss + 10 * ((net.G_b(fake_b) - a).abs().mean() + (net.G_a(fake_a) - b).abs().mean())
        g_loss = g_loss + 5 * ((net.G_a(b) - b).abs().mean() + (net.G_b(a) - a).abs().mean())
        g_loss.backward()
        g_optimizer.step()
        for D in judges:
            D.requires_grad_(True)
        d_optimizer.zero_grad()
        d_loss = 0.5 * (square(net.D_a(a) - 1) + square(net.D_a(fake_a.detach())))
        d_loss = d_loss + 0.5 * (square(net.D_b(b) - 1) + square(net.D_b(fake_b.detach())))
        d_loss.backward()
        d_optimizer.step()
        return [g_loss.detach(), d_loss.detach()]

    return {"both": step}


def _penalty(s, critic, real, fake, u):
    """mean (|grad critic| - 1)^2 between real and generated images, differentiable."""
    x = (u * real + (1 - u) * fake).detach().requires_grad_(True)
    (g,) = s.lib.autograd.grad(critic(x).sum(), x, create_graph=True)
    norm = ((g * g).sum((1, 2, 3)) + 1e-12).sqrt()
    return ((norm - 1) ** 2).mean()


def stargan(s, batch, size, labels=5, f=64, blocks=6, d_layers=6):
    """A step of the critic with gradient penalty and attributes, then one of the generator."""
    if on_torch(s):
        net = twins.stargan(s.nn, size, 3, labels, f, blocks, d_layers)
    else:
        from fastdl.models.stargan import StarGAN

        net = StarGAN(labels, size, 3, f, f, blocks, d_layers)
    G, D = (numbered(s, part) for part in (net.generator, net.discriminator))
    F = s.F
    real, own, wanted = _images(s, batch, 3, size, size), _binary(s, batch, labels), _binary(s, batch, labels)
    u = s.tensor(s.rng.random((batch, 1, 1, 1)).astype(s.dtype))
    g_optimizer, d_optimizer = _adam(s, G.parameters(), 1e-4), _adam(s, D.parameters(), 1e-4)

    def attributes(logits, labels):
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / batch

    def step():
        fake = s.run_without_tape(lambda: G(real, wanted))
        d_optimizer.zero_grad()
        score, classes = D(real)
        d_loss = D(fake)[0].mean() - score.mean() + attributes(classes, own)
        d_loss = d_loss + 10 * _penalty(s, lambda t: D(t)[0].sum((1, 2, 3)), real, fake, u)
        d_loss.backward()
        d_optimizer.step()
        D.requires_grad_(False)
        g_optimizer.zero_grad()
        fake = G(real, wanted)
        score, classes = D(fake)
        g_loss = attributes(classes, wanted) - score.mean() + 10 * (G(fake, own) - real).abs().mean()
        g_loss.backward()
        g_optimizer.step()
        D.requires_grad_(True)
        return [d_loss.detach(), g_loss.detach()]

    return {"both": step}


def progressive_gan(s, batch, size, fmap_base=8192, fmap_max=512):
    """A step of the critic with gradient penalty and drift, then one of the generator."""
    if on_torch(s):
        net = twins.progressive_gan(s.nn, s.F, size, 3, fmap_base, fmap_max)
    else:
        from fastdl.models.progressive_gan import ProgressiveGAN

        net = ProgressiveGAN(size, 3, fmap_base, fmap_max)
    G, D = (numbered(s, part, unit=True) for part in (net.generator, net.discriminator))
    real, z = _images(s, batch, 3, size, size), s.tensor(s.array(batch, min(fmap_base, fmap_max)))
    u = s.tensor(s.rng.random((batch, 1, 1, 1)).astype(s.dtype))
    g_optimizer, d_optimizer = (_adam(s, n.parameters(), 1e-3, (0.0, 0.99)) for n in (G, D))

    def step():
        fake = s.run_without_tape(lambda: G(z))
        d_optimizer.zero_grad()
        on_real = D(real)
        d_loss = D(fake).mean() - on_real.mean() + 1e-3 * (on_real * on_real).mean()
        d_loss = d_loss + 10 * _penalty(s, D, real, fake, u)
        d_loss.backward()
        d_optimizer.step()
        g_optimizer.zero_grad()
        D.requires_grad_(False)
        g_loss = -D(G(z)).mean()
        g_loss.backward()
        D.requires_grad_(True)
        g_optimizer.step()
        return [d_loss.detach(), g_loss.detach()]

    return {"both": step}


def nade(s, batch, form, D=784, H=500):
    if on_torch(s):
        net = twins.nade(s.nn, s.F, D, H, form)
    else:
        from fastdl.models.nade import NADE

        net = NADE(D, H)
    net, x = numbered(s, net), _binary(s, batch, D)
    optimizer = s.optim.AdamW(net.parameters(), lr=1e-3, **s.fast("AdamW"))
    return s.training(net, optimizer, lambda net: -net.log_prob(x).mean())


def pixelrnn(s, batch, size, layers=7, h=16, maps=32):
    if on_torch(s):
        net = twins.pixelrnn(s.nn, s.F, layers, h, maps)
    else:
        from fastdl.models.pixelrnn import PixelRNN

        net = PixelRNN("diagonal", layers, h, maps=maps)
    net, x = numbered(s, net), _binary(s, batch, 1, size, size)
    optimizer = s.optim.AdamW(net.parameters(), lr=1e-3, **s.fast("AdamW"))
    return s.training(net, optimizer, lambda net: -net.log_prob(x).mean())


# name, builder, sizes, multiply-adds of all forward passes of a step, parameters, passes that a step costs of that
STEPS = [
    ("VAE 784-500-20, batch 64, step", vae, (64,), 64 * 812e3, 816e3, 3),
    ("GAN, batch 64, step", gan, (64,), 64 * (2 * 2.50e6 + 3 * 1.23e6), 3.7e6, 2.7),
    ("DCGAN 64x64, batch 32, step", dcgan, (32,), 32 * (2 * 104e6 + 3 * 103e6), 6.3e6, 2.7),
    ("CycleGAN 128x128, 6 blocks, batch 1, step", cyclegan, (1, 128, 6), 6 * 10.5e9 + 6 * 0.77e9, 21.2e6, 3),
    (
        "StarGAN 64x64, gradient penalty, batch 4, step", stargan, (4, 64), 4 * (3 * 2.73e9 + 4 * 0.33e9), 53e6, 3,
    ),
    (
        "Progressive GAN 32x32, gradient penalty, batch 4, step", progressive_gan, (4, 32),
        4 * (2 * 4.6e9 + 4 * 4.6e9), 40e6, 3,
    ),
    ("NADE 784-500, batch 100, step, beside a loop", nade, (100, "loop"), 100 * 784e3, 785e3, 3),
    ("NADE 784-500, batch 100, step, beside masked products", nade, (100, "masked"), 100 * 784e3, 785e3, 3),
    (
        "PixelRNN 28x28, 7 Diagonal BiLSTM layers, batch 16, step", pixelrnn, (16, 28),
        16 * 784 * (7 * (2 * (2048 + 2048) + 512) + 3168), 50e3, 3,
    ),
]  # fmt: skip
WORKLOADS = [
    Workload(name, "generative", build, sizes, 2 * macs, 28 * parameters, factor, None, 1.0)
    for name, build, sizes, macs, parameters, factor in STEPS
]
