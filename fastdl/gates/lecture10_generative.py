"""Lecture 10: bounds, auto-encoders and adversarial networks. Images are judged in the features of one frozen digit classifier.

Anchors of the Frechet distance are in fastdl/metrics/digit_classifier.py: training images about 5, a full Gaussian of the pixels
about 625, independent pixels 1,499. Every generator samples in evaluation mode: batch norm with its running statistics.
"""

import numpy as np

import fastdl
from fastdl import gan, nn
from fastdl.data import digits, mnist5k
from fastdl.distributions import Independent, Normal
from fastdl.distributions.elbo import active_units, elbo, iwae_bound
from fastdl.distributions.generative import seeded
from fastdl.gates import Claim, gate
from fastdl.metrics import digit_features, digit_frechet_distance
from fastdl.models.aae import AAE, PRIORS
from fastdl.models.cyclegan import CycleGAN
from fastdl.models.dcgan import DCGAN
from fastdl.models.gan import gan_small
from fastdl.models.infogan import InfoGAN, InfoGANConfig, best_assignment
from fastdl.models.linear_gaussian import LinearGaussian
from fastdl.models.progressive_gan import ProgressiveGAN
from fastdl.models.stargan import StarGAN
from fastdl.models.vae import VAE
from fastdl.recipes._samples import gaussian_samples, judge_digits


def images():
    """(train, test) of MNIST 5k in 0..1."""
    return tuple(part.tensors[0].array for part in mnist5k())


def quality(samples, bound, score=None, what="Frechet distance"):
    """Claims on 1,000 samples in 0..1: distance, coverage of the classes, no copies."""
    train, test = images()
    report = judge_digits(samples, train, test)
    gaussian = digit_frechet_distance(gaussian_samples(train, 1000).reshape(-1, 1, 28, 28), test)
    claims = [
        Claim(what, report["frechet distance"], "<=", bound, ("full-covariance Gaussian", gaussian)),
        Claim("classes with 2 % of the samples", report["classes covered"], ">=", 9),
        Claim(
            "distance to the nearest training image over held-out",
            report["nearest-training distance over held-out"],
            ">=",
            0.7,
        ),
    ]
    if score is not None:
        claims.append(Claim("classifier score", report["classifier score"], ">=", score))
    return claims


