"""Naive, fixed-span, Markov and latent autoregressive models behind one interface."""

import itertools

import numpy as np
import pytest

from fastdl import manual_seed
from fastdl.autograd import Tensor
from fastdl.data import kjv
from fastdl.models import latent_ar
from fastdl.models.latent_ar import LatentAR
from fastdl.models.markov import GaussianAR1, MarkovModel, MarkovTable, parameters, stationary
from fastdl.models.naive_sequential import BagOfPast, FullyVisibleBeliefNet
from fastdl.models.window import TimeDelayNet, WindowLM
from fastdl.optim import Adam

RNG = np.random.default_rng(0)


def shaken(model):
    for p in model.parameters():
        p.array[...] = RNG.standard_normal(p.shape) * 0.5
    return model


MODELS = {
    "belief net": lambda: shaken(FullyVisibleBeliefNet(5)),
    "bag of past": lambda: BagOfPast(3, 8, 8),
    "window": lambda: WindowLM(3, tau=2, embed=4, hidden=8),
    "time delay": lambda: TimeDelayNet(3, layers=2, embed=4, channels=6),
    "markov": lambda: MarkovModel(2, vocab=3).fit(RNG.integers(0, 3, 60)),
    "kneser-ney": lambda: MarkovModel(3, "kneser-ney", vocab=3).fit(RNG.integers(0, 3, 60)),
    "added": lambda: MarkovModel(2, "add", vocab=3).fit(RNG.integers(0, 3, 60)),
    "table": lambda: shaken(MarkovTable(3)),
    "latent lstm": lambda: LatentAR(3, "lstm", embed=4, hidden=6, layers=2),
    "latent linear": lambda: LatentAR(3, "linear", embed=4, hidden=6),
}


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_of_all_sequences_sum_to_one(name):
    model = MODELS[name]()
    x = np.array(list(itertools.product(range(model.vocab), repeat=5)))
    np.testing.assert_allclose(np.exp(model.log_prob(x).array.astype(np.float64)).sum(), 1, rtol=1e-4)
    for t in (0, 1, 4):  # the step that is sampled from is the step that is scored
        steps, following = model.step_log_probs(x[7:9]).array, model.next_log_probs(x[7:9, :t])
        np.testing.assert_allclose(following[np.arange(2), x[7:9, t]], steps[:, t], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["belief net", "markov", "window"])
def test_samples_have_the_models_probabilities(name):
    model = MODELS[name]()
    drawn = model.sample(4000, 5, seed=1)
    assert drawn.shape == (4000, 5)
    assert (model.sample(4000, 5, seed=1) == drawn).all()
    first = model.next_log_probs(np.zeros((1, 0), np.int64))[0]
    np.testing.assert_allclose(np.bincount(drawn[:, 0], minlength=model.vocab) / 4000, np.exp(first), atol=0.035)
    # entropy as an average over samples, and as a sum
    x = np.array(list(itertools.product(range(model.vocab), repeat=5)))
    log_p = model.log_prob(x).array.astype(np.float64)
    want = -(np.exp(log_p) * log_p).sum()
    np.testing.assert_allclose(-model.log_prob(drawn).array.mean(), want, atol=0.08)


def test_symbols_out_of_range_are_named():
    for model in (WindowLM(3, 2, 4, 8), LatentAR(3), MODELS["markov"](), BagOfPast(3)):
        with pytest.raises(ValueError, match=r"symbol 3 is out of range for a vocabulary of 3"):
            model.log_prob(np.array([[0, 3]]))
    with pytest.raises(ValueError, match="expected 5 symbols"):
        FullyVisibleBeliefNet(5).log_prob(np.zeros((1, 4), np.int64))
    with pytest.raises(ValueError, match="unknown characters 'z'"):
        MarkovModel(1).fit("abab").log_prob("abz")


@pytest.mark.parametrize("name", [n for n in MODELS if n != "belief net"])
@pytest.mark.parametrize("T", [0, 1])
def test_shortest_sequences(name, T):
    model = MODELS[name]()
    p = model.log_prob(np.zeros((2, T), np.int64)).array
    assert p.shape == (2,) and np.isfinite(p).all() and (p <= 0).all()


# -------------------------------------------------------------------------------------------------------------- Markov


def test_witten_bell_by_hand():
    m = MarkovModel(1, vocab=2).fit(np.array([0, 1, 0, 1, 1]))
    # order 0: n(0) = 2, n(1) = 3, two kinds: p(0) = (2 + 2/2) / 7; after 0: always 1, twice, one kind
    p0 = np.array([3 / 7, 4 / 7])
    np.testing.assert_allclose(m.initial(), p0)
    np.testing.assert_allclose(m.transition_matrix()[0], [p0[0] / 3, (2 + p0[1]) / 3])
    np.testing.assert_allclose(m.transition_matrix()[1], [(1 + 2 * p0[0]) / 4, (1 + 2 * p0[1]) / 4])


def test_unseen_contexts_and_characters_have_probability():
    m = MarkovModel(4).fit("the cat sat on the mat")
    assert np.isfinite(m.log_prob("mom").array).all()
    none = MarkovModel(1, "none").fit("abab")
    assert none.log_prob("aa").array[0] == -np.inf
    assert len(m.sample(2, 7, seed=0, start="the ")[0]) == 7


