"""Lecture 8, translation of real sentences: three translators side by side (entries 4, 90 and 91)."""

import numpy as np

from fastdl.autograd import no_grad
from fastdl.data.text import ParallelText
from fastdl.gates import Claim, gate
from fastdl.gates._text import batches_for
from fastdl.metrics import bleu
from fastdl.models import seq2seq, transformer
from fastdl.nn.utils import clip_grad_norm_
from fastdl.optim import Adam
from fastdl.recipes._pairs import dictionary, translate, verses

STEPS = 2000
RATES = {
    "no attention": 3e-3,
    "attention": 3e-3,
    "Transformer": 1.5e-3,
}  # of 1e-3, 1.5e-3, 3e-3, on the validation part


def _make(name, source, target, d=128):
    if name == "Transformer":
        return transformer.Transformer(
            src_vocab=source, tgt_vocab=target, d_model=d, nhead=4, num_encoder_layers=2, num_decoder_layers=2,
            dim_feedforward=4 * d, dropout=0.2, norm_first=True, shared="output", max_len=64,
        )  # fmt: skip
    attention = "luong" if name == "attention" else None
    return seq2seq.Seq2Seq(source, target, hidden=d, embed=d, attention=attention, dropout=0.2)


def _train(model, data, steps, lr, rng, batch=64, warmup=50):
    optimizer = Adam(model.parameters(), lr=lr, betas=(0.9, 0.98))
    loss = transformer.loss if isinstance(model, transformer.Transformer) else seq2seq.loss
    model.train()
    losses = []
    for step, (src, tgt) in enumerate(batches_for(data, steps, batch, rng)):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / warmup, 1.5 * (1 - step / steps) + 0.02)
        value = loss(model(src, tgt[:, :-1]), tgt[:, 1:])
        optimizer.zero_grad()
        value.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(value.item())
    return float(np.mean(losses[-10:]))


def _score(answers, references):
    return bleu(answers, references, tokenize=str.split)


def verse_parts(longest=16, validation=0, train=None, test=None):
    """(train, judged) ParallelText; validation > 0: the last so many training pairs are judged in place of the test part."""
    learn, judged = verses(longest, train, test)
    if validation:
        learn, judged = learn[:-validation], learn[-validation:]
    data = ParallelText(learn, "word", "word", min_count=2)
    return data, ParallelText(judged, "word", "word", vocabularies=data.vocabularies)


@gate(entry=91, name="verses_en_es")
def verses_en_es(seed=0, smoke=False):
    """Verses of up to 16 words from English to Spanish: GRU without and with attention, Transformer; BLEU of free running.

    Each model gets the same pairs, width 128, dropout 0.2 and number of steps, at the rate of its recipe. Three trainings: allow
    120 s for each, not for all.
    """
    data, test = verse_parts(10, 0, 300, 10) if smoke else verse_parts()
    references = [t for _, t in test.pairs]
    table = dictionary([(s.split(), t.split()) for s, t in data.pairs])
    copy = _score([s for s, _ in test.pairs], references)
    by_words = _score([" ".join(table.get(w, w) for w in s.split()) for s, _ in test.pairs], references)
    found, sizes = {}, [len(v) for v in data.vocabularies]
    for name, rate in RATES.items():
        model = _make(name, *sizes, 32 if smoke else 128)
        loss = _train(
            model,
            data,
            30 if smoke else STEPS,
            1e-2 if smoke else rate,
            np.random.default_rng(seed),
            32,
            5 if smoke else 50,
        )
        if smoke:
            found[name] = loss
            continue
        with no_grad():
            found[name] = _score(translate(model, test, max_len=24), references)
    if smoke:
        uniform = float(np.log(sizes[1]))
        return [
            Claim(f"loss after 30 steps, {n}", v, "<=", uniform - 0.3, ("uniform", uniform)) for n, v in found.items()
        ]
    plain, attentive, all_attention = found.values()
    return [
        Claim("BLEU, GRU with attention", attentive, ">", max(copy, by_words), ("copy of the source", copy)),
        Claim("BLEU, Transformer", all_attention, ">", max(copy, by_words), ("word dictionary", by_words)),
        Claim("BLEU, attention above none", attentive, ">", plain, ("no attention", plain)),
        Claim("BLEU, Transformer above both", all_attention, ">", max(plain, attentive), ("attention", attentive)),
    ]
