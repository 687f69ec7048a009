"""31,076 verses in English (World English Bible) and Spanish (Reina-Valera 1909), aligned."""

import functools

from fastdl.data._files import rows
from fastdl.data._split import Split, held_out
from fastdl.data.table import Table

FILE = "bible_en_es.tsv.gz", "0e463df077b10d527ec70069fd3cd45c6bd905f05a9093d3489efab282f9c2b2"


@functools.cache
def bible_en_es() -> Split:
    """Translation pairs as (train, test), each a Table with the columns book, verse ("chapter:verse"), english, spanish.

    Split: of every twenty distinct English sentences of a book one is in test, with all its repetitions.

    Example
    >>> train, test = bible_en_es()
    >>> train.english[0]
    'In the beginning, God created the heavens and the earth.'
    >>> train.spanish[0]
    'EN el principio crió Dios los cielos y la tierra.'
    """
    book, verse, english, spanish = zip(*rows(*FILE))
    test = held_out(english, 20, book)
    table = Table(book=book, verse=verse, english=english, spanish=spanish)
    return Split(table.where(~test), table.where(test))
