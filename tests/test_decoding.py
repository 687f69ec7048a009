"""fastdl.decoding: distributions, sampling, beams; and fastdl.data.text."""

import numpy as np
import pytest

from fastdl import decoding
from fastdl.data.text import EOS, UNK, CharTokenizer, ParallelText, Vocabulary, bucketed, join, pad, split


class Table:
    """A decoder whose next scores depend on the last token alone: row of a table (V, V)."""

    def __init__(self, table):
        self.table, self.reads = table, 0

    def step(self, tokens):
        self.reads += 1
        return self.table[tokens]

    def reorder(self, rows):
        pass


def test_top_k_top_p_and_temperature():
    scores = np.log(np.array([[0.5, 0.3, 0.15, 0.05]]))
    np.testing.assert_allclose(decoding.probabilities(scores), [[0.5, 0.3, 0.15, 0.05]])
    np.testing.assert_allclose(decoding.probabilities(scores, top_k=2), [[0.625, 0.375, 0, 0]])
    np.testing.assert_allclose(decoding.probabilities(scores, top_p=0.6), [[0.625, 0.375, 0, 0]])
    np.testing.assert_allclose(decoding.probabilities(scores, top_p=0.5), [[1, 0, 0, 0]])
    np.testing.assert_allclose(decoding.probabilities(scores, top_k=100), [[0.5, 0.3, 0.15, 0.05]])
    np.testing.assert_allclose(decoding.probabilities(scores, temperature=0), [[1, 0, 0, 0]])
    cold = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    np.testing.assert_allclose(decoding.probabilities(scores, temperature=0.5)[0], cold / cold.sum())
    hard = decoding.probabilities(np.array([1e4, -1e4, -np.inf]), temperature=0.1)
    np.testing.assert_allclose(hard, [1, 0, 0])
    for wrong in ({"temperature": -1}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            decoding.probabilities(scores, **wrong)


def test_samples_have_the_distribution_of_softmax():
    rng = np.random.default_rng(1)
    scores = rng.standard_normal(8)
    p = decoding.probabilities(scores)
    n = 20_000
    drawn = decoding.decode(None, np.tile(scores, (n, 1)), 1, generator=rng)[:, 0]
    counts = np.bincount(drawn, minlength=8)
    chi2 = ((counts - n * p) ** 2 / (n * p)).sum()
    assert chi2 < 24.3  # 7 degrees of freedom, p = 0.001


def test_finished_sequences_are_padded_and_stop_the_loop():
    table = np.full((4, 4), -9.0)
    table[1, 2] = table[2, 3] = table[3, 1] = 9  # 1 -> 2 -> 3 -> 1 ...
    decoder = Table(table)
    got = decoding.decode(decoder, table[[1, 3]], 10, temperature=0, eos=3, pad=0)
    assert got.tolist() == [[2, 3, 0], [1, 2, 3]]
    assert decoder.reads == 2
    assert decoding.decode(decoder, table[[1]], 0, eos=3).shape == (1, 0)
    streamed = []
    decoding.decode(Table(table), table[[1]], 5, temperature=0, on_token=lambda t: streamed.append(int(t[0])))
    assert streamed == [2, 3, 1, 2, 3]


def test_constraints_and_repetition_penalty():
    scores = np.array([[2.0, 1.0, 0.0]])
    table = np.tile(scores, (3, 1))
    odd = np.array([False, True, True])
    assert decoding.decode(Table(table), scores, 3, temperature=0, allowed=lambda t: odd).tolist() == [[1, 1, 1]]
    with pytest.raises(ValueError, match="leaves no token"):
        decoding.decode(Table(table), scores, 1, allowed=lambda t: np.zeros(3, bool))
    got = decoding.decode(Table(table), scores, 2, temperature=0, repetition_penalty=4.0)
    assert got.tolist() == [[0, 1]]


def brute_force(table, first, length, end, alpha):
    """The best of all sequences up to `length`."""
    best = (-np.inf, None)

    def go(prefix, log_p, scores):
        nonlocal best
        if prefix and (prefix[-1] == end or len(prefix) == length):
            best = max(best, (log_p / ((5 + len(prefix)) / 6) ** alpha, tuple(prefix)))
            return
        for v, step in enumerate(decoding.log_softmax(scores)):
            go([*prefix, v], log_p + step, table[v])

    go([], 0.0, first)
    return best


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_a_wide_beam_finds_the_best_sequence(alpha):
    rng = np.random.default_rng(2)
    for _ in range(5):
        table, first = rng.standard_normal((4, 4)) * 2, rng.standard_normal(4) * 2
        want, tokens = brute_force(table, first, 4, 3, alpha)
        found, worth = decoding.beam_search(
            Table(table), first[None], 4, 80, eos=3, length_penalty=alpha, return_scores=True
        )
        np.testing.assert_allclose(worth[0], want, rtol=1e-9)
        assert tuple(found[0].tolist()) == tokens


def test_one_beam_is_greedy_and_more_are_not_worse():
    rng = np.random.default_rng(3)
    better = 0
    for _ in range(100):
        table, first = rng.standard_normal((12, 12)) * 2, rng.standard_normal((1, 12)) * 2
        greedy = decoding.decode(Table(table), first, 8, temperature=0, eos=5)[0]
        one, worth1 = decoding.beam_search(Table(table), first, 8, 1, eos=5, return_scores=True)
        _, worth4 = decoding.beam_search(Table(table), first, 8, 4, eos=5, return_scores=True)
        assert one[0].tolist() == greedy.tolist()
        assert worth4[0] >= worth1[0] - 1e-9
        better += worth4[0] > worth1[0] + 1e-9
    assert better > 10


def test_beams_of_a_batch_do_not_mix():
    rng = np.random.default_rng(4)
    table, first = rng.standard_normal((6, 6)), rng.standard_normal((3, 6))
    together = decoding.beam_search(Table(table), first, 5, 3, eos=2)
    alone = [decoding.beam_search(Table(table), first[i : i + 1], 5, 3, eos=2)[0] for i in range(3)]
    assert [t.tolist() for t in together] == [t.tolist() for t in alone]


# ---------------------------------------------------------------------------------------------------------------- text


def test_unknown_characters_are_named():
    t = CharTokenizer("abc ")
    with pytest.raises(ValueError, match=r"unknown characters 'x' 'é'"):
        t.encode("aéx")
    assert t.decode(t.encode("axé", unknown=" ")) == "a  "
    assert t.encode("").shape == (0,)
    with pytest.raises(ValueError, match="at least one character"):
        CharTokenizer("")


def test_vocabulary_round_trip_with_hangul():
    for unit in ("char", "jamo"):
        text = "한국어 숫자 12"
        v = Vocabulary.build([split(text, unit)])
        assert join(v.decode(v.encode(split(text, unit), bos=True, eos=True)), unit) == text
    assert len(split("한", "jamo")) == 3
    v = Vocabulary.build([list("aab"), list("c")], min_count=2)
    assert v.symbols[4:] == ["a"]
    assert v.encode("ab").tolist() == [4, UNK]


def test_parallel_text_shares_vocabularies_and_buckets_by_length():
    train = ParallelText([("one", "1"), ("two", "22"), ("seventeen", "17")])
    test = ParallelText([("zwo", "2")], vocabularies=train.vocabularies)
    assert test.src[0].tolist()[0] == UNK
    assert test.tgt[0].tolist()[0] == 1
    assert test.text(test.tgt[0]) == "2"
    batches = list(train.batches(max_tokens=10, rng=np.random.default_rng(0)))
    assert sorted(x.shape for x, _ in batches) == [(1, 10), (2, 4)]
    assert sum(len(x) for x, _ in batches) == 3
    assert all(EOS in row for x, _ in batches for row in x)


def test_buckets_hold_everything_once_within_the_bound():
    lengths = np.random.default_rng(0).integers(0, 50, 300)
    groups = bucketed(lengths, 200, np.random.default_rng(1), batch_size=8)
    assert sorted(i for g in groups for i in g) == list(range(300))
    assert all(len(g) <= 8 and (len(g) * lengths[g].max() <= 200 or len(g) == 1) for g in groups)
    padded = sum(len(g) * lengths[g].max() for g in groups)
    assert padded < 1.2 * lengths.sum()
    assert bucketed([], 10) == []
    assert pad([]).shape == (0, 0)
    assert pad([[], [5]]).tolist() == [[0], [5]]
