"""GPT on characters: the King James Bible (900,000 characters to learn from, 40,000 to be judged on), or a text file.

Judged by bits a character on the held-out part, beside n-grams counted on the same training part.
"""

from fastdl.models import gpt
from fastdl.recipes import _characters

EPOCHS = 3


def run(
    out="runs/gpt", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True, data=None,
    layers: int = 3, d: int = 128, heads: int = 4, context: int = 64, dropout: float = 0.0, window: int | None = None,
    batch: int = 32, lr: float = 3e-3,
) -> dict:  # fmt: skip
    """Train, judge, write weights; returns {"metrics", "baselines", "seconds", "files"}.

    data: a UTF-8 text file; its last tenth is the test part.
    """
    epochs = EPOCHS if epochs is None else epochs
    tokenizer, train, test, started = _characters.prepare(epochs, seed, data)
    model = gpt.GPT(
        vocab=len(tokenizer), context=context, d=d, layers=layers, heads=heads, dropout=dropout, window=window
    )
    bits = lambda m, ids: gpt.bits_per_token(m, ids, 32)  # noqa: E731
    return _characters.run(
        "gpt", model, tokenizer, (train, test), gpt.loss, bits, out, epochs, seed, resume, progress, context, batch, lr,
        started,
    )  # fmt: skip