def test_chain_in_the_long_run():
    P = np.array([[0.9, 0.1], [0.4, 0.6]])
    np.testing.assert_allclose(stationary(P), [0.8, 0.2])
    rng, x = np.random.default_rng(0), [0]
    for u in rng.random(20_000):
        x.append(int(u >= P[x[-1], 0]))
    m = MarkovModel(1, "none", vocab=2).fit(np.array(x))
    np.testing.assert_allclose(m.transition_matrix(), P, atol=0.02)
    rate = -sum(pi * p * np.log(p) for pi, row in zip([0.8, 0.2], P, strict=True) for p in row)
    np.testing.assert_allclose(m.entropy_rate(), rate, atol=0.02)
    assert [parameters(k) for k in (2, 73)] == [3, 73 * 72 + 72]
    with pytest.raises(ValueError, match="order 1"):
        MarkovModel(2, vocab=2).fit(np.array(x)).transition_matrix()


def test_trained_table_is_the_counted_one():
    manual_seed(0)
    x = RNG.integers(0, 4, 400)
    x[1::2] = (x[::2] + 1) % 4
    counted = MarkovModel(1, "none", vocab=4).fit(x)
    table = MarkovTable(4)
    optimizer = Adam(table.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss = -table.step_log_probs(x)[:, 1:].mean()
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(loss.item(), -counted.step_log_probs(x).array[:, 1:].mean(), atol=1e-3)


@pytest.mark.parametrize("order, bits", [(0, 4.407), (1, 3.353), (2, 2.636), (3, 2.143)])
def test_bits_of_the_king_james_bible(order, bits):
    """A table of the literature on this split, within 0.02."""
    train, test = kjv(900_000, 40_000)
    assert abs(MarkovModel(order).fit(train + "").bits(test) - bits) < 0.02


def test_gaussian_chain():
    x = GaussianAR1(0.7, 1.0, 0.5).sample(3, 4000, seed=0)
    m = GaussianAR1().fit(x)
    np.testing.assert_allclose([m.a, m.b, m.s], [0.7, 1.0, 0.5], atol=0.05)
    mean, std = m.stationary()
    np.testing.assert_allclose([x[:, 50:].mean(), x[:, 50:].std()], [mean, std], rtol=0.05)
    assert (m.log_prob(x) > GaussianAR1(0, 0, 1).log_prob(x)).all()
    with pytest.raises(ValueError, match="stationary"):
        GaussianAR1(1.0).stationary()


# ------------------------------------------------------------------------------------------------------------- latent


@pytest.mark.parametrize("cell", latent_ar.CELLS)
def test_a_carried_state_is_the_whole_sequence(cell):
    model = LatentAR(7, cell, embed=4, hidden=6).eval()
    ids = RNG.integers(0, 7, (2, 10))
    whole, _ = model(ids)
    first, state = model(ids[:, :6])
    second, _ = model(ids[:, 6:], latent_ar.detach(state))
    np.testing.assert_allclose(np.concatenate([first.array, second.array], 1), whole.array, rtol=1e-4, atol=1e-5)
    got = model.generate(ids[:, :4], 5, temperature=0)
    past = ids[:, :4]
    for _ in range(5):
        past = np.concatenate([past, model(past)[0].array[:, -1].argmax(-1)[:, None]], 1)
    assert (got == past[:, 4:]).all()


def test_streams_follow_each_other():
    ids = np.arange(23)
    parts = list(latent_ar.streams(ids, 2, 4))
    x = np.concatenate([p for p, _ in parts], 1)
    y = np.concatenate([p for _, p in parts], 1)
    assert x.tolist() == [list(range(11)), list(range(11, 22))]
    assert (y == x + 1).all()
    with pytest.raises(ValueError, match="streams"):
        next(latent_ar.streams(np.arange(3), 8, 4))


@pytest.mark.parametrize("head", ["gaussian", "mixture"])
def test_heads_over_real_numbers_integrate_to_one(head):
    model = LatentAR(1, "gru", head, embed=4, hidden=6, components=3)
    past = np.array([0.3, -0.5], np.float32)
    grid = np.linspace(-15, 15, 3001).astype(np.float32)
    x = np.concatenate([np.tile(past, (len(grid), 1)), grid[:, None]], 1)[..., None]
    p = np.exp(model.step_log_probs(x).array[:, 2].astype(np.float64))
    np.testing.assert_allclose(p.sum() * (grid[1] - grid[0]), 1, atol=0.01)
    assert model.draw(3, 4, seed=0).shape == (3, 4, 1)
    loss = -model.log_prob(Tensor(RNG.standard_normal((2, 5, 1)).astype(np.float32))).mean()
    loss.backward()
    assert all(np.isfinite(p.grad.array).all() for p in model.parameters())


def test_a_state_remembers_the_newest_symbol_best():
    manual_seed(0)
    model = LatentAR(8, "rnn", embed=8, hidden=24)
    found = latent_ar.memory_probe(model, RNG.integers(0, 8, 3000), lags=(1, 3, 10), train=2000)
    assert found[1] > 0.95 and found[1] > found[3] > found[10]
