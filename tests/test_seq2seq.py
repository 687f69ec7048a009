"""Encoder-decoder: every cell, attention and direction; padding, decoding, edges, and that it learns to reverse."""

import numpy as np
import pytest

from fastdl import manual_seed, no_grad
from fastdl.models import seq2seq
from fastdl.models.seq2seq import Seq2Seq
from fastdl.nn import init_empty
from fastdl.optim import Adam

RNG = np.random.default_rng(0)
KINDS = [(c, a, s, b) for c in ("gru", "lstm") for a, s in ((None, "general"), ("bahdanau", "general"), ("luong", "general"),
         ("luong", "concat")) for b in (True, False)]  # fmt: skip


def make(cell, attention, score, bidirectional, **settings):
    return Seq2Seq(
        12, 13, cell=cell, hidden=8, attention=attention, score=score, bidirectional=bidirectional, **settings
    )


@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_the_whole_and_padding_changes_nothing(kind):
    model = make(*kind, num_layers=2, reverse_source=True).eval()
    src, tgt = RNG.integers(3, 12, (3, 6)), RNG.integers(3, 13, (3, 4))
    src[1, 4:] = 0
    with no_grad():
        whole = model(src, tgt).array
        assert whole.shape == (3, 4, 13)
        session = seq2seq.Session(model, src)
        for t in range(4):
            np.testing.assert_allclose(session.step(tgt[:, t]), whole[:, t], rtol=1e-4, atol=1e-5)
        alone = model(src[1:2, :4], tgt[1:2]).array
        np.testing.assert_allclose(alone[0], whole[1], rtol=1e-4, atol=1e-5)
        forced = model(src, tgt, teacher_forcing=0.0).array
        np.testing.assert_allclose(forced[:, 0], whole[:, 0], rtol=1e-4, atol=1e-5)
        assert np.abs(forced - whole).max() > 1e-4


@pytest.mark.parametrize("attention", [None, "bahdanau", "luong"])
def test_gradients_reach_every_parameter_and_beams_are_valid(attention):
    model = make("gru", attention, "general", True)
    src, tgt = RNG.integers(3, 12, (4, 5)), RNG.integers(3, 13, (4, 6))
    seq2seq.loss(model(src, tgt[:, :-1]), tgt[:, 1:]).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and np.isfinite(p.grad.array).all() and (p.grad.array != 0).any(), name
    greedy, beams = model.generate(src, max_len=7), model.generate(src, beam=3, max_len=7)
    assert len(greedy) == len(beams) == 4
    assert all(len(g) <= 7 and (g[:-1] != 2).all() for g in [*greedy, *beams])
    assert [g.tolist() for g in model.generate(src[2:3], max_len=7)] == [greedy[2].tolist()]


def test_attention_ignores_padding():
    model = make("lstm", "bahdanau", "general", True).eval()
    src = np.array([[4, 5, 2, 0, 0], [4, 5, 6, 7, 2]])
    maps = []
    model(src, np.array([[1, 3], [1, 3]]), maps=maps)
    assert len(maps) == 2 and maps[0].shape == (2, 1, 5)
    for m in maps:
        assert (m[0, 0, 3:] == 0).all()
        np.testing.assert_allclose(m.sum(-1), 1, rtol=1e-5)


def test_edges():
    model = make("gru", "luong", "general", True).eval()
    for src in (np.zeros((2, 3), np.int64), np.zeros((2, 0), np.int64), np.array([[4, 2, 0], [0, 0, 0]])):
        y = model(src, np.array([[1, 5], [1, 5]]))
        assert np.isfinite(y.array).all()
        assert len(model.generate(src, max_len=4)) == 2
    assert model(np.full((2, 3), 4), np.zeros((2, 0), np.int64)).shape == (2, 0, 13)
    assert make("gru", "bahdanau", "general", True)(np.full((2, 3), 4), np.zeros((2, 0), np.int64)).shape == (2, 0, 13)
    assert model.generate(np.full((1, 3), 4), max_len=0)[0].shape == (0,)
    with pytest.raises(ValueError, match="attention"):
        Seq2Seq(5, 5, attention="other")
    with pytest.raises(ValueError, match="dot"):
        Seq2Seq(5, 5, hidden=8, attention="luong", score="dot")
    with pytest.raises((ValueError, IndexError), match="12"):
        model(np.full((1, 2), 12), np.full((1, 2), 1))
    with pytest.raises(ValueError, match="source tokens must be integers"):
        model(np.zeros((1, 2)), np.full((1, 2), 1))


def test_published_size():
    with init_empty():
        model = seq2seq.sutskever()
    stack = 4 * 4 * (1000 * 2000 + 2 * 1000)
    assert sum(p.numel() for p in model.parameters()) == 160e6 + 80e6 + 2 * stack + 80e6 + 80_000  # 384 M with rounding


def test_scaled_scores_are_the_same_network_with_smaller_keys():
    """Dividing the scores is dividing W; and only dot products can be scaled."""
    models = []
    for scaled in (False, True):
        manual_seed(0)
        models.append(Seq2Seq(9, 9, hidden=16, attention="luong", scaled=scaled))
    plain, scaled = models
    src, tgt = np.arange(10).reshape(2, 5) % 9, np.arange(6).reshape(2, 3) + 1
    assert np.abs(plain(src, tgt).array - scaled(src, tgt).array).max() > 1e-5
    plain.decoder.attention.W.weight.array[...] /= 4.0  # the root of 16
    np.testing.assert_allclose(plain(src, tgt).array, scaled(src, tgt).array, atol=1e-6)
    for settings in ({}, {"attention": "bahdanau"}, {"attention": "luong", "score": "concat"}):
        with pytest.raises(ValueError, match="scaled=True needs"):
            Seq2Seq(9, 9, hidden=16, scaled=True, **settings)


def test_it_learns_to_reverse():
    manual_seed(0)
    model = Seq2Seq(8, 8, hidden=32, attention="luong")
    optimizer, rng = Adam(model.parameters(), lr=1e-2), np.random.default_rng(0)
    n = 150
    for _ in range(n):
        src = rng.integers(3, 8, (32, 4))
        tgt = np.concatenate([np.full((32, 1), 1), src[:, ::-1], np.full((32, 1), 2)], 1)
        optimizer.zero_grad()
        loss = seq2seq.loss(model(src, tgt[:, :-1]), tgt[:, 1:])
        loss.backward()
        optimizer.step()
    src = rng.integers(3, 8, (50, 4))
    right = [g.tolist() == [*s[::-1], 2] for g, s in zip(model.generate(src), src.tolist(), strict=True)]
    assert np.mean(right) > 0.8


def test_tied_vectors_are_one_parameter():
    manual_seed(0)
    model = Seq2Seq(9, 11, hidden=8, attention="luong", tied=True)
    assert model.decoder.output.weight is model.decoder.embedding.weight
    names = [n for n, _ in model.named_parameters()]
    assert "decoder.embedding.weight" in names and "decoder.output.weight" not in names
    before = model.decoder.output.weight.array.copy()
    optimizer = Adam(model.parameters(), lr=0.1)
    seq2seq.loss(model(np.full((2, 3), 4), np.full((2, 3), 5)), np.full((2, 3), 6)).backward()
    optimizer.step()
    moved = np.abs(model.decoder.embedding.weight.array - before).max(1)
    assert moved[6] > 0.05 and model.decoder.output.weight is model.decoder.embedding.weight
    with pytest.raises(ValueError, match="tied=True needs embed=8"):
        Seq2Seq(9, 11, hidden=8, embed=4, tied=True)
