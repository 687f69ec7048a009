"""The Transformer: verses of the Bible from English to Spanish (up to 20 words); or number words to digits; or words to sounds.

Judged by corpus BLEU of free-running decoding on held-out verses, beside copying the source and a word dictionary.
"""

from fastdl.models import transformer
from fastdl.recipes import _pairs

DATA = _pairs.SETS  # or a file
EPOCHS = 12


def run(
    out="runs/transformer", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True,
    data: str = "bible", d_model: int = 128, layers: int = 2, heads: int = 4, dropout: float = 0.2, batch: int = 64,
    lr: float = 1.5e-3, beam: int = 1, label_smoothing: float = 0.1,
) -> dict:  # fmt: skip
    """Train, judge, write weights and answers; returns {"metrics", "baselines", "seconds", "files"}.

    data: "bible", "numbers", "cmudict", or a file with "source<tab>target" a line.
    """

    def make(source, target):
        return transformer.Transformer(
            src_vocab=source, tgt_vocab=target, d_model=d_model, nhead=heads, num_encoder_layers=layers,
            num_decoder_layers=layers, dim_feedforward=4 * d_model, dropout=dropout, norm_first=True, shared="output",
        )  # fmt: skip

    def loss(scores, targets):
        return transformer.loss(scores, targets, label_smoothing)

    epochs = EPOCHS if epochs is None else epochs
    return _pairs.run("transformer", make, loss, data, out, epochs, seed, resume, progress, batch, lr, beam)
