"""Training loops over text that recipes and gates share."""

import math

import numpy as np

from fastdl.nn.utils import clip_grad_norm_
from fastdl.optim import AdamW
from fastdl.optim.lr_scheduler import LambdaLR


def adamw(model, lr, weight_decay=0.1, betas=(0.9, 0.95), eps=1e-8):
    """AdamW that decays matrices only."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if len(p.shape) > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if len(p.shape) <= 1], "weight_decay": 0.0},
    ]
    return AdamW([g for g in groups if g["params"]], lr=lr, betas=betas, eps=eps)


def warm_cosine(optimizer, steps, warmup=100, least=0.1):
    """The learning rate rises linearly for `warmup` steps, then falls as a cosine to `least` of its height at `steps`."""

    def factor(t):
        if t < warmup:
            return (t + 1) / warmup
        part = min(1.0, (t - warmup) / max(1, steps - warmup))
        return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * part))

    return LambdaLR(optimizer, factor)


def windows(ids, length):
    """(inputs (N, length), targets (N, length)): a text (T,) cut into parts that follow each other, targets one further."""
    n = (len(ids) - 1) // length
    if n < 1:
        raise ValueError(f"the text has {len(ids)} tokens; a window of {length} needs {length + 1}")
    return ids[: n * length].reshape(n, length), ids[1 : n * length + 1].reshape(n, length)


def random_windows(ids, length, batch, rng):
    """One batch (inputs, targets), each (batch, length), from random places of a text."""
    starts = rng.integers(0, len(ids) - length, batch)
    rows = ids[starts[:, None] + np.arange(length + 1)]
    return rows[:, :-1], rows[:, 1:]


def fit(model, batches, loss, optimizer, scheduler=None, clip=1.0):
    """Train on an iterable of (*inputs, target); loss(output, target). Returns the losses."""
    model.train()
    losses = []
    for *inputs, target in batches:
        value = loss(model(*inputs), target)
        optimizer.zero_grad()
        value.backward()
        if clip:
            clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(value.item())
        if not math.isfinite(losses[-1]):
            raise RuntimeError(f"the loss is {losses[-1]} after {len(losses)} steps; hint: a smaller learning rate")
    return losses
