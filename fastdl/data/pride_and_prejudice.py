"""Jane Austen, Pride and Prejudice: 685 thousand characters of English."""

import functools
import re

from fastdl.data._files import text
from fastdl.data._split import Split

FILE = "austen_pride_prejudice.txt.gz", "833b22be844bcd75587453748a0cdab24eecc47902755ca8ff0c18d8eae4ac79"


@functools.cache
def pride_and_prejudice() -> Split:
    """The novel as (train, test), two strings: chapters 1 to 55, and 56 to 61.

    Example
    >>> train, test = pride_and_prejudice()
    >>> test.split()[:2]
    ['Chapter', '56']
    """
    book = text(*FILE)
    start = re.search(r"^Chapter 56\b", book, re.M).start()
    return Split(book[:start], book[start:])
