"""A recurrent language model of characters: the King James Bible, or a text file; see recipes/gpt.py for the split."""

from fastdl.models import latent_ar
from fastdl.nn import functional as F
from fastdl.recipes import _characters

EPOCHS = 3


def loss(outputs, targets):
    """Cross-entropy in nats a character; outputs is what LatentAR returns, (scores (N, T, V), state)."""
    scores = outputs[0] if isinstance(outputs, tuple) else outputs
    return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), _characters.as_array(targets).reshape(-1))


class _Scores(latent_ar.LatentAR):
    """LatentAR that gives the trainer its scores alone."""

    def forward(self, x, state=None):
        outputs, state = super().forward(x, state)
        return outputs if self.training else (outputs, state)


def run(
    out="runs/char_lstm", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True,
    data=None, cell: str = "lstm", embed: int = 64, hidden: int = 192, layers: int = 1, dropout: float = 0.0,
    length: int = 100, batch: int = 32, lr: float = 3e-3,
) -> dict:  # fmt: skip
    """Train, judge, write weights; returns {"metrics", "baselines", "seconds", "files"}.

    data: a UTF-8 text file; its last tenth is the test part. cell: lstm, gru or rnn.
    """
    epochs = EPOCHS if epochs is None else epochs
    tokenizer, train, test, started = _characters.prepare(epochs, seed, data)
    model = _Scores(len(tokenizer), cell, "categorical", embed, hidden, layers, dropout)
    bits = lambda m, ids: latent_ar.bits_carried(m, ids, min(8, max(1, len(ids) - 1)))  # noqa: E731
    return _characters.run(
        "char_lstm", model, tokenizer, (train, test), loss, bits, out, epochs, seed, resume, progress, length, batch,
        lr, started,
    )  # fmt: skip
