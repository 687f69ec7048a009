"""Sequences against sequences: edit distance, error rates, exact matches."""

import numpy as np


def edit_distance(a, b) -> int:
    """Fewest insertions, deletions and substitutions that turn `a` into `b` (Levenshtein 1966).

    a, b  strings, or sequences of anything that compares (phonemes, words, token numbers)
    Cost  min(len) vector operations of length max(len)

    Example
    >>> edit_distance("kitten", "sitting")
    3
    """
    a, b = _codes(a, b)
    if len(a) > len(b):
        a, b = b, a  # the distance is symmetric: loop over the shorter one
    steps = np.arange(len(b) + 1)
    row = steps.copy()  # row[j] = distance between a[:i] and b[:j]
    for i, symbol in enumerate(a):
        new = np.empty_like(row)
        new[0] = i + 1
        np.minimum(row[1:] + 1, row[:-1] + (b != symbol), out=new[1:])  # delete, or substitute
        row = np.minimum.accumulate(new - steps) + steps  # insert: new[j] <= new[k] + (j - k)
    return int(row[-1])


def _codes(a, b):
    """Both sequences as integer arrays in which equal symbols have equal numbers."""
    number: dict = {}
    return tuple(np.array([number.setdefault(s, len(number)) for s in seq], np.int64) for seq in (a, b))


def error_rate(predictions, references) -> float:
    """Edits over the length of the references, over a whole set: phoneme, word or character error rate.

    predictions  list of sequences
    references   list of as many sequences; or, as a tuple, several valid ones of which the nearest counts

    Example
    >>> error_rate([["K", "AE", "T"]], [["K", "AA", "T", "S"]])
    0.5
    """
    _paired(predictions, references, "error_rate")
    edits = length = 0
    for guess, reference in zip(predictions, references, strict=True):
        options = reference if isinstance(reference, tuple) else (reference,)
        distance, size = min((edit_distance(guess, option), len(option)) for option in options)
        edits, length = edits + distance, length + size
    if length == 0:
        raise ValueError("error_rate: all references are empty")
    return edits / length


def phoneme_error_rate(predictions, references) -> float:
    """`error_rate` over lists of phonemes (lists of strings). A tuple of lists gives the valid pronunciations of a word."""
    for sequence in predictions:
        if isinstance(sequence, str):
            raise TypeError(
                f"phoneme_error_rate: a pronunciation is a list of phonemes, not the string {sequence!r}; "
                "hint: split() it, or use error_rate for characters"
            )
    return error_rate(predictions, references)


def word_error_rate(predictions, references) -> float:
    """`error_rate` over the words of strings, split at white space."""
    split = [tuple(o.split() for o in r) if isinstance(r, tuple) else r.split() for r in references]
    return error_rate([guess.split() for guess in predictions], split)


def exact_match(predictions, references) -> float:
    """Share of predictions that equal their reference as a whole; a tuple of references: any of them."""
    _paired(predictions, references, "exact_match")
    hits = 0
    for guess, reference in zip(predictions, references, strict=True):
        options = reference if isinstance(reference, tuple) else (reference,)
        hits += any(_same(guess, option) for option in options)
    return hits / len(predictions)


def _same(a, b):
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    return len(a) == len(b) and all(x == y for x, y in zip(a, b, strict=True))


def _paired(predictions, references, name):
    if len(predictions) != len(references) or not len(predictions):
        raise ValueError(
            f"{name}: needs as many references as predictions, at least one; got {len(references)} and {len(predictions)}"
        )
