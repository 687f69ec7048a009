"""Auto-encoders with a prior: bounds in the right order against an exact model, counts, forms, and bad input."""

import numpy as np
import pytest

import fastdl as fd
from fastdl.data import digits
from fastdl.distributions import Independent, Normal, kl_divergence
from fastdl.distributions.elbo import active_units, elbo, iwae_bound
from fastdl.distributions.generative import seeded
from fastdl.models.aae import AAE, PRIORS
from fastdl.models.linear_gaussian import LinearGaussian
from fastdl.models.vae import VAE

TRAIN, TEST = (part.tensors[0].array.reshape(-1, 64) for part in digits())


@pytest.fixture(scope="module")
def exact():
    """A linear-Gaussian model of real digits reduced to 12 principal components."""
    x = TRAIN.astype(np.float64) - TRAIN.mean(0)
    axes = np.linalg.svd(x, full_matrices=False)[2][:12]
    return LinearGaussian(3).fit(x @ axes.T), (TEST - TRAIN.mean(0)).astype(np.float64)[:60] @ axes.T


def test_evidence_is_elbo_plus_kl(exact):
    model, x = exact
    evidence = model.log_prob(x).array
    posterior = model.posterior(x)
    z = posterior.sample((), seeded(0))
    bayes = (model.decoder(z).log_prob(fd.tensor(x)) + model.prior().log_prob(z) - posterior.log_prob(z)).array
    np.testing.assert_allclose(bayes, evidence, atol=1e-8)  # p(x | z) p(z) / p(z | x) is p(x) for every z
    q = model.diagonal_posterior(x)
    # E_q log p(x | z) of a linear decoder in closed form: at the mean, less the variances seen through W
    at_mean = model.decoder(q.mean).log_prob(fd.tensor(x)).array
    spread = (q.base.variance.array * (model.W**2).sum(0)).sum(1) / (2 * model.variance)
    bound = at_mean - spread - kl_divergence(q, model.prior()).array
    covariance = [np.diag(v) for v in q.base.variance.array]
    full = fd.distributions.MultivariateNormal(q.mean.array, np.array(covariance))
    gap = kl_divergence(full, posterior).array
    np.testing.assert_allclose(bound + gap, evidence, atol=1e-5)
    assert (bound <= evidence + 1e-9).all()


def test_elbo_iwae_and_evidence_are_in_order(exact):
    model, x = exact
    prior, base = model.prior(), model.diagonal_posterior(x).base
    # a posterior that is off: wider, and its mean shifted
    q = Independent(Normal(base.loc + 0.3, base.scale * 1.5), 1)
    evidence = model.log_prob(x).array.mean()
    X = fd.tensor(x)
    reconstruction, kl = elbo(X, model.decoder, q, prior, samples=4000, generator=seeded(0))
    bounds = [(reconstruction - kl).array.mean()]
    for k in (5, 50, 500):
        runs = [iwae_bound(X, model.decoder, q, prior, k, seeded(s)).array.mean() for s in range(20)]
        bounds.append(np.mean(runs))
    assert bounds == sorted(bounds) and bounds[-1] <= evidence + 0.01
    assert evidence - bounds[0] > 0.3 and evidence - bounds[-1] < 0.05


def test_optimised_diagonal_posterior_has_the_variances_of_the_precision(exact):
    model, x = exact
    target = model.diagonal_posterior(x[:4])
    loc = fd.tensor(np.zeros((4, 3)), requires_grad=True)
    log_scale = fd.tensor(np.zeros((4, 3)), requires_grad=True)
    optimizer = fd.optim.Adam([loc, log_scale], lr=0.05)
    generator = seeded(0)
    for step in range(800):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 800)
        q = Independent(Normal(loc, log_scale.exp()), 1)
        reconstruction, kl = elbo(fd.tensor(x[:4]), model.decoder, q, model.prior(), samples=128, generator=generator)
        optimizer.zero_grad()
        (kl - reconstruction).sum().backward()
        optimizer.step()
    found = np.exp(log_scale.array) ** 2  # the same for every x
    np.testing.assert_allclose(found.mean(0), target.base.variance.array[0], rtol=0.01)
    np.testing.assert_allclose(loc.array, target.mean.array, atol=0.02)


def test_counts_and_forms():
    count = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    assert count(VAE(784, hidden=500, z=20)) == 815_824
    x = (TEST[:6] >= 0.5).astype(np.float32)
    for settings in (
        {}, {"conv": True}, {"prior": 4}, {"likelihood": "gaussian"}, {"likelihood": "categorical", "levels": 2},
        {"likelihood": "categorical", "levels": 2, "conv": True}, {"beta": 4.0},
    ):  # fmt: skip
        fd.manual_seed(0)
        model = VAE(64, 16, 3, **settings)
        model.log_prob(x).mean().backward()
        assert all(p.grad is not None for p in model.parameters()), settings
        assert model.sample(5, seed=1).shape == (5, 64)
        assert (model.sample(5, seed=1).array == model.sample(5, seed=1).array).all()
        assert np.isfinite(model.iwae(x, 5)).all()
    conditional = VAE(64, 16, 3, classes=10, conv=True)
    assert conditional.log_prob(x, np.arange(6)).shape == (6,)
    assert conditional.sample(3, seed=0, y=[1, 2, 3], mean=True).shape == (3, 64)
    conditional.fit(x, y=np.arange(6), epochs=2, batch_size=4)