def told_apart(a, b, seed=0) -> float:
    """Held-out accuracy of a small network that learns to tell two samples (N, D) apart: 0.5 if they are alike."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([a, b]).astype(np.float32)
    y = np.repeat([0, 1], [len(a), len(b)])
    order = rng.permutation(len(x))
    x, y, half = x[order], y[order], len(x) // 2
    fastdl.manual_seed(seed)
    net = nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = fastdl.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(300):
        rows = rng.integers(0, half, 100)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(fastdl.tensor(x[rows])), fastdl.tensor(y[rows])).backward()
        optimizer.step()
    return float((net(fastdl.tensor(x[half:])).array.argmax(1) == y[half:]).mean())


@gate(entry=117, name="elbo")
def elbo_order(seed=0, smoke=False):
    """A linear-Gaussian model of 8x8 digits, whose evidence is known: ELBO <= IWAE <= log p(x), and the gap is the KL."""
    train, test = (part.tensors[0].array.reshape(len(part), -1).astype(np.float64) for part in digits())
    axes = np.linalg.svd(train - train.mean(0), full_matrices=False)[2][:12]
    x = (test[:60] - train.mean(0)) @ axes.T
    model = LinearGaussian(3).fit((train - train.mean(0)) @ axes.T)
    base = model.diagonal_posterior(x).base
    q, prior, X = Independent(Normal(base.loc + 0.3, base.scale * 1.5), 1), model.prior(), fastdl.tensor(x)
    evidence = model.log_prob(x).array.mean()
    reconstruction, kl = elbo(X, model.decoder, q, prior, 500 if smoke else 4000, generator=seeded(seed))
    bound = float((reconstruction - kl).array.mean())
    iwae = [
        float(np.mean([iwae_bound(X, model.decoder, q, prior, k, seeded(seed + s)).array.mean() for s in range(10)]))
        for k in (10, 200)
    ]
    posterior = model.posterior(x)
    z = posterior.sample((), seeded(seed))
    bayes = (model.decoder(z).log_prob(X) + prior.log_prob(z) - posterior.log_prob(z)).array
    return [
        Claim("IWAE-10 above the ELBO, nats", iwae[0] - bound, ">=", 0.05),
        Claim("IWAE-200 above IWAE-10, nats", iwae[1] - iwae[0], ">=", 0.0),
        Claim("evidence above IWAE-200, nats", evidence - iwae[1], ">=", -0.01, ("above the ELBO", evidence - bound)),
        Claim(
            "error of log p(x) by Bayes' rule at any z",
            float(np.abs(bayes - model.log_prob(x).array).max()),
            "<=",
            1e-5,
        ),
    ]


@gate(entry=118, name="vae")
def vae(seed=0, smoke=False):
    """VAE 784-256-16 on binary MNIST 5k: bound of the test images, codes in use, and the distance of decoded samples."""
    train, test = images()
    bits, judge = ((x.reshape(len(x), -1) >= 0.5).astype(np.float32) for x in (train, test))
    if smoke:
        bits = bits[np.random.default_rng(0).permutation(len(bits))[:1500]]
    frequency = (bits.sum(0) + 1) / (len(bits) + 2)
    independent = float(-(judge * np.log(frequency) + (1 - judge) * np.log1p(-frequency)).sum(1).mean())
    model = VAE(784, 128 if smoke else 256, 16)
    model.fit(bits, epochs=12 if smoke else 40, lr=3e-3 if smoke else 2e-3, seed=seed)
    with fastdl.no_grad():
        reconstruction, kl = model.elbo(judge, generator=seeded(seed))
        units = active_units(model.encode(judge).mean.array)
    bound = -float((reconstruction - kl).array.mean())
    claims = [
        Claim("-ELBO, nats", bound, "<=", 180 if smoke else 110, ("independent pixels", independent)),
        Claim("KL, nats", float(kl.array.mean()), ">=", 5),
        Claim("active codes", units, ">=", 5),
    ]
    if not smoke:
        part = judge[::5]
        weighted = -float(model.iwae(part, 200, generator=seeded(seed)).mean())
        claims.append(Claim("IWAE-200, nats, every fifth test image", weighted, "<=", 104.0, ("-ELBO of all", bound)))
        claims += quality(model.sample(1000, seed=1, mean=True).array, 300)
    return claims


@gate(entry=119, name="aae")
def aae(seed=0, smoke=False):
    """AAE 784-256-256-8 on MNIST 5k: reconstruction, codes that a fresh classifier cannot tell from the prior, samples."""
    data = digits() if smoke else mnist5k()
    train, test = ((part.tensors[0].array * 2 - 1).reshape(len(part), -1) for part in data)
    z = 2 if smoke else 8
    model = AAE(train.shape[1], z, 64 if smoke else 256)
    prior = PRIORS["normal"](len(test), z, np.random.default_rng(5))
    before = told_apart(model.encode(test).array, prior)
    model.fit(train, steps=500 if smoke else 2500, adversarial_lr=1e-3 if smoke else 2e-4, seed=seed)
    error = np.mean((model.reconstruct(test).array - test) ** 2) / np.mean((test - train.mean(0)) ** 2)
    apart = told_apart(model.encode(test).array, prior)
    claims = [
        Claim(
            "reconstruction error over the mean image's",
            float(error),
            "<=",
            0.95 if smoke else 0.45,
            ("mean image", 1.0),
        ),
        Claim("accuracy of code against prior", apart, "<=", 0.8 if smoke else 0.68, ("untrained encoder", before)),
    ]
    if not smoke:
        claims += quality((model.sample(1000, seed=1).array + 1) / 2, 350)
    return claims


@gate(entry=121, name="gan_objective")
def gan_objective(seed=0, smoke=False):
    """Two distributions over 20 states: logits trained by gradients come to D* = p / (p + q) and to -ln 4 + 2 JSD."""
    p, q = (v / v.sum() for v in np.random.default_rng(seed).random((2, 20)) ** 2)
    z = fastdl.tensor(np.zeros(20), requires_grad=True)
    optimizer = fastdl.optim.LBFGS(
        [z], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )  # convex, but states of probability 1e-6 count as much as the others: too slow by first-order steps

    def loss():
        optimizer.zero_grad()
        value = (nn.functional.softplus(-z) * fastdl.tensor(p) + nn.functional.softplus(z) * fastdl.tensor(q)).sum()
        value.backward()
        return value

    optimizer.step(loss)
    D, best = 1 / (1 + np.exp(-z.array)), gan.optimal_discriminator(p, q)
    exact = -np.log(4) + 2 * gan.jsd(p, q)
    return [
        Claim("largest error of the trained D", float(np.abs(D - best).max()), "<=", 1e-3),
        Claim("error of its value against -ln 4 + 2 JSD", abs(gan.gan_value(D, p, q) - exact), "<=", 1e-6),
        Claim("value at p = q plus ln 4", abs(gan.gan_value(np.full(20, 0.5), p, p) + np.log(4)), "<=", 1e-6),
    ]


def early(model, x, samples_of, steps, **settings):
    """Smoke: the distance of samples falls within a few steps."""
    _, test = images()
    before = digit_frechet_distance((samples_of(model) + 1) / 2, test)
    model.fit(x, steps=steps, **settings)
    after = digit_frechet_distance((samples_of(model) + 1) / 2, test)
    return [Claim("Frechet distance after a few steps over that before", after / before, "<", 1.0)]


def thousand(model):
    return model.sample(1000, seed=1).array.reshape(-1, 1, 28, 28)


@gate(entry=120, name="gan")
def gan_digits(seed=0, smoke=False):
    """GAN of dense layers, 64-256-512-784, on MNIST 5k: distance, coverage and novelty of 1,000 samples."""
    train, _ = images()
    model = gan_small()
    settings = {"g_lr": 4e-4, "d_lr": 2e-4, "seed": seed}
    if smoke:
        return early(model, train[:2000] * 2 - 1, thousand, 60, **settings)
    model.fit(train * 2 - 1, steps=3000, **settings)
    return quality((thousand(model) + 1) / 2, 400)


@gate(entry=122, name="dcgan")
def dcgan(seed=0, smoke=False):
    """DCGAN at 28x28 (64-128-64-1 maps) on MNIST 5k: distance, score, coverage and novelty."""
    train, _ = images()
    model = DCGAN(28, 1, 64, 16 if smoke else 64, 8 if smoke else 32)
    settings = {"g_lr": 5e-4, "d_lr": 2e-4, "seed": seed}
    if smoke:
        return early(model, train[:1000] * 2 - 1, thousand, 40, **settings)
    model.fit(train * 2 - 1, steps=1000, **settings)
    return quality((thousand(model) + 1) / 2, 200, score=5.0)


def slant_and_stroke(x):
    """(slant, width of the stroke) of each digit x (N, 1, H, W) in 0..1: shear of its second moments, ink over half the outline."""
    x = np.asarray(x, np.float64)[:, 0]
    ink = x.sum((1, 2)) + 1e-9
    r, c = np.mgrid[: x.shape[1], : x.shape[2]]
    middle = [(x * v).sum((1, 2))[:, None, None] / ink[:, None, None] for v in (r, c)]
    dr, dc = r - middle[0], c - middle[1]
    slant = -(x * dr * dc).sum((1, 2)) / ((x * dr * dr).sum((1, 2)) + 1e-9)
    outline = np.hypot(*np.gradient(x, axis=(1, 2))).sum((1, 2)) + 1e-9
    return slant, 2 * ink / outline


def meaning_of_numbers(samples, labels, numbers):
    """(largest |correlation| of a continuous code with slant or stroke, apart from the class code; what it is of).

    The pair is chosen on the first half of the samples and judged on the second.
    """
    half, found = len(samples) // 2, {}
    for name, value in zip(("slant", "stroke"), slant_and_stroke(samples), strict=True):
        value = value - np.array([value[labels == k].mean() for k in range(labels.max() + 1)])[labels]
        for j in range(numbers.shape[1]):
            found[name, j] = [
                abs(float(np.corrcoef(value[part], numbers[part, j])[0, 1]))
                for part in (slice(half), slice(half, None))
            ]
    best = max(found, key=lambda pair: found[pair][0])
    return found[best][1], best[0]


@gate(entry=123, name="infogan")
def infogan(seed=0, smoke=False):
    """InfoGAN (noise 32, 10 classes, 2 numbers) on MNIST 5k without labels: how well codes can be read, and what they mean."""
    train, _ = images()
    maps = (8, 4, 32) if smoke else (96, 24, 128)
    config = InfoGANConfig(
        32, 10, 2, g_hidden=32 if smoke else 128, g_maps=maps[0], d_maps=maps[1], d_hidden=maps[2], q_hidden=64
    )
    model = InfoGAN(config)
    log = model.fit(train * 2 - 1, steps=60 if smoke else 1400, seed=seed, every=20)
    if smoke:
        return [
            Claim(
                "information about the class code, nats",
                log[-1]["information"],
                ">",
                log[0]["information"],
                ("first steps", log[0]["information"]),
            )
        ]
    labels = np.random.default_rng(0).integers(0, 10, 1000)
    numbers = np.random.default_rng(1).uniform(-1, 1, (1000, 2))
    samples = (model.generate(labels, numbers, seed=1).array + 1) / 2
    told, of = meaning_of_numbers(samples, labels, numbers)
    seen = digit_features(samples)[1].argmax(1)
    match = best_assignment(labels[:500], seen[:500])
    right = float((match[labels[500:]] == seen[500:]).mean())
    claims = [
        Claim("information about the class code, nats (at most 2.303)", log[-1]["information"], ">=", 2.0),
        Claim("code is the digit, best assignment fitted on other samples", right, ">=", 0.40, ("chance", 0.1)),
        Claim(
            f"|correlation| of a continuous code with the {of}, chosen on other samples",
            told,
            ">=",
            0.5,
            ("codes of other samples", meaning_of_numbers(samples, labels, numbers[::-1])[0]),
        ),
    ]
    return claims + quality(samples, 300)  # fmt: skip


def inverted_on_brick(x, seed=0):
    """A known function of digits (N, 1, 28, 28) in 0..1: thicker, dark on a brick texture; in -1..1."""
    from fastdl.data import photos

    brick = photos()["brick"] / 255.0
    rng = np.random.default_rng(seed)
    padded = np.pad(x[:, 0], ((0, 0), (1, 1), (1, 1)))
    thick = np.max(
        [padded[:, 1:-1, 1:-1], padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]], 0
    )
    r, c = rng.integers(0, 512 - 28, (2, len(x)))
    ground = np.lib.stride_tricks.sliding_window_view(brick, (28, 28))[r, c]
    return ((ground * (1 - thick))[:, None] * 2 - 1).astype(np.float32)


def small_classifier(x, y, steps=300, seed=0):
    """A convolutional classifier of images (N, C, S, S) in -1..1."""
    fastdl.manual_seed(seed)
    side, c = x.shape[2] // 4, x.shape[1]
    outputs = int(y.max()) + 1 if y.ndim == 1 else y.shape[1]
    net = nn.Sequential(
        nn.Conv2d(c, 12, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(24 * side * side, outputs),
    )  # fmt: skip
    optimizer, rng = fastdl.optim.Adam(net.parameters(), lr=2e-3), np.random.default_rng(seed)
    loss = nn.functional.cross_entropy if y.ndim == 1 else nn.functional.binary_cross_entropy_with_logits
    for _ in range(steps):
        rows = rng.integers(0, len(x), 64)
        optimizer.zero_grad()
        loss(net(fastdl.tensor(x[rows])), fastdl.tensor(y[rows])).backward()
        optimizer.step()

    def predict(images):
        with fastdl.no_grad():
            return np.concatenate([net(fastdl.tensor(images[i : i + 250])).array for i in range(0, len(images), 250)])

    return predict


@gate(entry=126, name="cyclegan")
def cyclegan(seed=0, smoke=False):
    """CycleGAN, width 16, 3 blocks: digits to other digits, dark and thick on bricks, unpaired; the true map is known."""
    (x, y), (xt, yt) = ([t.array for t in part.tensors] for part in mnist5k())
    order = np.random.default_rng(0).permutation(len(x))
    a, b = order[: len(x) // 2], order[len(x) // 2 :]
    A, B = x[a] * 2 - 1, inverted_on_brick(x[b], 1)
    xt, yt = xt[::5], yt[::5]  # they lie in the order of their classes
    At, truth = xt * 2 - 1, inverted_on_brick(xt, 2)
    model = CycleGAN(1, 4 if smoke else 16, blocks=1 if smoke else 3, d_layers=2)
    log = model.fit(
        A, B, steps=30 if smoke else 700, batch_size=4, identity=0.0, lr=1e-3 if smoke else 4e-4, seed=seed, every=10
    )
    if smoke:
        return [Claim("cycle error after a few steps over the first", log[-1]["cycle"] / log[0]["cycle"], "<", 0.9)]
    moved = model.translate(At).array
    predict = small_classifier(B, y[b])
    kept, raw = (float((predict(v).argmax(1) == yt).mean()) for v in (moved, At))
    back = float(np.abs(model.translate(moved, to="a").array - At).mean())
    l1, identity = (float(np.abs(v - truth).mean()) for v in (moved, At))
    return [
        Claim("class kept, by a classifier of the other domain", kept, ">=", 0.8, ("untranslated", raw)),
        Claim("L1 to the true translation over the untranslated image's", l1 / identity, "<=", 0.4),
        Claim("L1 there and back", back, "<=", 0.1),
    ]


def styled(x, rng):
    """(images (N, 3, 32, 32) in -1..1, labels (N, 5)): ink red, green or blue; thick; inverted. By real transforms of digits."""
    x = np.pad(x[:, 0], ((0, 0), (2, 2), (2, 2)))
    ink, thick, inverted = rng.integers(0, 3, len(x)), rng.random(len(x)) < 0.5, rng.random(len(x)) < 0.5
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    fat = np.max([padded[:, i : i + 32, j : j + 32] for i in range(3) for j in range(3)], 0)
    x = np.where(thick[:, None, None], fat, x)
    colour = np.eye(3)[ink][:, :, None, None] * x[:, None]
    image = np.where(inverted[:, None, None, None], 1 - colour, colour)
    labels = np.concatenate([np.eye(3)[ink], thick[:, None], inverted[:, None]], 1).astype(np.float32)
    return (image * 2 - 1).astype(np.float32), labels


@gate(entry=128, name="stargan")
def stargan(seed=0, smoke=False):
    """StarGAN, width 16, 3 blocks, on digits with ink colour, thickness and inversion: wanted attributes, by another classifier."""
    (train, digit), (test, shown) = ([t.array for t in part.tensors] for part in mnist5k())
    rng = np.random.default_rng(0)
    x, labels = styled(train[:600] if smoke else train, rng)
    test, shown = test[::5], shown[::5]  # they lie in the order of their classes
    xt, own = styled(test, rng)
    sizes = (8, 8, 1) if smoke else (16, 32, 3)
    model = StarGAN(5, 32, 3, *sizes, 3, labelled=True, oriented=True, d_norm=True)
    settings = {"batch_size": 8, "lr": 6e-4, "n_critic": 1, "adversarial": "lsgan", "lam_adversarial": 2.0, "every": 10}
    settings |= {"copy_steps": 0 if smoke else 300, "seed": seed}
    log = model.fit(x, labels, steps=60 if smoke else 1300, **settings)
    if smoke:
        return [
            Claim(
                "attribute loss of real images after a few steps over the first",
                log[-1]["d_class"] / log[0]["d_class"],
                "<",
                0.9,
            )
        ]
    wanted = own[np.random.default_rng(1).permutation(len(own))]
    changed = model.translate(xt, wanted).array
    predict = small_classifier(x, labels)
    right = ((predict(changed) > 0) == (wanted > 0.5)).mean(0)
    unchanged = float(((predict(xt) > 0) == (wanted > 0.5)).mean(0).min())
    back = float(np.abs(model.translate(changed.clip(-1, 1), own).array - xt).mean())
    same = float(np.abs(model.translate(xt, own).array - xt).mean())
    blank = float(np.minimum(np.abs(xt + 1).mean((1, 2, 3)), np.abs(xt - 1).mean((1, 2, 3))).mean())
    read = small_classifier(x, digit, 600)
    kept, real = (float((read(v).argmax(1) == shown).mean()) for v in (changed, xt))
    return [
        Claim("digit kept", kept, ">=", 0.85, ("unchanged images", real)),
        Claim(
            "wanted attribute seen, the worst of five", float(right.min()), ">=", 0.95, ("unchanged images", unchanged)
        ),
        Claim("L1 there and back", back, "<=", 0.08, ("the background alone", blank)),
        Claim("L1 where nothing was asked for", same, "<=", 0.08, ("the background alone", blank)),
    ]


@gate(entry=129, name="progressive_gan")
def progressive_gan(seed=0, smoke=False):
    """Progressive GAN, 4 to 32 pixels, at most 32 maps, two minutes of WGAN-GP on MNIST 5k: distance of the middle 28x28."""
    train, _ = images()
    x = np.pad(train, ((0, 0), (0, 0), (2, 2), (2, 2))) * 2 - 1
    if smoke:
        model = ProgressiveGAN(8, 1, 32, 8)
        small = x.reshape(-1, 1, 8, 4, 8, 4).mean((3, 5))
        log = model.fit(small, images_per_phase=200, batch_size=16, ema=0.9, seed=seed)
        z = model.latent(4)
        model.grow(2)
        before = model.generator(z).array.repeat(2, 2).repeat(2, 3)
        model.grow(3, 0.0)
        return [
            Claim(
                "error of alpha = 0 against the size before",
                float(np.abs(model.generator(z).array - before).max()),
                "<=",
                1e-6,
            ),
            Claim("largest penalty", max(r["penalty"] for r in log), "<=", 2.0),
        ]
    model = ProgressiveGAN(32, 1, 512, 32)
    log = model.fit(x, images_per_phase=6400, batch_size=16, lr=2e-3, ema=0.99, seed=seed)
    samples = ((model.sample(1000, seed=1).array[:, :, 2:30, 2:30] + 1) / 2).clip(0, 1)
    distance, _, copies = quality(samples, 400)
    return [distance, copies, Claim("largest penalty of a phase", max(r["penalty"] for r in log), "<=", 1.0)]
