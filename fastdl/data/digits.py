"""The 1,797 handwritten digits of 8x8 pixels that come with the package (UCI; CC BY 4.0, see embedded/LICENSES.md)."""

from fastdl.data._split import Split, load


def digits() -> Split:
    """Digits 8x8 as (train, test): x (N, 1, 8, 8) float32 in 0..1, y (N,) int64.

    Split: 1,438 / 359, stratified, by index (see `_split.is_test`).

    Example
    >>> train, test = digits()
    >>> len(train), len(test), train[0][0].shape
    (1438, 359, (1, 8, 8))
    """
    return load("digits8x8", 16)
