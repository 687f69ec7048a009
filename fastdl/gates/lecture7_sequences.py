"""Lecture 7, sequences without a state: lengths, the naive model, fixed spans and Markov chains (entries 81 to 84)."""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.data import digits
from fastdl.gates import Claim, gate
from fastdl.gates._text import bible, chain_bits
from fastdl.models.markov import MarkovModel, MarkovTable
from fastdl.models.naive_sequential import FullyVisibleBeliefNet
from fastdl.models.window import WindowLM
from fastdl.nn import functional as F
from fastdl.nn.utils import clip_grad_norm_
from fastdl.nn.utils.rnn import pack_sequence, pad_packed_sequence, pad_sequence, unpad_sequence
from fastdl.optim import Adam

TABLE = {0: 4.407, 1: 3.353, 2: 2.636, 3: 2.143, 4: 1.950, 5: 1.944}  # bits a character, kjv(900_000, 40_000)


@gate(entry=81, name="variable_length")
def variable_length(seed=0, smoke=False):
    "A GRU and an LSTM over sequences of lengths 1 to 40: alone, padded in a batch, and packed."
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 41, 12)
    lengths[:2] = 1, 40
    x = [Tensor(rng.standard_normal((n, 6)).astype(np.float32)) for n in lengths]
    worst = 0.0
    for layer in (nn.GRU(6, 16, 2), nn.LSTM(6, 16, 2)):
        alone = [layer(s)[0].array for s in x]
        padded = unpad_sequence(layer(pad_sequence(x))[0], lengths)
        packed, sizes = pad_packed_sequence(layer(pack_sequence(x, enforce_sorted=False))[0])
        for others in (padded, unpad_sequence(packed, sizes)):
            worst = max(worst, *(np.abs(a - b.array).max() for a, b in zip(alone, others, strict=True)))
    table = Tensor(pad_sequence(x, True).array, requires_grad=True)
    states, _ = layer(table.transpose(0, 1))
    mask = (np.arange(40)[None] < lengths[:, None]).T
    (states * Tensor(mask[..., None].astype(np.float32))).sum().backward()
    behind = np.abs(table.grad.array)[~mask.T].max()
    return [
        Claim("largest difference of an output", float(worst), "<=", 1e-6),
        Claim("largest gradient at a padded step", float(behind), "==", 0.0),
    ]


def _binary_digits():
    return [(np.asarray(p.tensors[0].array).reshape(-1, 64) >= 0.5).astype(np.int64) for p in digits()]


@gate(entry=82, name="naive_sequential")
def naive_sequential(seed=0, smoke=False):
    "A logistic regression for every pixel given all before it (digits 8x8, binary): held-out nats an image."
    train, test = _binary_digits()
    p = (train.sum(0) + 1) / (len(train) + 2)
    independent = -float((test * np.log(p) + (1 - test) * np.log(1 - p)).sum(1).mean())
    chain = -float(MarkovModel(8, vocab=2).fit(train).log_prob(test).array.mean())
    model = FullyVisibleBeliefNet(64)
    optimizer = Adam(model.parameters(), lr=0.03, weight_decay=2e-3)
    for step in range(60 if smoke else 500):
        optimizer.param_groups[0]["lr"] = 0.03 if step < 350 else 0.005
        optimizer.zero_grad()
        (-model.log_prob(train).mean()).backward()
        optimizer.step()
    nats = model.mean_nll(test)
    drawn = model.sample(500, seed=seed)
    ink = abs(drawn.mean() - test.mean())
    count = sum(q.numel() for q in model.parameters())
    if smoke:
        return [
            Claim("nats an image", nats, "<=", independent, ("independent pixels", independent)),
            Claim("parameters", count, "==", 2080),
        ]
    return [
        Claim("nats an image", nats, "<=", 19.6, ("chain of order 8", chain)),
        Claim("nats an image below independent pixels by", independent - nats, ">=", 4.0, ("independent", independent)),
        Claim("parameters", count, "==", 2080),
        Claim("share of ink in samples, off by", ink, "<=", 0.03),
    ]


def _train_windows(model, ids, steps, batch, rng, lr=2e-3):
    optimizer = Adam(model.parameters(), lr=lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, 2 * (1 - step / steps) + 0.05)
        end = rng.integers(model.tau, len(ids), batch)
        spans = ids[end[:, None] - np.arange(model.tau, 0, -1)]
        loss = F.cross_entropy(model(spans), ids[end])
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


@gate(entry=83, name="fixed_span")
def fixed_span(seed=0, smoke=False):
    "A neural n-gram over the last 1, 2, 4 and 8 characters (King James Bible): bits a character on held-out text, against counts."
    tokenizer, train, test = bible()
    rng, found = np.random.default_rng(seed), {}
    judged = test[:4000] if smoke else test
    for tau in (1, 4) if smoke else (1, 2, 4, 8):
        model = WindowLM(len(tokenizer), tau, 32, 64 if smoke else 256)
        _train_windows(model, train, 150 if smoke else 2200, 256, rng, 5e-3 if smoke else 3e-3)
        found[tau] = model.bits(judged)
    if smoke:
        return [Claim("bits a character, span 4 below span 1 by", found[1] - found[4], ">=", 0.1)]
    base = chain_bits(train, test, len(tokenizer), 2)
    claims = [Claim("bits a character, span 4", found[4], "<=", 2.45, ("counts of 2 characters", base))]
    for a, b in ((1, 2), (2, 4), (4, 8)):
        claims.append(Claim(f"bits a character, span {b}", found[b], "<", found[a], (f"span {a}", found[a])))
    return claims


@gate(entry=84, name="markov")
def markov(seed=0, smoke=False):
    "Chains of order 0 to 5 over the characters of the King James Bible: bits on held-out text, and the trained table of order 1."
    tokenizer, train, test = bible()
    vocab = len(tokenizer)
    claims, models = [], {}
    for order, published in TABLE.items():
        if smoke and order > 2:
            break
        models[order] = MarkovModel(order, vocab=vocab).fit(train)
        bits = models[order].bits(test)
        claims.append(Claim(f"bits a character, order {order}, off {published} by", abs(bits - published), "<=", 0.02))
    best = min(models[order].bits(test) for order in models)
    claims.append(Claim("bits a character, best order", best, "<=", 2.7 if smoke else 1.97, ("order 0", TABLE[0])))
    table, optimizer = MarkovTable(vocab), None
    optimizer = Adam(table.parameters(), lr=0.3)
    counts = np.zeros((vocab, vocab))
    np.add.at(counts, (train[:-1], train[1:]), 1)  # the loss needs the counts of the pairs alone
    share = Tensor((counts / counts.sum()).astype(np.float32))
    for step in range(60 if smoke else 400):
        optimizer.param_groups[0]["lr"] = 0.3 if step < 300 else 0.03
        loss = -(F.log_softmax(table.table, -1) * share).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    closed = -float(
        (counts * np.log(np.where(counts > 0, counts / np.maximum(counts.sum(1, keepdims=True), 1), 1))).sum()
    )
    closed /= counts.sum() * np.log(2)
    gap = loss.item() / np.log(2) - closed
    claims.append(Claim("bits by which the trained table misses the counted one", gap, "<=", 0.1 if smoke else 0.005))
    with no_grad():
        rate = models[1].entropy_rate() / np.log(2)
    claims.append(Claim("entropy rate of order 1, off its bits on the training text", abs(rate - closed), "<=", 0.02))
    return claims
