"""The recurrent encoder-decoder: English words to sounds (CMU dictionary); or number words to digits; or verses to Spanish.

Judged by free-running decoding on words it never saw, beside a letter-by-letter dictionary.
"""

from fastdl.models import seq2seq
from fastdl.recipes import _pairs

DATA = _pairs.SETS  # or a file
EPOCHS = 5


def run(
    out="runs/seq2seq", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True,
    data: str = "cmudict", cell: str = "gru", hidden: int = 128, attention: str = "luong", batch: int = 64,
    lr: float = 3e-3, beam: int = 1,
) -> dict:  # fmt: skip
    """Train, judge, write weights and answers; returns {"metrics", "baselines", "seconds", "files"}.

    data: "cmudict", "numbers", "bible", or a file with "source<tab>target" a line; attention: "luong", "bahdanau" or "none".
    """

    def make(source, target):
        return seq2seq.Seq2Seq(source, target, cell=cell, hidden=hidden, attention=attention)

    epochs = EPOCHS if epochs is None else epochs
    return _pairs.run("seq2seq", make, seq2seq.loss, data, out, epochs, seed, resume, progress, batch, lr, beam)
