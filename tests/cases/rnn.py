"""Cases of rnn."""

from ._recurrent import layer_cases

CASES = layer_cases("rnn", gates=1) + layer_cases("rnn", gates=1, act="relu")
