"""What the recipes of translators share: parallel texts, batches, free-running judgement against baselines, the run."""

import re
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from fastdl.autograd import Tensor
from fastdl.data import DataLoader, bible_en_es, cmudict
from fastdl.data._split import held_out
from fastdl.data.number_words import number_pairs
from fastdl.data.text import ParallelText, bucketed, pad
from fastdl.metrics import bleu, chrf, exact_match, phoneme_error_rate
from fastdl.optim import Adam
from fastdl.random import manual_seed
from fastdl.recipes import _bundle
from fastdl.recipes._loops import warm_cosine
from fastdl.train import Trainer


def words(text) -> str:
    """Lower case, punctuation apart: "And God said, Let" -> "and god said , let"."""
    return " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))


def verses(longest=20, train=None, test=500):
    """Short verses, English to Spanish, as (train pairs, test pairs) of text with punctuation apart."""
    parts = []
    for table, most in zip(bible_en_es(), (train, test), strict=True):
        pairs = [(words(a), words(b)) for a, b in zip(table.english, table.spanish, strict=True)]
        parts.append([p for p in pairs if max(len(s.split()) for s in p) <= longest][:most])
    return parts


def pronunciations(train=30_000, test=1000):
    """Words of 3 to 9 letters and their sounds: (train, test), each {word: [phonemes, ...]}, all variants of a word."""
    parts = []
    for table, most in zip(cmudict(), (train, test), strict=True):
        found = defaultdict(list)
        for word, sounds in zip(table.word, table.phonemes, strict=True):
            if 3 <= len(word) <= 9:
                found[word].append(sounds)
        names = sorted(found)
        parts.append({names[i]: found[names[i]] for i in np.random.default_rng(0).permutation(len(names))[:most]})
    return parts


SETS = ("numbers", "cmudict", "bible")


def pairs_of_file(path):
    """(train pairs, test pairs) of a UTF-8 file with "source<tab>target" a line, words with punctuation apart; empty lines pass.

    Of every twenty distinct sources one is in test, with all its repetitions.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    table = [(i, line.split("\t")) for i, line in enumerate(lines, 1) if line.strip()]
    for i, columns in table:
        if len(columns) != 2 or not all(map(words, columns)):
            raise ValueError(
                f"{path}, line {i}: expected 'source<tab>target', both with words; got {lines[i - 1][:60]!r}"
            )
    pairs = [(words(s), words(t)) for _, (s, t) in table]
    test = held_out([s for s, _ in pairs], 20)
    if test.all() or not test.any():
        raise ValueError(
            f"{path}: {len(pairs)} pairs are too few; at least 20 different sources make a training and a test part"
        )
    return [[p for p, kept in zip(pairs, test, strict=True) if kept == part] for part in (False, True)]


def load(data):
    """(train ParallelText, test ParallelText, references of the test part) of one of SETS, or of a file (pairs_of_file)."""
    if data == "numbers":
        a, b = number_pairs()
        pairs = [list(zip(t.words, t.digits, strict=True)) for t in (a, b)]
        units, references = ("char", "char"), b.digits
    elif data == "cmudict":
        a, b = pronunciations()
        pairs = [[(w, s[0]) for w, s in part.items()] for part in (a, b)]
        units, references = ("char", "symbols"), [tuple(map(list, s)) for s in b.values()]
    elif data == "bible" or Path(data).is_file():
        pairs = verses() if data == "bible" else pairs_of_file(data)
        units, references = ("word", "word"), [t for _, t in pairs[1]]
    else:
        raise ValueError(f"data must be {', '.join(SETS)} or a file of lines 'source<tab>target'; got {data!r}")
    train = ParallelText(pairs[0], *units, min_count=2 if units[0] == "word" else 1)
    return train, ParallelText(pairs[1], *units, vocabularies=train.vocabularies), list(references)


def dictionary(pairs) -> dict:
    """{word: the target word it goes with best}: the highest Dice coefficient of appearing in the same pair.

    Of equals the alphabetically first, so that the order of a set plays no part.
    """
    left, right, both = Counter(), Counter(), Counter()
    for source, target in pairs:
        s, t = set(source), set(target)
        left.update(s)
        right.update(t)
        both.update((a, b) for a in s for b in t)
    best: dict = {}
    for (a, b), n in both.items():
        score = 2 * n / (left[a] + right[b])
        most, word = best.get(a, (0, ""))
        if score > most or (score == most and b < word):
            best[a] = (score, b)
    return {a: b for a, (_, b) in best.items()}


def judge(data, answers, references) -> dict:
    """The metrics of a set's answers."""
    if data == "numbers":
        return {"exact match accuracy": exact_match(answers, references)}
    if data == "cmudict":
        error = phoneme_error_rate(answers, references)
        return {"word accuracy": exact_match(answers, references), "phoneme error rate": error}
    return {"BLEU": bleu(answers, references, tokenize=str.split), "chrF": chrf(answers, references)}


