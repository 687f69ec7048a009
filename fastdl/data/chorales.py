"""363 four-part chorales by J. S. Bach, as MIDI pitches on a grid of sixteenths."""

import functools

import numpy as np

from fastdl.data._files import arrays
from fastdl.data._split import Split, held_out
from fastdl.data.table import Table

FILE = "jsb_chorales.npz", "63904cd0cb558061ea9b3a3f8cb28a32fb41cf03030bfbf172b45edd93c4978e"


@functools.cache
def chorales() -> Split:
    """Chorales as (train, test), each a Table with the columns name (BWV number) and pitches.

    pitches: (T, 4) uint8, MIDI pitch (36..81) of soprano, alto, tenor, bass in each sixteenth, 0 = rest.
    Split: one of ten melodies is in test; settings that begin with the same melody, in any key, go together.

    Example
    >>> train, test = chorales()
    >>> len(train) + len(test), train.pitches[0].shape, train.pitches[0][0].tolist()
    (363, (352, 4), [74, 67, 58, 55])
    """
    a = arrays(*FILE)
    test = held_out([_opening(pitches[:, 0]) for pitches in a.values()], 10)
    table = Table(name=tuple(a), pitches=tuple(a.values()))
    return Split(table.where(~test), table.where(test))


def _opening(soprano) -> tuple[int, ...]:
    """The first twelve steps between different notes of a melody: the same in every key and rhythm."""
    notes = soprano[soprano > 0].astype(np.int64)
    steps = np.diff(notes)
    return tuple(steps[steps != 0][:12].tolist())
