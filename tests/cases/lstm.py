"""Cases of lstm."""

from ._recurrent import layer_cases

CASES = layer_cases("lstm", gates=4)
