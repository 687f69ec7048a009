"""10,605 sentences of film reviews, each rated by twenty people from -4 (negative) to 4 (positive)."""

import functools

import numpy as np

from fastdl.data._files import frozen, rows
from fastdl.data._split import Split, held_out
from fastdl.data.table import Table

FILE = "sentiment_movie.tsv.gz", "deb6d102eb2f079c8f27dfc8fe08803f113f671f299c052961adeb543446aa94"


@functools.cache
def sentiment() -> Split:
    """Sentences as (train, test), each a Table with the columns text, rating (float32) and positive (int64, rating > 0).

    Split: of every five distinct sentences of a whole-number rating one is in test.

    Example
    >>> train, test = sentiment()
    >>> train.rating[0].item() > 2, train.positive[0].item()
    (True, 1)
    """
    numbers, sentences = zip(*rows(*FILE))
    rating = np.array(numbers, np.float32)
    test = held_out(sentences, 5, np.rint(rating).tolist())
    table = Table(text=sentences, rating=frozen(rating), positive=frozen((rating > 0).astype(np.int64)))
    return Split(table.where(~test), table.where(test))
