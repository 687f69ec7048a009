"""Adversarial models: published sizes and names, losses by hand, second-order gradients through whole critics, bad input."""

import hashlib

import numpy as np
import pytest

import fastdl as fd
from fastdl import gan, nn
from fastdl.autograd import Tensor, gradgradcheck
from fastdl.data import mnist5k
from fastdl.distributions import ImplicitModelError
from fastdl.models import cyclegan, dcgan, infogan, progressive_gan, stargan
from fastdl.models.gan import GAN, gan_small

rng = np.random.default_rng(0)


def count(m):
    return sum(p.numel() for p in m.parameters())


def keys(m):
    """A fingerprint of the sorted (key, shape) list."""
    text = ";".join(f"{k}{tuple(v.shape)}" for k, v in sorted(m.state_dict().items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def double(m):
    """The network in float64, so that finite differences can judge it."""
    return m.double()


# -------------------------------------------------------------------------------------------------- published sizes


def test_published_counts():
    with nn.init_empty():
        model = GAN()
        assert (count(model.generator), count(model.discriminator)) == (2_503_984, 1_231_441)
        for f, g, d in ((64, 3_576_704, 2_765_568), (128, 12_658_432, 11_036_160)):
            assert (count(dcgan.Generator(ngf=f)), count(dcgan.Discriminator(ndf=f))) == (g, d)
        m = infogan.InfoGAN()
        parts = (m.generator, m.trunk, m.d_head, m.q_head)
        assert [count(p) for p in parts] == [6_645_121, 6_556_992, 1_025, 133_134]
        assert count(cyclegan.Generator(blocks=9)) == 11_378_179 and count(cyclegan.Generator(blocks=6)) == 7_837_699
        assert count(cyclegan.Discriminator()) == 2_764_737 and cyclegan.patch_size() == 70
        assert count(stargan.Generator()) == 8_430_528 and count(stargan.Discriminator()) == 44_762_048
        G, D = progressive_gan.Generator(), progressive_gan.Discriminator()
        assert (count(G), count(D)) == (23_079_115, 23_087_249)
        small = progressive_gan.ProgressiveGAN(32, 1, 512, 64)
        assert (count(small.generator), count(small.discriminator)) == (278_180, 279_073)


def test_published_names():
    with nn.init_empty():
        names = list(dcgan.Generator().state_dict())
        assert [n for n in names if n.endswith("weight")] == [f"main.{i}.weight" for i in (0, 1, 3, 4, 6, 7, 9, 10, 12)]
        D = dcgan.Discriminator().state_dict()
        assert [n for n in D if D[n].ndim == 4] == [f"main.{i}.weight" for i in (0, 2, 5, 8, 11)]
        G = cyclegan.Generator(blocks=9).state_dict()
        blocks = [f"model.{i}.conv_block.{j}" for i in range(10, 19) for j in (1, 5)]
        modules = ["model.1", "model.4", "model.7", *blocks, "model.19", "model.22", "model.26"]
        assert list(G) == [f"{m}.{p}" for m in modules for p in ("weight", "bias")]
        assert [k for k in cyclegan.Discriminator().state_dict() if "weight" in k] == [
            f"model.{i}.weight" for i in (0, 2, 5, 8, 11)
        ]
        S = stargan.Generator().state_dict()
        assert {f"main.{i}.main.{j}.weight" for i in range(9, 15) for j in (0, 1, 3, 4)} <= set(S)
        assert S["main.0.weight"].shape == (64, 8, 7, 7)
        D = [k for k in stargan.Discriminator().state_dict() if k.endswith("weight")]
        assert [*(f"main.{i}.weight" for i in (0, 2, 4, 6, 8, 10)), "conv1.weight", "conv2.weight"] == D


def test_networks_of_torch_give_the_same_images():
    """DCGAN's generator and CycleGAN's, weights carried over by name."""
    torch = pytest.importorskip("torch")
    t = torch.nn
    ours = dcgan.Generator(16, 1, 5, 4)
    theirs = t.Sequential(
        t.ConvTranspose2d(5, 8, 4, 1, 0, bias=False), t.BatchNorm2d(8), t.ReLU(),
        t.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), t.BatchNorm2d(4), t.ReLU(),
        t.ConvTranspose2d(4, 1, 4, 2, 1, bias=False), t.Tanh(),
    )  # fmt: skip
    ours.main.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    z = rng.standard_normal((3, 5)).astype(np.float32)
    want = theirs(torch.tensor(z)[:, :, None, None]).detach().numpy()
    np.testing.assert_allclose(ours(Tensor(z)).array, want, atol=2e-6)

    class Block(t.Module):
        def __init__(self, c):
            super().__init__()
            pad = t.ReflectionPad2d
            self.conv_block = t.Sequential(
                pad(1), t.Conv2d(c, c, 3), t.InstanceNorm2d(c), t.ReLU(), pad(1), t.Conv2d(c, c, 3), t.InstanceNorm2d(c)
            )

        def forward(self, x):
            return x + self.conv_block(x)

    theirs = t.Sequential(
        t.ReflectionPad2d(3), t.Conv2d(2, 4, 7), t.InstanceNorm2d(4), t.ReLU(),
        t.Conv2d(4, 8, 3, 2, 1), t.InstanceNorm2d(8), t.ReLU(), t.Conv2d(8, 16, 3, 2, 1), t.InstanceNorm2d(16), t.ReLU(),
        Block(16),
        t.ConvTranspose2d(16, 8, 3, 2, 1, 1), t.InstanceNorm2d(8), t.ReLU(),
        t.ConvTranspose2d(8, 4, 3, 2, 1, 1), t.InstanceNorm2d(4), t.ReLU(),
        t.ReflectionPad2d(3), t.Conv2d(4, 2, 7), t.Tanh(),
    )  # fmt: skip
    ours = cyclegan.Generator(2, 4, 1)
    ours.model.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = rng.uniform(-1, 1, (2, 2, 16, 16)).astype(np.float32)
    np.testing.assert_allclose(ours(Tensor(x)).array, theirs(torch.tensor(x)).detach().numpy(), atol=1e-5)


# ---------------------------------------------------------------------------------------------------------- losses


def test_losses_by_hand():
    r, f = Tensor(np.array([2.0, -1.0])), Tensor(np.array([0.5, 3.0]))
    sp = lambda v: np.log1p(np.exp(v))  # noqa: E731
    standard = np.mean([sp(-2), sp(1)]) + np.mean([sp(0.5), sp(3)])
    want = {
        "minimax": (standard, -np.mean([sp(0.5), sp(3)])),
        "nonsaturating": (standard, np.mean([sp(-0.5), sp(-3)])),
        "lsgan": (0.5 * (np.mean([1, 4]) + np.mean([0.25, 9])), 0.5 * np.mean([0.25, 4])),
        "hinge": (np.mean([0, 2]) + np.mean([1.5, 4]), -1.75),
        "wgan": (1.75 - 0.5, -1.75),
    }
    assert set(want) == set(gan.LOSSES)
    for name, (d, g) in want.items():
        assert gan.discriminator_loss(name, r, f).item() == pytest.approx(d)
        assert gan.generator_loss(name, f).item() == pytest.approx(g)
    with pytest.raises(ValueError, match="choose one of minimax"):
        gan.generator_loss("wasserstein", f)


def test_minimax_equals_nonsaturating_where_d_is_unsure_and_saturates_where_it_wins():
    slopes = {}
    for name in ("minimax", "nonsaturating"):
        for at in (0.0, -10.0):
            z = Tensor(np.array([at]), requires_grad=True)
            gan.generator_loss(name, z).backward()
            slopes[name, at] = z.grad.item()
    assert slopes["minimax", 0.0] == pytest.approx(slopes["nonsaturating", 0.0])
    assert abs(slopes["minimax", -10.0]) < 1e-4 and abs(slopes["nonsaturating", -10.0]) > 0.99


def test_penalties_of_a_linear_critic():
    w = rng.standard_normal(6)
    critic = lambda x: (x * Tensor(w)).sum(1)  # noqa: E731
    a, b = (Tensor(rng.standard_normal((5, 6))) for _ in range(2))
    norm = np.linalg.norm(w)
    assert gan.gradient_penalty(critic, a, b).item() == pytest.approx((norm - 1) ** 2)
    assert gan.r1_penalty(critic, a).item() == pytest.approx(norm**2)
    with pytest.raises(ValueError, match="differ in shape"):
        gan.gradient_penalty(critic, a, Tensor(np.zeros((4, 6))))


def test_cycle_consistency():
    a, b = (Tensor(rng.standard_normal((2, 1, 3, 3))) for _ in range(2))
    turn = lambda x, k: Tensor(np.rot90(x.array, k, (2, 3)))  # noqa: E731
    assert gan.cycle_consistency(a, turn(turn(a, 1), 3), b, turn(turn(b, 3), 1)).item() == 0
    one, two = Tensor(np.array([[1.0, 2], [3, 4]])), Tensor(np.array([[1.0, 2], [3, 6]]))
    assert gan.cycle_consistency(one, two, two, one, 10.0).item() == pytest.approx(10 * (0.5 + 0.5))
    model = cyclegan.CycleGAN(1, 2, blocks=1, d_layers=1)
    x = Tensor(rng.uniform(-1, 1, (1, 1, 8, 8)).astype(np.float32))
    gan.cycle_consistency(x, model.G_b(model.G_a(x)), x, model.G_a(model.G_b(x))).backward()
    for G in (model.G_a, model.G_b):
        assert all(
            np.abs(p.grad.array).sum() > 0
            for k, p in G.named_parameters()
            if k.endswith("26.weight") or "1.weight" in k
        )


def test_optimal_discriminator_and_jensen_shannon():
    p, q = (v / v.sum() for v in rng.random((2, 20)) ** 2)
    best = gan.optimal_discriminator(p, q)
    assert gan.gan_value(best, p, q) == pytest.approx(-np.log(4) + 2 * gan.jsd(p, q), abs=1e-12)
    assert gan.gan_value(np.full(20, 0.5), p, p) == pytest.approx(-np.log(4), abs=1e-12) and gan.jsd(p, p) == 0
    assert gan.jsd([1, 0], [0, 1]) == pytest.approx(np.log(2))
    # logits trained by gradients come to D*, and their value to -ln 4 + 2 JSD
    z = fd.tensor(np.zeros(20), requires_grad=True)
    optimizer = fd.optim.Adam([z], lr=0.1)
    P, Q = Tensor(p), Tensor(q)
    for step in range(3000):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 3000)
        optimizer.zero_grad()
        (nn.functional.softplus(-z) * P + nn.functional.softplus(z) * Q).sum().backward()
        optimizer.step()
    D = 1 / (1 + np.exp(-z.array))
    assert np.abs(D - best).max() < 1e-3
    assert gan.gan_value(D, p, q) == pytest.approx(-np.log(4) + 2 * gan.jsd(p, q), abs=1e-6)