def test_kl_of_the_two_priors():
    """A mixture of one component that is N(0, I) gives the closed form, up to Monte Carlo error."""
    fd.manual_seed(0)
    model = VAE(64, 16, 3, prior=2)
    model.prior_loc.array[...] = 0
    x = (TEST[:4] >= 0.5).astype(np.float32)
    _, estimate = model.elbo(x, samples=8000)
    closed = kl_divergence(model.encode(x), VAE(64, 16, 3).prior()).array
    np.testing.assert_allclose(estimate.array, closed, atol=0.05)
    q = model.encode(x)
    assert (elbo(fd.tensor(x), model.decode, q, VAE(64, 16, 3).prior(), free_bits=50.0)[1].array == 50).all()


def test_vae_learns_digits():
    fd.manual_seed(0)
    train, test = ((x >= 0.5).astype(np.float32) for x in (TRAIN, TEST))
    model = VAE(64, 64, 6)
    model.fit(train, epochs=30, lr=3e-3)
    frequency = ((train.sum(0) + 1) / (len(train) + 2)).clip(1e-6, 1 - 1e-6)
    independent = -(test * np.log(frequency) + (1 - test) * np.log1p(-frequency)).sum(1).mean()
    reconstruction, kl = model.elbo(test)
    bound = (reconstruction - kl).array.mean()
    assert -bound < independent - 4 and kl.array.mean() > 3 and active_units(model.encode(test).mean.array) >= 4
    assert -model.iwae(test[:100], 50).mean() < -(reconstruction - kl).array[:100].mean()
    swapped = np.rot90(test.reshape(-1, 8, 8), axes=(1, 2)).reshape(-1, 64)
    assert model.anomaly_score(swapped).mean() > model.anomaly_score(test).mean() + 5


def test_priors():
    rng = np.random.default_rng(0)
    for name, prior in PRIORS.items():
        x = prior(4000, 4, rng)
        assert x.shape == (4000, 4) and np.isfinite(x).all(), name
    ring = PRIORS["mixture"](4000, 2, rng)
    assert np.linalg.norm(ring, axis=1).mean() == pytest.approx(4, abs=0.2)
    roll = PRIORS["swiss_roll"](4000, 2, rng)
    radius, angle = np.linalg.norm(roll, axis=1), np.arctan2(roll[:, 1], roll[:, 0])
    expected = (angle + 2 * np.pi) % (2 * np.pi)
    turns = np.minimum(
        np.abs(radius - 4 * expected / (3 * np.pi)), np.abs(radius - 4 * (expected + 2 * np.pi) / (3 * np.pi))
    )
    assert np.median(turns) < 0.15


def test_aae_brings_codes_to_the_prior():
    x = TRAIN * 2 - 1
    for prior in ("normal", "swiss_roll"):
        fd.manual_seed(0)
        model = AAE(64, 2, 64, prior=prior)
        raw = model.encode(x).array
        log = model.fit(x, steps=400, batch_size=64, adversarial_lr=1e-3)
        codes, draws = model.encode(x).array, model.prior(len(x), 2, np.random.default_rng(0))
        assert log[-1]["reconstruction"] < log[0]["reconstruction"]
        assert np.abs(codes.std(0) - draws.std(0)).max() < 0.5 < np.abs(raw.std(0) - draws.std(0)).max()
    assert model.sample(3, seed=1).shape == (3, 64) and np.abs(model.sample(3, seed=1).array).max() <= 1
    semi = AAE(64, 2, 64, classes=10)
    labels = np.where(np.arange(len(x)) % 10 == 0, digits().train.tensors[1].array, -1)
    semi.fit(x, steps=200, labels=labels)
    assert (semi.classify(TEST * 2 - 1) == digits().test.tensors[1].array).mean() > 0.4
    assert semi.decode(np.zeros((2, 2)), [3, 4]).shape == (2, 64)
    with pytest.raises(fd.distributions.ImplicitModelError):
        model.log_prob(x)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: VAE(64, likelihood="poisson"), "bernoulli, gaussian, categorical"),
        (lambda: VAE(64, 8, 2).fit(TRAIN), "is of 0 and 1"),
        (lambda: VAE(64, 8, 2).decode(np.zeros((1, 3))), r"latent must have shape \(N, 2\)"),
        (lambda: VAE(64, 8, 2).log_prob(np.zeros((1, 65))), "expected 64 numbers"),
        (lambda: VAE(50, conv=True), "square images"),
        (lambda: VAE(64, 8, 2, classes=10).log_prob(np.zeros((1, 64))), "needs labels"),
        (lambda: VAE(64, 8, 2, classes=10).log_prob(np.zeros((1, 64)), [10]), "0 to 9"),
        (lambda: VAE(64, 8, 2).encode(np.zeros((1, 64)), [1]), "has no classes"),
        (lambda: AAE(64, prior="ring"), "normal, mixture, swiss_roll"),
        (lambda: AAE(64, 1, prior="mixture"), "at least 2 codes"),
        (lambda: AAE(64, 2, 8).fit(TRAIN * 255), r"\[-1, 1\]"),
        (lambda: AAE(64, 2, 8).fit(TRAIN, labels=np.zeros(3)), "labels belong"),
        (lambda: AAE(64, 2, 8).decode(np.zeros((1, 5))), r"latent must have shape \(N, 2\)"),
        (lambda: LinearGaussian(3).fit(np.zeros((5, 3))), "D > 3"),
    ],
)  # fmt: skip
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
