"""What the recipes of language models over characters share: the text, its split, its baseline, the run."""

import math
import time
from pathlib import Path

import numpy as np

from fastdl.data import DataLoader, TensorDataset, kjv
from fastdl.data.text import CharTokenizer
from fastdl.models.markov import MarkovModel
from fastdl.random import manual_seed
from fastdl.recipes import _bundle
from fastdl.recipes._loops import adamw, warm_cosine, windows
from fastdl.train import Trainer


def read(data=None):
    """(tokenizer, train ids, test ids): of a text file (UTF-8; its last tenth is the test part), or of the King James Bible."""
    if data is None:
        train, test = kjv(900_000, 40_000)
    else:
        try:
            text = Path(data).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{data} is not UTF-8 text ({error.reason} at byte {error.start})") from None
        cut = int(0.9 * len(text))
        train, test = text[:cut], text[cut:]
        if len(test) < 2:
            raise ValueError(f"{data} has {len(text)} characters; a language model needs at least 20")
    tokenizer = CharTokenizer(train + test)
    return tokenizer, tokenizer.encode(train), tokenizer.encode(test)


def baselines(train, test, vocab):
    """Bits a character of interpolated n-grams of order 1, 2 and 3."""
    return {f"counts of {n} characters": MarkovModel(n, vocab=vocab).fit(train).bits(test) for n in (1, 2, 3)}


def run(kind, model, tokenizer, ids, loss, bits, out, epochs, seed, resume, progress, length, batch, lr, started):
    """Train on windows of `length` characters, judge by bits(model, test), write weights and history."""
    train, test = ids
    length = min(length, len(train) - 1)
    if length < 1:
        raise ValueError("the text is too short to train on")
    x, y = windows(train, length)
    learn = DataLoader(TensorDataset(x, y), batch_size=min(batch, len(x)), shuffle=True, seed=seed)
    optimizer = adamw(model, lr)
    steps = epochs * len(learn)
    trainer = Trainer(
        model, loss, optimizer, scheduler=warm_cosine(optimizer, steps, max(1, min(100, steps // 10))),
        schedule_every="step", metrics={"bits per character": lambda o, t: loss(o, t).item() / math.log(2)}, out=out,
        clip_norm=1.0, progress=progress,
    )  # fmt: skip
    trainer.fit(learn, None, epochs, resume=resume)
    found = bits(model, test)
    weights = Path(out) / f"{kind}.safetensors"
    _bundle.save(kind, model, weights, tokenizer)
    files = [weights, *(Path(out) / f for f in ("history.jsonl", "history.png") if (Path(out) / f).exists())]
    return {
        "metrics": {"bits per character": found, "perplexity": 2**found},
        "baselines": baselines(train, test, len(tokenizer)),
        "seconds": time.perf_counter() - started,
        "files": [str(f) for f in files],
    }


def prepare(epochs, seed, data):
    """Checks and seeds; (tokenizer, train, test, start time)."""
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1; got {epochs}")
    manual_seed(seed)
    started = time.perf_counter()
    return (*read(data), started)


def as_array(t):
    return t.array if hasattr(t, "array") else np.asarray(t)