# ------------------------------------------------------------------------------------------- second-order gradients

CRITICS = {
    "conv, leaky": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(16, 1)
    ),
    "instance norm, deconv": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3, 1, 1), nn.InstanceNorm2d(2, affine=True), nn.Tanh(),
        nn.ConvTranspose2d(2, 2, 4, 2, 1), nn.Softplus(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(32, 1),
    ),
    "layer norm": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 1)
    ),
    "stargan": lambda: stargan.Discriminator(8, 1, 2, 2, 2),
    "progressive": lambda: progressive_gan.Discriminator(8, 1, 16, 4),
    "cyclegan": lambda: cyclegan.Discriminator(1, 2, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CRITICS)
def test_second_order_through_a_whole_critic(name):
    """The gradient penalty's own gradient, by the input and by every weight, against finite differences."""
    fd.manual_seed(3)
    critic = double(CRITICS[name]())
    x = fd.tensor(np.random.default_rng(1).uniform(-1, 1, (2, 1, 8, 8)), requires_grad=True)

    def score(x):
        y = critic(x)
        y = y[0] if isinstance(y, tuple) else y
        return y.reshape(x.shape[0], -1).sum(1)

    assert gradgradcheck(score, [x])
    params = [p for p in critic.parameters() if p.numel() <= 150][:4]
    real, fake = Tensor(x.array), Tensor(x.array[::-1].copy())
    loss = lambda: gan.gradient_penalty(score, real, fake, generator=fd.Generator().manual_seed(0))  # noqa: E731
    critic.zero_grad()
    loss().backward()
    for p in params:
        if p.grad is None:  # a bias after which nothing is left of it in the gradient
            continue
        i = np.unravel_index(np.abs(p.grad.array).argmax(), p.shape)
        kept, h = p.array[i], 1e-5
        p.array[i] = kept + h
        up = loss().item()
        p.array[i] = kept - h
        down = loss().item()
        p.array[i] = kept
        assert p.grad.array[i] == pytest.approx((up - down) / (2 * h), rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_second_order_through_generators(mode):
    fd.manual_seed(0)
    G = double(progressive_gan.Generator(8, 1, 16, 4))
    G.alpha = 0.4
    z = fd.tensor(np.random.default_rng(0).standard_normal((2, G.latent)), requires_grad=True)
    up = (lambda x: nn.functional.interpolate(x, scale_factor=2, mode=mode)) if mode == "bilinear" else lambda x: x
    assert gradgradcheck(lambda z: up(G(z)).square().sum((1, 2, 3)), [z])


# ---------------------------------------------------------------------------------------------------- progressive


def test_fading():
    fd.manual_seed(0)
    model = progressive_gan.ProgressiveGAN(16, 1, 64, 8)
    z = model.latent(3)
    model.grow(3)
    before = model.generator(z).array
    model.grow(4, 0.0)
    np.testing.assert_allclose(model.generator(z).array, before.repeat(2, 2).repeat(2, 3), atol=1e-6)
    x = Tensor(rng.uniform(-1, 1, (4, 1, 16, 16)).astype(np.float32))
    faded = model.discriminator(x).array
    model.grow(3)
    np.testing.assert_allclose(
        faded, model.discriminator(Tensor(progressive_gan.at_level(x.array, 3))).array, atol=1e-5
    )
    model.grow(4, 1.0)
    whole = model.generator(z).array
    model.generator.rgb["8"].weight.array[...] = 7  # the old path has no part in it any more
    assert (model.generator(z).array == whole).all()
    old = progressive_gan.at_level(x.array, 4, 0.0)
    assert (old[:, :, ::2, ::2] == old[:, :, 1::2, 1::2]).all() and old.mean() == pytest.approx(
        x.array.mean(), abs=1e-6
    )


def test_equalised_layers_are_ordinary_ones_with_scaled_weights():
    fd.manual_seed(0)
    conv, dense = progressive_gan.EqualConv2d(3, 5, 3), progressive_gan.EqualLinear(4, 6)
    plain = nn.Conv2d(3, 5, 3, padding=1)
    plain.load_state_dict({"weight": conv.weight.array * np.float32(np.sqrt(2 / 27)), "bias": conv.bias.array})
    x = Tensor(rng.standard_normal((2, 3, 6, 6)).astype(np.float32))
    np.testing.assert_allclose(conv(x).array, plain(x).array, atol=1e-5)
    v = rng.standard_normal((2, 4)).astype(np.float32)
    np.testing.assert_allclose(dense(Tensor(v)).array, v @ dense.weight.array.T * np.sqrt(2 / 4), atol=1e-5)
    norm = progressive_gan.pixel_norm(x).array
    np.testing.assert_allclose((norm**2).mean(1), 1, rtol=1e-5)
    y = progressive_gan.minibatch_deviation(Tensor(rng.standard_normal((8, 3, 2, 2)))).array
    assert y.shape == (8, 4, 2, 2) and len(np.unique(y[:, 3].round(12))) == 2  # 8 samples are 2 groups of 4


def test_sliced_wasserstein():
    a, b = rng.random((2, 60, 1, 16, 16))
    blur = progressive_gan.at_level(b, 3).repeat(2, 2).repeat(2, 3)
    same, blurred = (progressive_gan.sliced_wasserstein(a, x) for x in (b, blur))
    assert len(same) == 2 and max(same) < 0.15 and blurred[0] > 3 * same[0]


# ------------------------------------------------------------------------------------------------------- training


def test_average_and_pool():
    net = nn.Linear(2, 1)
    average = gan.Average(net, 0.9)
    before = net.weight.array.copy()
    net.weight.array[...] = 1
    average.update(net)
    np.testing.assert_allclose(average.module.weight.array, 0.9 * before + 0.1, rtol=1e-6)
    pool = gan.ImagePool(4, seed=0)
    shown = [pool.query(Tensor(np.full((1, 1), float(i)))).item() for i in range(100)]
    assert shown[:4] == [0, 1, 2, 3] and 25 < sum(s < i for i, s in enumerate(shown)) < 75
    assert len(pool.images) == 4


def test_discriminator_step_leaves_the_generator_alone_and_the_reverse():
    fd.manual_seed(0)
    model = gan_small(data=16, latent=4, g_hidden=(8, 8), d_hidden=(8, 8))
    trainer = model.trainer()
    weights = lambda m: np.concatenate([p.array.ravel().copy() for p in m.parameters()])  # noqa: E731
    g, d = weights(model.generator), weights(model.discriminator)
    trainer.discriminator_step(Tensor(rng.uniform(-1, 1, (6, 16)).astype(np.float32)))
    assert (weights(model.generator) == g).all() and (weights(model.discriminator) != d).any()
    d = weights(model.discriminator)
    trainer.generator_step(6)
    assert (weights(model.discriminator) == d).all() and (weights(model.generator) != g).any()
    assert all(p.requires_grad for p in model.discriminator.parameters())


@pytest.mark.parametrize("loss", gan.LOSSES)
def test_every_loss_finds_a_shifted_gaussian(loss):
    fd.manual_seed(1)
    # two dimensions: in one, a critic that starts with the wrong sign cannot turn without a slope of 0, which "gp" forbids
    G, D = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    x = (
        (np.array([0.4, -0.3]) + 0.1 * np.random.default_rng(0).standard_normal((500, 2)))
        .clip(-1, 1)
        .astype(np.float32)
    )
    trainer = gan.GANTrainer(
        G, D, fd.optim.Adam(G.parameters(), lr=3e-3, betas=(0.5, 0.9)), fd.optim.Adam(D.parameters(), lr=1e-2, betas=(0.5, 0.9)),
        lambda n, g: fd.randn(n, 2, generator=g), loss, penalty="gp" if loss == "wgan" else "r1", penalty_weight=1.0, ema=0.98,
    )  # fmt: skip
    trainer.fit(x, steps=600, batch_size=64)
    mean = trainer.average.module(fd.randn(2000, 2)).array.mean(0)
    assert np.abs(mean - [0.4, -0.3]).max() < 0.15


def test_gan_repeats_with_a_seed_and_is_implicit():
    x = mnist5k().train.tensors[0].array[:64] * 2 - 1
    results = []
    for _ in range(2):
        fd.manual_seed(5)
        model = dcgan.DCGAN(28, 1, 8, 4)
        log = model.fit(x, steps=3, batch_size=16, seed=2)
        results.append((log[-1]["d_loss"], model.sample(4, seed=1).array))
    assert results[0][0] == results[1][0] and (results[0][1] == results[1][1]).all()
    assert (model.sample(4, seed=1).array == model.sample(4, seed=1).array).all()  # evaluation mode: twice the same
    assert model.sample(2).shape == (2, 1, 28, 28) and np.abs(model.sample(2).array).max() <= 1
    walk = model.interpolate(8, seed=0).array.reshape(8, -1)
    assert all(np.abs(walk[i] - walk[j]).max() > 0 for i in range(8) for j in range(i))
    with pytest.raises(ImplicitModelError, match="DCGAN is an implicit model"):
        model.log_prob(x)


def test_infogan_information_and_assignment():
    fd.manual_seed(0)
    c = infogan.InfoGANConfig(8, 3, 1, 16, 8, 4, 16, 8, image_size=8)
    model = infogan.InfoGAN(c)
    noise, labels, numbers = model.codes(12)
    z = model.latent(noise, labels, numbers)
    assert z.shape == (12, 12) and (z.array[np.arange(12), 8 + labels] == 1).all()
    features = model.trunk(model.generator(z))
    discrete, continuous = model.information(features, labels, numbers)
    assert discrete.item() <= np.log(3) and np.isfinite(continuous.item())
    (-discrete).backward()
    assert all(np.abs(p.grad.array).sum() > 0 for p in model.generator.parameters() if p.ndim > 1)  # Q teaches G, too
    model.fit(rng.uniform(-1, 1, (20, 1, 8, 8)).astype(np.float32), steps=2, batch_size=8)
    assert model.generate([0, 1, 2], seed=0).shape == (3, 1, 8, 8)
    codes = rng.integers(0, 10, 400)
    true = rng.permutation(10)
    assert (infogan.best_assignment(codes, true[codes]) == true).all()


def test_cyclegan_and_stargan_steps():
    fd.manual_seed(0)
    a, b = rng.uniform(-1, 1, (2, 5, 1, 16, 16)).astype(np.float32)
    model = cyclegan.CycleGAN(1, 4, blocks=1, d_layers=1)
    log = model.fit(a, b[:3], steps=4)
    assert np.isfinite(list(log[-1].values())).all() and model.translate(a).shape == a.shape
    assert model.translate(b, to="a").shape == b.shape
    star = stargan.StarGAN(2, 16, 1, 4, 4, 1, 2)
    labels = np.array([[0, 1], [1, 0], [1, 1], [0, 0], [1, 0]])
    log = star.fit(a, labels, steps=5, batch_size=3, n_critic=2)
    assert np.isfinite(list(log[-1].values())).all()
    y = star.translate(a, labels).array
    assert (y == star.translate(a, labels).array).all() and (y != star.translate(a, 1 - labels).array).any()


def test_labelled_norm_is_instance_norm_with_a_scale_and_shift_of_the_labels():
    fd.manual_seed(0)
    norm = stargan.LabelledNorm(3, 2)
    x, c = rng.standard_normal((4, 3, 6, 5)).astype(np.float32), np.float32([[0, 1], [1, 0], [1, 1], [0, 0]])
    plain = (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + norm.eps)
    told = (c @ norm.told.weight.array.T)[:, :, None, None]
    y = norm(Tensor(x), Tensor(c)).array
    np.testing.assert_allclose(y, plain * (1 + told[:, :3]) + told[:, 3:], atol=1e-5)
    published, labelled = (set(stargan.Generator(3, 5, 4, 1, told).state_dict()) for told in (False, True))
    assert published < labelled and all(k.endswith("told.weight") for k in labelled - published)


def test_stargan_takes_other_losses_and_brings_negatives_in_as_their_originals():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, -0.5, (6, 1, 16, 16)).astype(np.float32)
    x[:, :, 4:8, 4:8] = 1
    x[3:] *= -1
    fd.manual_seed(0)
    star = stargan.StarGAN(1, 16, 1, 4, 4, 1, 2, oriented=True, d_norm=True)
    with fd.no_grad():
        c = fd.tensor(np.ones((3, 1), np.float32))
        a, b = (star.generator(fd.tensor(part), c).array for part in (x[:3], -x[:3]))
    assert np.array_equal(a, b)  # tanh is odd: a negative is the same to G
    log = star.fit(x, np.repeat([[0.0], [1.0]], 3, 0), 2, 3, n_critic=1, adversarial="lsgan", every=1)
    assert {"d_loss", "g_class", "back"} <= set(log[0]) and "penalty" not in log[0]
    for given, words in (({"adversarial": "ls"}, "must be wasserstein, minimax"), ({}, "without d_norm")):
        with pytest.raises(ValueError, match=words):
            star.fit(x, np.ones((6, 1)), 1, 3, **given)


