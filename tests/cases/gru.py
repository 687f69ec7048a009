"""Cases of gru."""

from ._recurrent import layer_cases

CASES = layer_cases("gru", gates=3)