def baselines(data, train, test, references) -> dict:
    """The same metrics of copying the source and of a word-by-word (letter-by-letter) dictionary."""
    split = str.split if train.units[0] == "word" else list
    table = dictionary([(split(s), list(t) if split is list else t.split()) for s, t in train.pairs[:20_000]])
    sources = [s for s, _ in test.pairs]
    word_by_word = [[table.get(w, w) for w in split(s)] for s in sources]
    joined = word_by_word if data == "cmudict" else [("" if split is list else " ").join(w) for w in word_by_word]
    copies = [list(s) for s in sources] if data == "cmudict" else sources
    found = {}
    for name, answers in (("copy of the source", copies), ("dictionary", joined)):
        metric, value = next(iter(judge(data, answers, references).items()))
        found[f"{name}, {metric}"] = value
    return found


def translate(model, data, batch=250, **options):
    """Free-running answers of a model to all sources of a ParallelText, as text (or lists of symbols)."""
    answers = [None] * len(data)
    order = np.argsort([len(s) for s in data.src], kind="stable")
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        for i, ids in zip(rows, model.generate(pad([data.src[i] for i in rows]), **options), strict=True):
            answers[i] = data.text(ids)
    return answers


class _Buckets:
    """Batch sampler: pairs of similar length together, another order every epoch, the same for the same seed."""

    def __init__(self, data, batch, seed):
        self.lengths = [max(len(s), len(t)) for s, t in zip(data.src, data.tgt, strict=True)]
        self.batch, self.seed, self.epoch = batch, seed, 0

    def __len__(self):
        return len(bucketed(self.lengths, 10**9, None, self.batch))

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter(bucketed(self.lengths, 10**9, np.random.default_rng((self.seed, self.epoch)), self.batch))


def _collate(items):
    src, tgt = pad([s for s, _ in items]), pad([t for _, t in items])
    return Tensor(src), Tensor(tgt[:, :-1]), Tensor(tgt[:, 1:])


def run(kind, make, loss, data, out, epochs, seed, resume, progress, batch, lr, beam, betas=(0.9, 0.98)):
    """Train a translator make(source vocabulary size, target's) on a set, judge it, write weights and examples."""
    if epochs < 1:
        raise ValueError(f"{kind}: epochs must be at least 1; got {epochs}")
    manual_seed(seed)
    began = time.perf_counter()
    train, test, references = load(data)
    model = make(*map(len, train.vocabularies))
    learn = DataLoader(train, batch_sampler=_Buckets(train, batch, seed), collate_fn=_collate, seed=seed)
    optimizer = Adam(model.parameters(), lr=lr, betas=betas)
    steps = epochs * len(learn)
    trainer = Trainer(
        model, loss, optimizer, scheduler=warm_cosine(optimizer, steps, max(1, min(200, steps // 10)), 0.02),
        schedule_every="step", out=out, clip_norm=1.0, progress=progress,
    )  # fmt: skip
    trainer.fit(learn, None, epochs, resume=resume)
    answers = translate(model, test, **({"max_len": 32} if beam == 1 else _beams(kind, beam)))
    out = Path(out)
    _bundle.save(kind, model, out / f"{kind}.safetensors", vocabularies=train.vocabularies, units=train.units)
    text = lambda x: x if isinstance(x, str) else " ".join(x)  # noqa: E731
    lines = [f"{s}\t{text(a)}\t{text(t)}" for (s, t), a in zip(test.pairs, answers, strict=True)]
    (out / "answers.tsv").write_text("source\tanswer\treference\n" + "\n".join(lines) + "\n", encoding="utf-8")
    files = [out / f"{kind}.safetensors", out / "answers.tsv", out / "history.jsonl"]
    return {
        "metrics": judge(data, answers, references),
        "baselines": baselines(data, train, test, references),
        "seconds": time.perf_counter() - began,
        "files": [str(f) for f in files],
    }


def _beams(kind, beam):
    return {"max_len": 32, "beam" if kind == "seq2seq" else "num_beams": beam}
