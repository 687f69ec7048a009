"""Cases of lstm."""

from cases._recurrent import layer_cases

CASES = layer_cases("lstm", gates=4)
