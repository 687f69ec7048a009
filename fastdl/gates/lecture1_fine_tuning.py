"""Lecture 1, BERT's second half: a pre-trained encoder learns a task of few labels (entry 5)."""

import numpy as np

from fastdl.autograd import no_grad
from fastdl.data import kjv_verses
from fastdl.data.kjv import BOOK_GROUPS
from fastdl.data.wordpiece import WordPiece
from fastdl.gates import Claim, gate
from fastdl.models import bert
from fastdl.nn import functional as F
from fastdl.nn.utils import clip_grad_norm_
from fastdl.random import manual_seed
from fastdl.recipes._loops import adamw, warm_cosine

PRETRAIN_STEPS, PRETRAIN_RATE, EPOCHS = 2000, 2e-3, 10
RATES = {"pre-trained": 2e-3, "from scratch": 1e-3}  # of 5e-4, 1e-3, 2e-3 (pre-trained) on validation verses


def _rows(tokenizer, texts, length):
    """(tokens (N, length): [CLS] text [SEP] and padding; mask (N, length), 1 at tokens)."""
    ids = np.full((len(texts), length), tokenizer.index["[PAD]"], np.int64)
    for row, text in zip(ids, texts, strict=True):
        found, _ = tokenizer.encode(text, max_length=length)
        row[: len(found)] = found
    return ids, (ids != tokenizer.index["[PAD]"]).astype(np.int64)


def _step(model, loss, optimizer, schedule, losses):
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    losses.append(loss.item())


