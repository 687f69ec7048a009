"""Explicit models: probabilities of every state of a small space sum to 1, nothing looks ahead, and counts are right."""

import numpy as np
import pytest

import fastdl as fd
from fastdl.autograd import Tensor, gradcheck, gradgradcheck
from fastdl.data import digits
from fastdl.distributions.generative import auroc_ood, fit_likelihood
from fastdl.models.autoregressive import AR, ORDERS, LinearAR
from fastdl.models.nade import NADE
from fastdl.models.pixel_tables import BernoulliMixture, IndependentBernoulli, JointTable, MarkovChainImage
from fastdl.models.rnade import RNADE
from fastdl.ops.nade import Nade, nade
from fastdl.random import manual_seed

N = 10
STATES = (np.arange(2**N)[:, None] >> np.arange(N) & 1).astype(np.float32)
DATA = STATES[np.random.default_rng(0).integers(0, 2**N, 400)] * STATES[37] + STATES[640] * (1 - STATES[37])


def shaken(model, seed=0):
    """The model with random numbers in all its parameters: an untrained one is too uniform to show a leak."""
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        p.array[...] = rng.standard_normal(p.shape)
    return model


MODELS = {
    "independent": lambda: IndependentBernoulli(N).fit(DATA),
    "markov 1": lambda: MarkovChainImage(N, 1).fit(DATA),
    "markov 3": lambda: MarkovChainImage(N, 3).fit(DATA),
    "mixture": lambda: BernoulliMixture(N, 4).fit(DATA, steps=5),
    "table": lambda: JointTable([2] * N, alpha=0.1).fit(DATA),
    "nade": lambda: shaken(NADE(N, hidden=7)),
    "nade, random order": lambda: shaken(NADE(N, hidden=7, order=3)),
    "ar 3": lambda: shaken(AR(2, 5, n=3)),
    "ar 9, spiral": lambda: shaken(AR(2, 5, n=9, order="spiral")),
    "ar 4, shared, linear": lambda: shaken(AR(2, 5, n=4, hidden=0, per_position=False)),
}


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_of_all_states_sum_to_one(name):
    model = MODELS[name]()
    assert model.density == "exact"
    with fd.no_grad():
        logs = model.log_prob(STATES).array.astype(np.float64)
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-6)
    if not name.startswith("table"):
        assert len(np.unique(logs.round(6))) > 8  # not uniform by accident


@pytest.mark.parametrize("name", [n for n in MODELS if n not in ("ar 4, shared, linear", "mixture")])
def test_samples_follow_the_probabilities(name):
    model = MODELS[name]()
    x = model.sample(40_000, seed=1).array
    assert set(np.unique(x)) <= {0, 1} and (x == model.sample(40_000, seed=1).array).all()
    with fd.no_grad():
        p = np.exp(model.log_prob(STATES).array.astype(np.float64))
    counts = np.bincount((x.astype(np.int64) << np.arange(N)).sum(1), minlength=2**N)
    large = p > 1e-3
    z = (counts[large] - 40_000 * p[large]) / np.sqrt(40_000 * p[large])
    assert np.abs(z).max() < 5 and counts[~large].sum() == pytest.approx(
        40_000 * p[~large].sum(), abs=5 * 200 * p[~large].sum() ** 0.5 + 5
    )


@pytest.mark.parametrize("make", [lambda: NADE(N, 6), lambda: RNADE(N, 6, 2, linear_means=True)])
def test_no_conditional_sees_its_own_variable_or_later_ones(make):
    model = shaken(make())
    x = Tensor(np.random.default_rng(1).integers(0, 2, (1, N)).astype(np.float32), requires_grad=True)
    v = model.V if model.V.ndim == 3 else model.V.unsqueeze(1)
    b = model.b if model.b.ndim == 2 else model.b.unsqueeze(1)
    y = Nade.apply(x, model.W, v, b, model.c, getattr(model, "rho", None))
    for i in range(N):
        (g,) = fd.autograd.grad(y[0, i].sum(), x, retain_graph=True)
        assert (g.array[0, i:] == 0).all() and (i == 0 or np.abs(g.array[0, :i]).max() > 0)


def test_nade_op_gradients():
    rng = np.random.default_rng(0)
    for O, scaled in ((1, False), (3, True)):
        shapes = {"x": (3, 4), "w": (5, 4), "v": (4, O, 5), "b": (4, O), "c": (5,)}
        tensors = [fd.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes.values()]
        if scaled:
            tensors.append(fd.tensor(0.5 + rng.random(4), requires_grad=True))
        assert gradcheck(nade, tensors) and gradgradcheck(nade, tensors)


def test_parameter_counts():
    count = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    assert count(NADE(784, hidden=500)) == 785_284
    D, H, K = 30, 40, 3
    assert count(RNADE(D, H, K)) == D * H + H + D * (3 * K * H + 3 * K) + D
    assert {k: v.shape for k, v in NADE(6, 4).state_dict().items()} == {"W": (4, 6), "V": (6, 4), "b": (6,), "c": (4,)}
    assert IndependentBernoulli(784).num_parameters == 784
    assert MarkovChainImage(784, 1).num_parameters == 1567
    assert JointTable([256] * 3).num_parameters == 16_777_215
    with pytest.raises(ValueError, match="too many to store"):
        JointTable([2] * 784).fit(np.zeros((1, 784)))


