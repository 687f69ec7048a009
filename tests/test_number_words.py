"""Numbers in words."""

import pytest

from fastdl.data.number_words import number_pairs, number_words


def test_words_equal_num2words():
    num2words = pytest.importorskip("num2words").num2words
    for n in [*range(130), *range(995, 1225), *range(2000, 100_000, 1373), 10_000, 11_111, 21_001, 99_999]:
        assert number_words(n) == num2words(n)
        assert number_words(n, "de") == num2words(n, lang="de")
        assert number_words(n, "ko") == num2words(n, lang="ko").replace(" ", "")


def test_by_hand():
    assert number_words(0) == "zero" and number_words(0, "de") == "null" and number_words(0, "ko") == "영"
    assert number_words(999_999) == "nine hundred and ninety-nine thousand, nine hundred and ninety-nine"
    assert number_words(801_021, "de") == "achthunderteintausendeinundzwanzig"
    assert number_words(10_000, "ko") == "만"
    with pytest.raises(ValueError, match="language"):
        number_words(1, "xx")
    with pytest.raises(ValueError, match="999,999"):
        number_words(-1)


def test_pairs_are_disjoint_and_fixed():
    train, test = number_pairs("de", 50, 20, below=1000)
    assert (len(train), len(test)) == (50, 20)
    assert not set(train.digits) & set(test.digits)
    assert number_words(int(test.digits[3]), "de") == test.words[3]
    with pytest.raises(ValueError, match="below"):
        number_pairs(train=90, test=20, below=100)
