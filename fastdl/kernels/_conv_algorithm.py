"""Which algorithms the compiled convolutions may choose from."""

from contextlib import AbstractContextManager

exact = False  # read by the compiled rungs at every call


class set_conv_algorithm(AbstractContextManager):
    """Choose how the compiled convolutions compute: "auto" (the fastest for the shape) or "exact" (plain sums only).

    "auto" uses Winograd's algorithm for 3x3 filters where it pays. Its rounding error is some 2 to 10 times that of
    the plain sum, a few 1e-6 relative; "exact" is for comparing results to the last digits. It takes effect at once;
    as a context manager it is undone at the end of the block:

    >>> with set_conv_algorithm("exact"):
    ...     conv_algorithm()
    'exact'
    """

    def __init__(self, name: str):
        global exact
        if name not in ("auto", "exact"):
            raise ValueError(f"set_conv_algorithm: choose 'auto' or 'exact', not {name!r}")
        self._before = exact
        exact = name == "exact"

    def __exit__(self, *exc):
        global exact
        exact = self._before


def conv_algorithm() -> str:
    """The present choice, "auto" or "exact"."""
    return "exact" if exact else "auto"
