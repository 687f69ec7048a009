"""The King James Bible: 24,408 lines, 4.16 million characters of English, by testament and book."""

import functools

import numpy as np

from fastdl.data._files import frozen, rows
from fastdl.data._split import Split, held_out
from fastdl.data.table import Table

FILE = "kjv_verses.tsv.gz", "feb01946ae9d4337744c44cad2692ab8f1114d15bf65aedc197b15c2bc4841b4"
BOOK_GROUPS = ("law", "history", "poetry", "prophets", "gospels and acts", "letters")
_FIRST = (1, 6, 18, 23, 40, 45)  # first book of each group


@functools.cache
def kjv(train_chars: int | None = None, test_chars: int | None = None) -> Split:
    """The running text as (train, test), two strings, one verse a line; 73 different characters.

    Split: test is the last tenth (from the first verse that starts there). train_chars: only so many characters, those
    next to the test part; test_chars: only its first so many. The published n-gram numbers are of kjv(900_000, 40_000).

    Example
    >>> train, test = kjv(900_000, 40_000)
    >>> len(train), len(test)
    (900000, 40000)
    """
    verses = _table().text
    starts = np.cumsum([0] + [len(v) + 1 for v in verses])  # of each verse in the joined text; last: its length + 1
    first = int(np.searchsorted(starts, 0.9 * (starts[-1] - 1)))
    train, test = "\n".join(verses[:first]) + "\n", "\n".join(verses[first:])
    return Split(train[-train_chars:] if train_chars else train, test[:test_chars] if test_chars else test)


@functools.cache
def kjv_verses() -> Split:
    """Single verses as (train, test), each a Table with the columns

    testament (1, 2), book (1..66), group (0..5, places in BOOK_GROUPS)   int64
    text   str

    Split: of every ten distinct verses of a book one is in test, with all its repetitions.

    Example
    >>> train, test = kjv_verses()
    >>> train.text[0], train.book[0].item(), BOOK_GROUPS[train.group[0]]
    ('In the beginning God created the heavens and the earth.', 1, 'law')
    """
    table = _table()
    test = held_out(table.text, 10, table.book.tolist())
    return Split(table.where(~test), table.where(test))


@functools.cache
def _table():
    testament, book, text = zip(*rows(*FILE))
    testament = np.array(testament, np.int64)
    book = np.array(book, np.int64) + 39 * (testament == 2)
    group = np.searchsorted(_FIRST, book, side="right") - 1
    return Table(testament=frozen(testament), book=frozen(book), group=frozen(group.astype(np.int64)), text=text)