def pretrain(model, ids, mask, tokenizer, steps, lr, rng, batch=32):
    """Masked tokens (15 %) of the rows ids (N, T): the first two thirds of the steps on windows of 8 tokens, then on whole rows.

    Returns the mean loss of the last 20 steps.
    """
    optimizer = adamw(model, lr, 0.01, (0.9, 0.98))
    schedule, losses = warm_cosine(optimizer, steps, max(1, steps // 10)), []
    special = [tokenizer.index[s] for s in ("[PAD]", "[CLS]", "[SEP]", "[UNK]")]
    lengths, many = mask.sum(1), batch * ids.shape[1] // 8
    long_enough = np.flatnonzero(lengths >= 8)
    model.train()
    for step in range(steps):
        if 3 * step < 2 * steps:
            rows = rng.choice(long_enough, many)
            starts = rng.integers(0, lengths[rows] - 7)
            x, seen = ids[rows[:, None], starts[:, None] + np.arange(8)], None
        else:
            rows = rng.integers(0, len(ids), batch)
            T = int(lengths[rows].max())
            x, seen = ids[rows, :T], mask[rows, :T]
        inputs, labels = bert.mask_tokens(x, len(tokenizer), tokenizer.index["[MASK]"], rng, special)
        places = labels != -100
        _step(model, bert.loss(model(inputs, seen, places=places), labels[places]), optimizer, schedule, losses)
    return float(np.mean(losses[-20:]))


def fine_tune(model, ids, mask, labels, epochs, lr, rng, batch=32):
    """Train a BertForSequenceClassification on labelled rows."""
    steps = epochs * -(-len(ids) // batch)
    optimizer = adamw(model, lr, 0.01, (0.9, 0.999))
    schedule, losses = warm_cosine(optimizer, steps, max(1, steps // 10), 0.0), []
    model.train()
    for _ in range(epochs):
        order = rng.permutation(len(ids))
        for start in range(0, len(ids), batch):
            rows = order[start : start + batch]
            T = int(mask[rows].sum(1).max())
            _step(
                model, F.cross_entropy(model(ids[rows, :T], mask[rows, :T]), labels[rows]), optimizer, schedule, losses
            )


def accuracy(model, ids, mask, labels):
    """Share of rows whose class is guessed."""
    model.eval()
    with no_grad():
        parts = [model(ids[i : i + 100], mask[i : i + 100]).array.argmax(1) for i in range(0, len(ids), 100)]
    return float((np.concatenate(parts) == labels).mean())


def naive_bayes(ids, labels, test_ids, size, pad):
    """Classes of test rows by smoothed counts of their tokens: the baseline that knows no order."""
    n = labels.max() + 1
    counts = np.full((n, size), 0.5)
    for row, label in zip(ids, labels, strict=True):
        np.add.at(counts[label], row[row != pad], 1)
    log_p = np.log(counts / counts.sum(1, keepdims=True))
    log_p[:, pad] = 0
    prior = np.log(np.bincount(labels, minlength=n) + 1)
    return (log_p[:, test_ids].sum(-1) + prior[:, None]).argmax(0)


def group_task(labelled=600, judged=1500, length=32, size=2000, unlabelled=16_000, validation=False):
    """(tokenizer, (unlabelled rows, mask), ((labelled rows, mask), classes), ((judged rows, mask), classes)) of Bible verses.

    All but the judged verses come from the training part; validation=True judges others of that part, not the test's.
    """
    train, test = kjv_verses()
    chosen = np.random.default_rng(0).permutation(len(train.text))
    few, many = chosen[:labelled], [train.text[i] for i in chosen[:unlabelled]]
    source, other = test, np.random.default_rng(1).permutation(len(test.text))[:judged]
    if validation:
        source, other = train, chosen[unlabelled : unlabelled + judged]
    tokenizer = WordPiece.train(many, size)

    def task(table, places):
        return _rows(tokenizer, [table.text[i] for i in places], length), np.asarray(table.group)[places]

    return tokenizer, _rows(tokenizer, many, length), task(train, few), task(source, other)


@gate(entry=5, name="bert_fine_tuning")
def bert_fine_tuning(seed=0, smoke=False):
    """Book groups (law to letters) of Bible verses from 600 labelled ones: BERT pre-trained on masked word pieces, or from scratch.

    Same class, same steps; mean of 3 seeds. The mean of all states is classified, since hiding tokens never asks anything of the
    first one. Expect the gate to fail: after 2,000 steps on 16,000 verses (three to four minutes of CPU) the masked pieces stand at
    4.4 nats (5.7 by frequency alone), yet on validation verses (seed 0) the pre-trained start reaches 43.9, 45.7 and 48.3 % at
    rates of 5e-4, 1e-3 and 2e-3, the random one 48.9 % at 1e-3 and counts (naive Bayes) 52.8 %: what names a hidden piece is not
    what tells the books apart, and at low rates it is in the way.

    Tried on validation verses without gain (one seed): pairs of sentences in the pre-training (600 steps of windows, then 1,000 of
    rows of two verses, neighbours or of two books; 167 s). Which verse follows is guessed no better than .53 by then, though hidden
    pieces come down to 4.0 nats: 43.9 and 45.5 % from the first token, 45.0 and 48.8 % from the mean, at 5e-4 and 2e-3. With the
    four epochs of the paper, two seeds, the best rates give 46.4 % after pre-training and 47.0 % from random. A linear classifier
    on the frozen means does profit, 44.8 against 39.7 %: the knowledge is in the word vectors, and 600 labels teach them as much.
    """
    tokenizer, whole, (learn, y), (judge, ty) = group_task(*((60, 100, 16, 300, 400) if smoke else ()))
    settings = {
        "vocab": len(tokenizer), "hidden": 32 if smoke else 128, "layers": 1 if smoke else 4, "heads": 4,
        "positions": judge[0].shape[1], "dropout": 0.1, "pad": tokenizer.index["[PAD]"],
    }  # fmt: skip
    masked = bert.BertForMaskedLM(**settings)
    rng = np.random.default_rng(seed)
    loss = pretrain(masked, *whole, tokenizer, 25 if smoke else PRETRAIN_STEPS, 5e-3 if smoke else PRETRAIN_RATE, rng)
    if smoke:
        uniform = float(np.log(len(tokenizer)))
        return [Claim("nats a masked piece after 25 steps", loss, "<=", uniform - 0.3, ("uniform", uniform))]
    state, found = masked.state_dict(), {"pre-trained": [], "from scratch": []}
    for s in range(3):
        for start, results in found.items():
            manual_seed(seed + 100 + s)
            model = bert.BertForSequenceClassification(**settings, num_labels=len(BOOK_GROUPS), pooling="mean")
            if start == "pre-trained":
                model.load_pretrained(state)
            fine_tune(model, *learn, y, EPOCHS, RATES[start], np.random.default_rng(seed + s))
            results.append(accuracy(model, *judge, ty))
    started, scratch = (float(np.mean(v)) for v in found.values())
    guessed = naive_bayes(learn[0], y, judge[0], len(tokenizer), settings["pad"])
    counted, most = float((guessed == ty).mean()), float((ty == np.bincount(y).argmax()).mean())
    return [
        Claim("accuracy, pre-trained start above random start by", started - scratch, ">=", 0.03, ("random", scratch)),
        Claim("accuracy, pre-trained start", started, ">", most, ("naive Bayes on counts", counted)),
    ]
