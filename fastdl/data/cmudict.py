"""The CMU pronouncing dictionary: 133,784 pronunciations of English words in 39 phonemes with stress."""

import functools
import re

from fastdl.data._files import rows
from fastdl.data._split import Split, held_out
from fastdl.data.table import Table

FILE = "cmudict.txt.gz", "371e2b7b90a00ee8aafcb406e5a7888751fcd72beff96a3e6a67ded0f4505d80"


@functools.cache
def cmudict(stress: bool = False, letters_only: bool = True) -> Split:
    """Words and their sounds as (train, test), each a Table with the columns word (str) and phonemes (tuple of str).

    stress: keep the digit of a vowel (AH0, AH1, AH2); without it there are 39 phonemes.
    letters_only: leave out words with digits, dots, apostrophes ...
    A word with several pronunciations has several rows. Split: one of twenty words is in test, with all its variants.

    Example
    >>> train, test = cmudict()
    >>> train.word[0], train.phonemes[0]
    ('A', ('AH',))
    """
    words, phonemes = [], []
    for word, sounds in rows(*FILE, separator="  "):
        word = re.sub(r"\(\d+\)$", "", word)
        if letters_only and not (word.isascii() and word.isalpha()):
            continue
        words.append(word)
        phonemes.append(tuple((sounds if stress else re.sub(r"\d", "", sounds)).split()))
    test = held_out(words, 20)
    table = Table(word=words, phonemes=phonemes)
    return Split(table.where(~test), table.where(test))
