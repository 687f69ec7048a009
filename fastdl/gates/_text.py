"""What the gates of lectures 1, 7 and 8 share: the texts as numbers, and the loops."""

import numpy as np

from fastdl.data import kjv, mnist5k
from fastdl.data.number_words import number_pairs
from fastdl.data.text import CharTokenizer, ParallelText
from fastdl.models.markov import MarkovModel
from fastdl.nn.utils import clip_grad_norm_
from fastdl.optim import Adam


def bible(train_chars=900_000, test_chars=40_000):
    """(tokenizer, train ids, test ids) of the King James Bible's characters."""
    train, test = kjv(train_chars, test_chars)
    tokenizer = CharTokenizer(kjv(900_000, 40_000).train + kjv(900_000, 40_000).test)
    return tokenizer, tokenizer.encode(train), tokenizer.encode(test)


def chain_bits(train, test, vocab, order):
    """Bits a character of the interpolated n-gram: the named baseline."""
    return MarkovModel(order, vocab=vocab).fit(train).bits(test)


def rows_of_digits():
    """MNIST 5k as sequences of 28 rows of 28 values: x (N, 28, 28) float32, y (N,), train and test."""
    parts = []
    for part in mnist5k():
        x, y = part.tensors
        parts += [np.asarray(x.array if hasattr(x, "array") else x).reshape(-1, 28, 28)]
        parts += [np.asarray(y.array if hasattr(y, "array") else y)]
    return parts


def numbers(language="en", train=8000, test=1000):
    """Number words as source and digits as target, character by character: (train, test) ParallelText."""
    a, b = number_pairs(language, train, test)
    unit = "jamo" if language == "ko" else "char"
    learn = ParallelText(list(zip(a.words, a.digits, strict=True)), unit)
    return learn, ParallelText(list(zip(b.words, b.digits, strict=True)), unit, vocabularies=learn.vocabularies)


def translate(model, data, batch=250, **options):
    """The free-running answers of a model to all sources, decoded to text (or lists of symbols)."""
    from fastdl.data.text import pad

    order = np.argsort([len(s) for s in data.src], kind="stable")
    answers = [None] * len(data)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        found = model.generate(pad([data.src[i] for i in rows]), **options)
        for i, ids in zip(rows, found, strict=True):
            answers[i] = data.text(ids)
    return answers


def batches_for(data, steps, batch, rng):
    """`steps` padded batches (source, target) of similar length, pass after pass."""
    done = 0
    while True:
        for pair in data.batches(max_tokens=10**9, rng=rng, batch_size=batch):
            if done == steps:
                return
            done += 1
            yield pair


def train_recurrent_lm(model, ids, steps, batch=32, length=100, lr=3e-3, clip=1.0):
    """Truncated back-propagation through time over streams of a text; the rate falls linearly to a tenth."""
    from fastdl.models.latent_ar import detach, streams

    optimizer = Adam(model.parameters(), lr=lr)
    model.train()
    done, losses = 0, []
    while done < steps:
        state = None
        for x, y in streams(ids, batch, length):
            if done == steps:
                break
            optimizer.param_groups[0]["lr"] = lr * (1 - 0.9 * done / steps)
            outputs, state = model(x, state)
            state = detach(state)
            loss = model.nll(outputs, y).mean()
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            losses.append(loss.item())
            done += 1
    return losses
