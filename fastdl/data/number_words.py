"""Numbers in words: as many pairs (words, digits) as one likes, in English, German and Korean, right by construction."""

import numpy as np

from fastdl.data._split import Split
from fastdl.data.table import Table

_EN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_EN_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_DE = (
    "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn"
).split()
_DE_TENS = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
_KO = "영일이삼사오육칠팔구"


def number_words(n: int, language: str = "en") -> str:
    """The words of 0 <= n < 1,000,000.

    Example
    >>> number_words(1042), number_words(21, "de"), number_words(10305, "ko")
    ('one thousand and forty-two', 'einundzwanzig', '만삼백오')
    """
    if not 0 <= n < 1_000_000:
        raise ValueError(f"number_words: n must lie in 0 .. 999,999; got {n}")
    if language not in _LANGUAGES:
        raise ValueError(f"number_words: language must be one of {', '.join(_LANGUAGES)}; got {language!r}")
    return _LANGUAGES[language](int(n))


def _english(n):
    if n < 20:
        return _EN[n]
    if n < 100:
        return _EN_TENS[n // 10 - 2] + (f"-{_EN[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{_EN[n // 100]} hundred" + (f" and {_english(n % 100)}" if n % 100 else "")
    rest = n % 1000
    return f"{_english(n // 1000)} thousand" + (
        "" if not rest else f" and {_english(rest)}" if rest < 100 else f", {_english(rest)}"
    )


def _german(n):
    return "eins" if n == 1 else _german_part(n, True)


def _german_part(n, last):
    """`last`: nothing follows, so a final one is "eins"."""
    if n < 20:
        return "eins" if n == 1 and last else _DE[n]
    if n < 100:
        return (f"{_DE[n % 10]}und" if n % 10 else "") + _DE_TENS[n // 10 - 2]
    if n < 1000:
        return f"{_DE[n // 100]}hundert" + (_german_part(n % 100, last) if n % 100 else "")
    return f"{_german_part(n // 1000, False)}tausend" + (_german_part(n % 1000, last) if n % 1000 else "")


def _korean(n):
    if n == 0:
        return _KO[0]
    high, low = divmod(n, 10_000)
    text = ("" if high == 1 else _korean(high)) + "만" if high else ""
    for unit, name in ((1000, "천"), (100, "백"), (10, "십"), (1, "")):
        digit = low // unit % 10
        if digit:
            text += ("" if digit == 1 and unit > 1 else _KO[digit]) + name
    return text


_LANGUAGES = {"en": _english, "de": _german, "ko": _korean}


def number_pairs(language: str = "en", train: int = 8000, test: int = 1000, below: int = 100_000) -> Split:
    """Different numbers as (train, test), each a Table with the columns words, digits (both str).

    Which numbers: the first test + train of numpy.random.default_rng(0).permutation(below).

    Example
    >>> train, test = number_pairs()
    >>> len(train), len(test), set(train.digits) & set(test.digits)
    (8000, 1000, set())
    """
    if train + test > below:
        raise ValueError(f"number_pairs: {train} + {test} numbers cannot all be below {below}")
    numbers = np.random.default_rng(0).permutation(below)[: test + train]
    words, digits = [number_words(n, language) for n in numbers], [str(n) for n in numbers]
    return Split(
        Table(words=words[test:], digits=digits[test:]),
        Table(words=words[:test], digits=digits[:test]),
    )
