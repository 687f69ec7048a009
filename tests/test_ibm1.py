"""IBM Model 1: a case done by hand, the likelihood, the carried vectors, refused input."""

import numpy as np
import pytest

from fastdl.data.text import Vocabulary
from fastdl.models.ibm1 import IBM1

PAIRS = [("the house", "das haus"), ("the book", "das buch"), ("a book", "ein buch")]


@pytest.fixture
def corpus():
    sides = [[text.split() for text in side] for side in zip(*PAIRS, strict=True)]
    vocabularies = [Vocabulary.build(side) for side in sides]
    ids = [[v.encode(s) for s in side] for v, side in zip(vocabularies, sides, strict=True)]
    return vocabularies, ids


def table(model, vocabularies):
    names = [v.symbols for v in vocabularies]
    return {
        (names[0][e], names[1][f]): p for e, f, p in zip(model.source, model.target, model.probability, strict=True)
    }


def test_first_pass_by_hand(corpus):
    """From equal shares: "the" meets das, haus and das, buch, half a word each; so t(das | the) = 1 / 2, the others 1 / 4."""
    vocabularies, ids = corpus
    t = table(IBM1(*map(len, vocabularies)).fit(*ids, passes=1), vocabularies)
    assert t["the", "das"] == pytest.approx(1 / 2)
    assert t["the", "haus"] == t["the", "buch"] == pytest.approx(1 / 4)
    assert t["book", "buch"] == t["house", "haus"] == t["a", "ein"] == pytest.approx(1 / 2)
    assert ("a", "haus") not in t


def test_finds_the_translations_and_never_loses_likelihood(corpus):
    vocabularies, ids = corpus
    model = IBM1(*map(len, vocabularies)).fit(*ids, passes=60)
    t = table(model, vocabularies)
    for pair in (("the", "das"), ("house", "haus"), ("book", "buch"), ("a", "ein")):
        assert t[pair] > 0.9, pair
    assert (np.diff(model.history) <= 1e-12).all()
    names = [v.symbols for v in vocabularies]
    assert {names[0][e]: names[1][f] for e, f in model.best().items()}["a"] == "ein"
    sums = np.bincount(model.source, model.probability, len(vocabularies[0]))
    assert np.allclose(sums[4:], 1) and not sums[:4].any()


def test_repeated_words_count_as_often_as_they_stand():
    model = IBM1(2, 2).fit([[0, 0, 1]], [[0, 1]], passes=1)
    assert model.probability.tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5])
    again = IBM1(2, 2).fit([[0, 0, 1], [1]], [[0, 1], [1]], passes=1)  # word 1 meets target 1 once more
    assert again.probability.tolist() == pytest.approx([0.5, 0.5, 0.2, 0.8])


def test_carried_vectors_lie_beside_their_translations(corpus):
    vocabularies, ids = corpus
    model = IBM1(*map(len, vocabularies)).fit(*ids, passes=60)
    vectors = np.random.default_rng(0).standard_normal((len(vocabularies[1]), 64)).astype(np.float32)
    carried = model.carry(vectors)
    assert carried.dtype == np.float32 and not carried[:4].any()
    cosine = carried @ vectors.T / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors, axis=1).mean()
    for e, f in model.best().items():
        assert cosine[e].argmax() == f
    assert np.allclose(np.linalg.norm(carried[4:], axis=1), np.linalg.norm(vectors, axis=1).mean(), rtol=1e-5)


def test_empty_sides_are_left_out_and_nonsense_is_refused():
    model = IBM1(2, 2).fit([[0], [], [1]], [[0], [1], []])
    assert model.best() == {0: 0}
    with pytest.raises(ValueError, match="2 source sentences and 1 target"):
        IBM1(2, 2).fit([[0], [1]], [[0]])
    with pytest.raises(ValueError, match="at least one pair"):
        IBM1(2, 2).fit([[], []], [[], []])
    with pytest.raises(ValueError, match=r"source words must lie in 0 \.\. 1; got 0 \.\. 2"):
        IBM1(2, 2).fit([[0, 2]], [[0]])
    with pytest.raises(ValueError, match=r"vectors must have shape \(2, D\)"):
        model.carry(np.zeros((3, 4)))


def test_alignment_rows_sum_to_one_and_find_the_word(corpus):
    vocabularies, ids = corpus
    model = IBM1(*map(len, vocabularies)).fit(*ids, passes=60)
    weights = model.align(ids[0][1], ids[1][1])  # the book, das buch
    assert weights.shape == (2, 2) and np.allclose(weights.sum(1), 1)
    assert weights.argmax(1).tolist() == [0, 1]
    assert np.allclose(model.align([0, 1, 2], [0]), 1 / 3)  # words that never met
    with pytest.raises(ValueError, match="no word"):
        model.align([], [4])