def test_one_dimensional_rnade_integrates_to_one():
    for dist in ("normal", "laplace"):
        model = RNADE(1, 3, 4, dist=dist)
        model.b.array[...] = np.random.default_rng(0).standard_normal(model.b.shape) * 0.5
        grid = np.linspace(-30, 30, 60_001, dtype=np.float32)[:, None]
        with fd.no_grad():
            p = np.exp(model.log_prob(grid).array.astype(np.float64))
        assert p.sum() * 1e-3 == pytest.approx(1, abs=1e-4)
    x = shaken(RNADE(3, 4, 2)).sample(50, seed=0)
    assert x.shape == (50, 3) and np.isfinite(x.array).all()


def test_rnade_fits_a_curve_that_no_gaussian_fits():
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, 1500)
    x = np.stack([t, t**2 + 0.05 * rng.standard_normal(1500)], 1).astype(np.float32)
    x = (x - x[:1000].mean(0)) / x[:1000].std(0)
    model = RNADE(2, 16, 3)
    model.fit(x[:1000], epochs=25, lr=1e-2, weight_decay=0.01)
    gaussian = -0.5 * (2 * np.log(2 * np.pi) + np.linalg.slogdet(np.cov(x[:1000].T))[1] + 2)
    assert -model.mean_nll(x[1000:]) > gaussian + 0.7


def test_orders():
    assert ORDERS["spiral"](3, 3).tolist() == [0, 1, 2, 5, 8, 7, 6, 3, 4]
    assert ORDERS["column"](2, 3).tolist() == [0, 3, 1, 4, 2, 5]
    for order in ORDERS.values():
        assert sorted(order(4, 5)) == list(range(20))


def test_linear_ar_finds_the_coefficients():
    true = LinearAR(2)
    true.coefficients, true.constant, true.variance = np.array([1.2, -0.6]), 0.5, 0.25
    x = true.sample(20_000, [0.0, 0.0], seed=0)
    for method in ("least-squares", "yule-walker"):
        model = LinearAR(2).fit(x, method)
        np.testing.assert_allclose(model.coefficients, [1.2, -0.6], atol=0.02)
        assert model.variance == pytest.approx(0.25, rel=0.03)
    assert LinearAR(1).fit(x).error(x) > 1.3 * model.error(x)
    assert model.log_prob(x) > LinearAR(1).fit(x).log_prob(x)


def test_nade_learns_digits_better_than_independent_pixels():
    train, test = ((part.tensors[0].array.reshape(-1, 64) >= 0.5).astype(np.float32) for part in digits())
    fd.manual_seed(0)
    model = NADE(64, 64)
    history = model.fit(train[:-200], epochs=15, validation=train[-200:], weight_decay=0.1, lr=5e-3)
    floor = IndependentBernoulli(64).fit(train).mean_nll(test)
    assert model.mean_nll(test) < floor - 4 and history[-1]["train_nll"] < history[0]["train_nll"]
    rotated = np.rot90(test.reshape(-1, 8, 8), axes=(1, 2)).reshape(-1, 64)
    noise = (np.random.default_rng(0).random((200, 64)) < test.mean()).astype(np.float32)
    assert auroc_ood(model, test, noise) > 0.97 and auroc_ood(model, test, rotated) > 0.8


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: NADE(4, 3).log_prob(np.zeros((2, 5))), r"expected vectors \(N, 4\)"),
        (lambda: NADE(4, 3).log_prob(np.full((2, 4), 0.5)), "must be 0 or 1"),
        (lambda: NADE(4, 3, order=[0, 1, 2, 2]), "permutation of the 4"),
        (lambda: NADE(0), "at least 1"),
        (lambda: RNADE(3, dist="cauchy"), "normal, laplace"),
        (lambda: RNADE(2).log_prob(np.full((1, 2), np.inf)), "must be finite"),
        (lambda: AR(2, 2, n=4), "n must lie in 1 .. 3"),
        (lambda: AR(2, 2, n=1, order="diagonal"), "order must be one of"),
        (lambda: LinearAR(3).fit([1.0, 2.0]), "longer than the order 3"),
        (lambda: IndependentBernoulli(4).fit(np.zeros((0, 4))), "at least one sample"),
        (lambda: MarkovChainImage(4, 4), "order must lie in 0 .. 3"),
        (lambda: JointTable([2, 2]).fit(np.array([[0, 2]])), "below the numbers of cases"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_mean_of_the_weights_is_what_is_kept(tmp_path):
    from fastdl.optim import SGD

    x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)

    def fitted(ema, **settings):
        manual_seed(0)
        model = RNADE(3, 8, 2)
        log = fit_likelihood(model, x[:40], SGD(model.parameters(), lr=0.05), 5, 10, ema=ema, **settings)
        return model, log

    own, log = fitted(None)
    still, _ = fitted(1.0)  # an average that never moves: the weights of the beginning
    manual_seed(0)
    first = RNADE(3, 8, 2)
    np.testing.assert_array_equal(still.W.array, first.W.array)
    between, same_log = fitted(0.5)
    assert same_log == log  # training itself goes on as without
    away = [np.abs(m.W.array - first.W.array).sum() for m in (between, own)]
    assert 0 < away[0] < away[1]
    judged, log = fitted(0.5, validation=x[40:])
    assert abs(judged.mean_nll(x[40:]) - min(r["validation_nll"] for r in log)) < 1e-5
