"""Django's messages in English and seven languages (de es fr it ja nl pt_BR): 5,198 pairs."""

import functools

from fastdl.data._files import rows
from fastdl.data._split import Split, held_out
from fastdl.data.table import Table

FILE = "django_po_pairs.tsv.gz", "0c0527ab59205d5ddf4ccee6157815f427620abc90a802f2fe563a7fd797b962"


@functools.cache
def django_pairs(language: str | None = None) -> Split:
    """Translation pairs as (train, test), each a Table with the columns language, english, translation.

    language: one of de, es, fr, it, ja, nl, pt_BR; None: all of them.
    Split: of every ten distinct English messages one is in test, in all languages: none is seen in another language first.

    Example
    >>> train, test = django_pairs("fr")
    >>> not set(train.english) & set(test.english), set(train.language)
    (True, {'fr'})
    """
    languages, english, translation = zip(*rows(*FILE))
    if language is not None and language not in languages:
        raise ValueError(
            f"django_pairs: there is no language {language!r}; there are {', '.join(sorted(set(languages)))}"
        )
    test = held_out(english, 10)
    table = Table(language=languages, english=english, translation=translation)
    if language is None:
        return Split(table.where(~test), table.where(test))
    chosen = [l == language for l in languages]
    return Split(table.where(~test & chosen), table.where(test & chosen))
