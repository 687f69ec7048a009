"""Distributions: against torch.distributions, closed forms against Monte Carlo, counts, tables, and what they refuse."""

from fractions import Fraction

import numpy as np
import pytest

import fastdl as fd
from fastdl import distributions as D
from fastdl.data import digits, mnist5k
from fastdl.distributions import counting, factors
from fastdl.distributions.generative import seeded

rng = np.random.default_rng(0)
LOC, SCALE = rng.standard_normal((2, 3)), 0.5 + rng.random((2, 3))
LOGITS = rng.standard_normal((2, 3))
TRIL = np.tril(rng.standard_normal((3, 3)), -1) + np.diag([0.7, 1.2, 2.0])

PAIRS = {
    "Bernoulli logits": (lambda m, t: m.Bernoulli(logits=t(LOGITS)), rng.integers(0, 2, (4, 2, 3)).astype(float)),
    "Bernoulli probs": (lambda m, t: m.Bernoulli(probs=t(0.2 + 0.1 * np.arange(3))), np.array([1.0, 0, 1])),
    "Categorical logits": (lambda m, t: m.Categorical(logits=t(LOGITS)), rng.integers(0, 3, (5, 2))),
    "Categorical probs": (lambda m, t: m.Categorical(probs=t(np.exp(LOGITS))), rng.integers(0, 3, (5, 2))),
    "OneHotCategorical": (lambda m, t: m.OneHotCategorical(logits=t(LOGITS)), np.eye(3)[[0, 2]]),
    "Normal": (lambda m, t: m.Normal(t(LOC), t(SCALE)), rng.standard_normal((4, 2, 3))),
    "Laplace": (lambda m, t: m.Laplace(t(LOC), t(SCALE)), rng.standard_normal((4, 2, 3))),
    "Uniform": (lambda m, t: m.Uniform(t(LOC), t(LOC + SCALE)), LOC + SCALE / 3),
    "MultivariateNormal": (
        lambda m, t: m.MultivariateNormal(t(LOC[0]), scale_tril=t(TRIL)), rng.standard_normal((4, 3)),
    ),
    "Independent": (lambda m, t: m.Independent(m.Normal(t(LOC), t(SCALE)), 1), rng.standard_normal((4, 2, 3))),
    "Mixture": (
        lambda m, t: m.MixtureSameFamily(m.Categorical(logits=t(LOGITS)), m.Normal(t(LOC), t(SCALE))),
        rng.standard_normal((4, 2)),
    ),
    "Mixture of vectors": (
        lambda m, t: m.MixtureSameFamily(
            m.Categorical(logits=t(LOGITS[0, :2])), m.Independent(m.Normal(t(LOC), t(SCALE)), 1)
        ),
        rng.standard_normal((4, 3)),
    ),
}  # fmt: skip
RELAXED = {
    "RelaxedBernoulli": (lambda m, T, t: m.RelaxedBernoulli(T(0.7), logits=t(LOGITS)), rng.uniform(0.1, 0.9, (2, 3))),
    "RelaxedOneHotCategorical": (
        lambda m, T, t: m.RelaxedOneHotCategorical(T(0.7), logits=t(LOGITS)), np.array([[0.2, 0.3, 0.5]] * 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_same_as_torch(name):
    torch = pytest.importorskip("torch")
    make, x = PAIRS[name]
    ours, theirs = make(D, lambda a: fd.tensor(a)), make(torch.distributions, torch.tensor)
    assert ours.batch_shape == tuple(theirs.batch_shape) and ours.event_shape == tuple(theirs.event_shape)
    got, want = ours.log_prob(fd.tensor(x)), theirs.log_prob(torch.tensor(x))
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-10, atol=1e-12)
    if "Mixture" not in name:
        np.testing.assert_allclose(ours.entropy().numpy(), theirs.entropy().numpy(), rtol=1e-10)
    if "Categorical" not in name or "OneHot" in name:
        np.testing.assert_allclose(ours.mean.numpy(), theirs.mean.numpy(), rtol=1e-10)
        np.testing.assert_allclose(ours.variance.numpy(), theirs.variance.numpy(), rtol=1e-10)
    if hasattr(ours, "cdf") and "vectors" not in name:
        np.testing.assert_allclose(
            ours.cdf(fd.tensor(x)).numpy(), theirs.cdf(torch.tensor(x)).numpy(), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("name", RELAXED)
def test_relaxed_same_as_torch(name):
    torch = pytest.importorskip("torch")
    make, x = RELAXED[name]
    ours = make(D, float, lambda a: fd.tensor(a))
    theirs = make(torch.distributions, lambda v: torch.tensor(v, dtype=torch.float64), torch.tensor)
    np.testing.assert_allclose(ours.log_prob(fd.tensor(x)).numpy(), theirs.log_prob(torch.tensor(x)).numpy(), rtol=1e-8)
    assert ours.rsample((5,)).shape == (5, 2, 3)


@pytest.mark.parametrize("name", PAIRS)
def test_samples_have_the_moments(name):
    make, _ = PAIRS[name]
    d = make(D, lambda a: fd.tensor(a))
    n = 20_000
    x = d.sample((n,), seeded(1)).array.astype(float)
    assert x.shape == (n, *d.batch_shape, *d.event_shape)
    mean, var = np.asarray(d.mean.array), np.asarray(d.variance.array)
    assert (np.abs(x.mean(0) - mean) <= 4.5 * np.sqrt(var / n)).all()
    assert np.allclose(x.var(0), var, rtol=0.1, atol=1e-3)
    again = d.sample((n,), seeded(1)).array
    assert (again == d.sample((n,), seeded(1)).array).all()


def test_categorical_draws_pass_a_chi_square_test():
    p = np.array([0.05, 0.4, 0.1, 0.25, 0.2])
    for probs, shape in ((p, (100_000,)), (np.stack([p, p]), (50_000,))):  # alias table; cumulated probabilities
        draws = D.Categorical(probs=probs).sample(shape, seeded(0)).array
        counts = np.bincount(draws.reshape(-1), minlength=5)
        chi = ((counts - 100_000 * p) ** 2 / (100_000 * p)).sum()
        assert chi < 18.5  # the 99.9 % quantile at 4 degrees of freedom
    relaxed = D.RelaxedOneHotCategorical(0.5, probs=p, straight_through=True)
    hard = relaxed.rsample((20_000,), seeded(0)).array
    assert set(np.unique(hard.round(5))) == {0.0, 1.0}
    np.testing.assert_allclose(hard.mean(0), p, atol=0.012)


def test_kl_closed_forms():
    torch = pytest.importorskip("torch")
    for name in ("Bernoulli logits", "Categorical logits", "Normal", "Laplace", "MultivariateNormal", "Independent"):
        make, _ = PAIRS[name]
        scaled = lambda wrap: lambda a: wrap(a * 0.7 + (0.1 if a.ndim < 2 or a is not TRIL else 0))  # noqa: E731
        p, q = make(D, fd.tensor), make(D, scaled(fd.tensor))
        tp, tq = make(torch.distributions, torch.tensor), make(torch.distributions, scaled(torch.tensor))
        want = torch.distributions.kl_divergence(tp, tq).numpy()
        got = D.kl_divergence(p, q).numpy()
        np.testing.assert_allclose(got, want, rtol=1e-9)
        assert (got > 0).all()
        np.testing.assert_allclose(D.kl_divergence(p, p).numpy(), 0, atol=1e-12)
        estimate = D.kl_divergence(p, q, samples=40_000, generator=seeded(3)).numpy()
        x = p.sample((40_000,), seeded(3))
        deviation = (p.log_prob(x) - q.log_prob(x)).array.std(0) / 200
        assert (np.abs(estimate - got) <= 4 * deviation + 1e-9).all()


def test_kl_of_a_mixture_needs_samples():
    mixture = D.MixtureNormal([0.3, 0.7], [-2.0, 2.0], [0.5, 1.0])
    q = D.Normal(0.0, 2.0)
    with pytest.raises(NotImplementedError, match="samples=1000"):
        D.kl_divergence(mixture, q)
    grid = np.linspace(-9, 9, 20001)
    lp, lq = (d.log_prob(grid).array.astype(float) for d in (mixture, q))
    exact = np.sum(np.exp(lp) * (lp - lq)) * (grid[1] - grid[0])
    assert D.kl_divergence(mixture, q, samples=50_000, generator=seeded(0)).item() == pytest.approx(exact, abs=0.02)
    assert mixture.entropy_monte_carlo(50_000, seeded(0)).item() == pytest.approx(
        -np.sum(np.exp(lp) * lp) * (grid[1] - grid[0]), abs=0.02
    )


def test_gradients_reach_the_parameters():
    loc, scale = (fd.tensor(a, requires_grad=True) for a in (LOC, SCALE))
    q, p = D.Normal(loc, scale), D.Normal(0.0, 1.0)
    D.kl_divergence(q, p).sum().backward()
    np.testing.assert_allclose(loc.grad.array, LOC, rtol=1e-12)
    np.testing.assert_allclose(scale.grad.array, SCALE - 1 / SCALE, rtol=1e-12)
    loc.grad = scale.grad = None
    (q.rsample((50_000,), seeded(0)) ** 2).mean(0).sum().backward()  # E x^2 = loc^2 + scale^2
    np.testing.assert_allclose(loc.grad.array, 2 * LOC, atol=0.05)
    np.testing.assert_allclose(scale.grad.array, 2 * SCALE, atol=0.08)
    assert not q.sample().requires_grad
    x = fd.tensor(rng.standard_normal(3))
    make = lambda L: D.MultivariateNormal(fd.tensor(LOC[0]), scale_tril=L).log_prob(x)  # noqa: E731
    assert fd.autograd.gradgradcheck(make, [fd.tensor(TRIL, requires_grad=True)])


def test_reparameterised_gradients_vary_less_than_score_function_gradients():
    """d/dm E (x - 3)^2 for x ~ N(m, 1), at m = 0: both estimate -6."""
    draws = D.Normal(0.0, 1.0).sample((20_000,), seeded(0)).array.astype(float)
    path, score = 2 * (draws - 3), (draws - 3) ** 2 * draws
    with_baseline = ((draws - 3) ** 2 - 10) * draws  # 10 = E (x - 3)^2
    for estimate in (path, score, with_baseline):
        assert estimate.mean() == pytest.approx(-6, abs=4 * estimate.std() / np.sqrt(len(draws)))
    assert path.var() < with_baseline.var() < score.var()


def test_extreme_logits_are_finite():
    for z in (100.0, -100.0, 1e4, -1e4):
        d = D.Bernoulli(logits=fd.tensor(np.float32(z)))
        assert np.isfinite([d.log_prob(0.0).item(), d.log_prob(1.0).item(), d.entropy().item()]).all()
        c = D.Categorical(logits=fd.tensor(np.array([z, 0.0, -z], np.float32)))
        assert np.isfinite(c.log_prob([0, 1, 2]).array).all() and np.isfinite(c.entropy().item())


def test_maximum_likelihood():
    d = D.Bernoulli.fit(np.array([[0, 1], [1, 1], [1, 1], [0, 1]], float))
    np.testing.assert_allclose(d.probs.array, [0.5, 1])
    np.testing.assert_allclose(D.Bernoulli.fit(np.ones((4, 1)), 1, 1).probs.array, [5 / 6], rtol=1e-6)
    np.testing.assert_allclose(D.Categorical.fit([0, 0, 2], 3, alpha=1).probs.array, [0.5, 1 / 6, 1 / 3], rtol=1e-6)
    x = D.MixtureNormal([0.25, 0.75], [-3.0, 2.0], [0.5, 1.0]).sample((8000,), seeded(0))
    fitted = D.MixtureNormal.fit(x, 2)
    np.testing.assert_allclose(fitted.mixture.probs.array, [0.25, 0.75], atol=0.02)
    np.testing.assert_allclose(fitted.components.loc.array, [-3, 2], atol=0.06)
    np.testing.assert_allclose(fitted.components.scale.array, [0.5, 1], atol=0.05)


def test_counts():
    assert D.joint_parameters([256] * 3) == 256**3 - 1 == 16_777_215
    assert [D.joint_parameters([2] * n) for n in (1, 4, 100)] == [1, 15, 2**100 - 1]
    assert D.joint_parameters([2] * 784) == 2**784 - 1 == pytest.approx(1.02e236, rel=0.01)
    assert D.independent_parameters([2] * 784) == 784 and D.independent_parameters([256] * 3) == 765
    assert D.markov_parameters(784) == 2 * 784 - 1 == 1567
    assert D.chain_rule_parameters(20) == 2**20 - 1
    for r in range(10):  # by enumeration: position i has a table for each of 2^min(i, r) histories
        assert D.markov_parameters(10, r) == sum(2 ** min(i, r) for i in range(10))
    assert D.markov_parameters(10, 9) == D.joint_parameters([2] * 10)
    assert D.markov_parameters(5, 2, cases=3) == sum(3 ** min(i, 2) * 2 for i in range(5))
    with pytest.raises(ValueError, match="order must be less"):
        counting.markov_parameters(4, 4)
    with pytest.raises(ValueError, match="whole number"):
        counting.joint_parameters([2.5])


def test_chain_rule_in_any_order_on_real_pixels():
    x = digits().train.tensors[0].array[:, 0].reshape(-1, 64) >= 0.5
    centre = [19, 20, 27, 28, 35, 36, 43, 44]
    joint = np.zeros((2,) * 8)
    np.add.at(joint, tuple(x[:, centre].T.astype(int)), 1 / len(x))
    for order in (range(8), range(7, -1, -1), [3, 1, 4, 0, 5, 2, 6, 7]):
        pieces = factors.chain(joint, order)
        assert [p.ndim for p in pieces] == list(range(1, 9))
        np.testing.assert_allclose(factors.unchain(pieces, order), joint, atol=1e-12)


def test_bayes_independence_and_separation():
    posterior, evidence = factors.bayes([0.01, 0.99], [[0.9, 0.1], [0.05, 0.95]])  # ill or not; test positive or not
    assert posterior[0, 0] == pytest.approx(float(Fraction(9, 1000) / (Fraction(9, 1000) + Fraction(495, 10000))))
    assert evidence.sum() == pytest.approx(1)
    x = (digits().train.tensors[0].array[:, 0] >= 0.5).astype(int)
    neighbours = [factors.g_test(x[:, r, c], x[:, r, c + 1]) for r in range(8) for c in range(1, 6)]
    assert sum(g > 10.8 * max(df, 1) for g, df in neighbours) > 20  # of 40; 0.04 by chance: 10.8 is the 99.9 % quantile
    # On 28x28 the pixel between two explains much of what they share; on 8x8 it does not: a chain is a poor model of images.
    big = (mnist5k().train.tensors[0].array[:, 0] >= 0.5).astype(int)
    triples = [(big[:, r, c - 1], big[:, r, c + 1], big[:, r, c]) for r in (10, 14, 18) for c in (12, 14, 16)]
    assert sum(factors.g_test(*t)[0] for t in triples) < 0.7 * sum(factors.g_test(a, b)[0] for a, b, _ in triples)
    coin = np.random.default_rng(0).integers(0, 2, (2, 5000))
    assert factors.g_test(*coin)[0] < 10.8
    chain = [("a", "b"), ("b", "c")]
    assert not factors.d_separated(chain, "a", "c") and factors.d_separated(chain, "a", "c", ["b"])
    collider = [("a", "b"), ("c", "b")]
    assert factors.d_separated(collider, "a", "c") and not factors.d_separated(collider, "a", "c", ["b"])


def test_interface_of_generative_models():
    class OnlySamples(D.GenerativeModel):
        def sample(self, n, seed=None):
            return D.Normal(0.0, 1.0).sample((n,), seeded(seed))

    model = OnlySamples()
    assert (model.sample(3, seed=1).array == model.sample(3, seed=1).array).all()
    with pytest.raises(D.ImplicitModelError, match="OnlySamples is an implicit model"):
        model.log_prob(np.zeros((1, 1)))
    with pytest.raises(D.ImplicitModelError):
        model.anomaly_score(np.zeros((1, 1)))
    assert D.auroc([0, 1, 2], [3, 4]) == 1 and D.auroc([3, 4], [0, 1]) == 0 and D.auroc([1, 1], [1]) == 0.5
    assert D.auroc([1, 2, 3], [2]) == 0.5


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: D.Bernoulli(), "either probs or logits"),
        (lambda: D.Bernoulli(probs=[0.5, 1.5]), "between 0 and 1"),
        (lambda: D.Bernoulli(logits=[0.0]).log_prob([0.3]), "must be 0 or 1"),
        (lambda: D.Bernoulli(logits=np.zeros(3)).log_prob(np.zeros(2)), "does not broadcast"),
        (lambda: D.Categorical(probs=[0.5, -0.5]), "not negative"),
        (lambda: D.Categorical(logits=np.zeros(3)).log_prob([3]), "whole numbers 0 to 2"),
        (lambda: D.Normal(0.0, 0.0), "scale must be positive"),
        (lambda: D.Normal(np.zeros(2), np.ones(3)), "do not broadcast"),
        (lambda: D.MultivariateNormal(np.zeros(2), -np.eye(2)), "not positive definite"),
        (lambda: D.MultivariateNormal(np.zeros(2), np.eye(3)), r"needs matrices \(..., 2, 2\)"),
        (lambda: D.Independent(D.Normal(0.0, 1.0), 1), "cannot take 1 axes"),
        (lambda: D.MixtureSameFamily(D.Categorical(probs=[1, 1]), D.Normal(np.zeros(3), 1.0)), "last axis must be 2"),
        (lambda: D.Uniform(1.0, 1.0), "low must lie below"),
        (lambda: D.RelaxedBernoulli(0.0, logits=[0.0]), "temperature must be positive"),
        (lambda: factors.chain(np.ones((2, 2)) / 4, [0, 0]), "not an order"),
        (lambda: factors.marginal(np.ones(3), [0]), "sum to 1"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