def test_stargan_that_copies_first_leaves_the_blank_image():
    """Ink on a tenth of the pixels: copying by the squared error gets below the error of the background alone."""
    fd.manual_seed(0)
    x = -np.ones((40, 1, 16, 16), np.float32)
    for i, image in enumerate(x):
        image[0, 2 + i % 10 : 5 + i % 10, 3:12] = 1
    labels = np.arange(40)[:, None] % 2
    star = stargan.StarGAN(1, 16, 1, 6, 4, 1, 2)
    log = star.fit(x, labels, steps=1, batch_size=8, copy_steps=90, copy_lr=1e-2, every=30, noise=0.2)
    assert "copied" in log[0] and "wasserstein" in log[-1]
    star.generator.train()
    with fd.no_grad():
        error = np.abs(star.generator(Tensor(x), Tensor(labels.astype(np.float32))).array - x).mean()
    assert error < 0.5 * np.abs(x + 1).mean()
    with pytest.raises(ValueError, match="squared must lie"):
        star.fit(x, labels, squared=2.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_wgan_gp_is_stable_over_2000_steps():
    """A convolutional critic without batch norm on 14x14 digits: nothing diverges and the distance that it sees shrinks."""
    fd.manual_seed(0)
    x = mnist5k().train.tensors[0].array.reshape(-1, 1, 14, 2, 14, 2).mean((3, 5)) * 2 - 1
    G = dcgan.initialise(dcgan.Generator(14, 1, 16, 16))
    D = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 16, 3, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(256, 1),
    )
    trainer = gan.GANTrainer(
        G, D, fd.optim.Adam(G.parameters(), lr=3e-4, betas=(0.0, 0.9)), fd.optim.Adam(D.parameters(), lr=3e-4, betas=(0.0, 0.9)),
        lambda n, g: fd.randn(n, 16, generator=g), "wgan", n_critic=2, penalty="gp",
    )  # fmt: skip
    log = trainer.fit(x, steps=2000, batch_size=32, every=100)
    penalties = [r["penalty"] for r in log]
    distances = [r["d_real"] - r["d_fake"] for r in log]
    assert max(penalties[1:]) < 0.5 and max(map(abs, distances)) < 50
    assert 0 < np.mean(distances[-5:]) < max(distances)


