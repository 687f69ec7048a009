"""BERT on characters: masked characters (15 %) of the King James Bible, or of a text file, from both sides.

Judged by the share of masked held-out characters that it guesses, beside the most frequent one and a table of both neighbours.
"""

import time
from pathlib import Path

import numpy as np

from fastdl.autograd import Tensor, no_grad
from fastdl.data import DataLoader, TensorDataset, batch_rng
from fastdl.models import bert
from fastdl.recipes import _bundle, _characters
from fastdl.recipes._loops import adamw, warm_cosine, windows
from fastdl.train import Trainer

EPOCHS = 3


def run(
    out="runs/bert", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True, data=None,
    layers: int = 4, hidden: int = 128, heads: int = 4, length: int = 64, dropout: float = 0.0, batch: int = 32,
    lr: float = 2e-3,
) -> dict:  # fmt: skip
    """Train, judge, write weights; returns {"metrics", "baselines", "seconds", "files"}.

    data: a UTF-8 text file; its last tenth is the test part. length: characters the model sees at once. A batch has the
    same number of characters each time, in windows of `length`, of half of it, and so on down to 8: on short ones attention
    takes hold within some hundred steps and goes on to long ones, at 64 places from the start it does not within these epochs.
    """
    epochs = EPOCHS if epochs is None else epochs
    tokenizer, train, test, started = _characters.prepare(epochs, seed, data)
    vocab = len(tokenizer)
    length = min(length, len(test) - 1)
    model = bert.BertForMaskedLM(  # token `vocab` is the mask, the next one padding
        vocab=vocab + 2, hidden=hidden, layers=layers, heads=heads, positions=length, dropout=dropout, pad=vocab + 1
    )
    x, _ = windows(train, length)
    halvings = max(0, (length // 8).bit_length() - 1)

    def collate(items):
        rows = np.stack([_characters.as_array(i[0] if isinstance(i, (tuple, list)) else i) for i in items])
        rng = batch_rng()
        parts = 2 ** rng.integers(0, halvings + 1)
        rows = rows[:, : length // parts * parts].reshape(-1, length // parts)
        inputs, labels = bert.mask_tokens(rows, vocab + 1, vocab, rng)
        return Tensor(inputs), Tensor(labels)

    learn = DataLoader(TensorDataset(x), batch_size=min(batch, len(x)), shuffle=True, seed=seed, collate_fn=collate)
    optimizer = adamw(model, lr, 0.01, (0.9, 0.98))
    steps = epochs * len(learn)
    trainer = Trainer(
        model, bert.loss, optimizer, scheduler=warm_cosine(optimizer, steps, max(1, min(100, steps // 10))),
        schedule_every="step", out=out, clip_norm=1.0, progress=progress,
    )  # fmt: skip
    trainer.fit(learn, None, epochs, resume=resume)
    accuracy = masked_accuracy(model, test, vocab, length)
    most = np.bincount(train).argmax()
    weights = Path(out) / "bert.safetensors"
    _bundle.save("bert", model, weights, tokenizer)
    return {
        "metrics": {"masked accuracy": accuracy},
        "baselines": {
            "most frequent character": float((test == most).mean()),
            "table of both neighbours": neighbour_table(train, test, vocab),
        },
        "seconds": time.perf_counter() - started,
        "files": [str(weights), str(Path(out) / "history.jsonl")],
    }


def masked_accuracy(model, ids, mask, length, seed=0) -> float:
    """Share of the masked tokens of a text (T,) that are guessed right; `mask` is the mask's number, the others lie below."""
    rng, right, total = np.random.default_rng(seed), 0, 0
    rows = ids[: len(ids) // length * length].reshape(-1, length)
    model.eval()
    with no_grad():
        for start in range(0, len(rows), 50):
            inputs, labels = bert.mask_tokens(rows[start : start + 50], mask + 1, mask, rng)
            places = labels != -100
            if places.any():
                guess = model(inputs, places=places).array.argmax(-1)
                right, total = right + int((guess == labels[places]).sum()), total + int(places.sum())
    return right / max(total, 1)


def neighbour_table(train, test, vocab) -> float:
    """Accuracy of guessing a character from its two neighbours by counts."""
    counts = np.zeros((vocab * vocab, vocab), np.int32)
    np.add.at(counts, (train[:-2] * vocab + train[2:], train[1:-1]), 1)
    return float((counts.argmax(1)[test[:-2] * vocab + test[2:]] == test[1:-1]).mean())