# ------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: dcgan.DCGAN(28, 1, 8, 4).fit(np.zeros((4, 1, 28, 28)) + 255), r"must lie in \[-1, 1\].*127.5"),
        (lambda: dcgan.DCGAN(28, 1, 8, 4).fit(np.zeros((1, 1, 28, 28))), "1 image.* too few"),
        (lambda: dcgan.DCGAN(28, 1, 8, 4).fit(np.zeros((4, 3, 28, 28))), r"expected images of shape \(1, 28, 28\)"),
        (lambda: dcgan.Generator(28, 1, 8, 4)(fd.zeros(2, 9)), r"latent must have shape \(N, 8\)"),
        (lambda: dcgan.DCGAN(30), "4 or 7 times a power of two"),
        (lambda: GAN().generator(fd.zeros(2, 3)), r"latent must have shape \(N, 100\)"),
        (lambda: gan_small().fit(np.zeros((4, 1, 8, 8))), "expected 784 numbers"),
        (lambda: gan_small().trainer(loss="l2"), "loss must be one of"),
        (lambda: cyclegan.CycleGAN(1, 2, blocks=1).fit(np.zeros((2, 1, 8, 8)), np.zeros((2, 1, 16, 16))), "both domains"),
        (lambda: cyclegan.CycleGAN(1, 2, blocks=1).fit(np.zeros((2, 1, 8, 8)), np.zeros((1, 1, 8, 8))), "domain B: 1 image"),
        (lambda: cyclegan.Generator(1, 2, 1)(fd.zeros(1, 1, 10, 10)), "divisible by 4"),
        (lambda: stargan.StarGAN(2, 16, 1, 4, 4, 1, 2).fit(np.zeros((3, 1, 16, 16)), np.zeros((3, 5))), r"\(3, 2\)"),
        (lambda: stargan.Discriminator(20), "divisible by 2"),
        (lambda: progressive_gan.ProgressiveGAN(24), "power of two"),
        (lambda: progressive_gan.ProgressiveGAN(8, 1, 16, 4).grow(5), "level must lie in 2 .. 3"),
        (lambda: infogan.InfoGAN(infogan.InfoGANConfig(4, 3, 1, 8, 4, 4, 8, 4)).generate([3]), "labels must lie"),
    ],
)  # fmt: skip
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
