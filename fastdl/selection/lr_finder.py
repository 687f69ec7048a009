"""Find a learning rate: raise it from tiny to huge in one short run and look where the loss falls fastest.

Ref  Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np


@dataclass
class RateCurve:
    """The loss (smoothed) at each learning rate tried, and the rate where it falls most steeply."""

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float


def find_lr(model, loss, optimizer, batches, start=1e-6, end=10.0, steps=100, smooth=0.9, stop=4.0) -> RateCurve:
    """One step at each of `steps` rates from `start` to `end`, evenly spaced in the logarithm.

    batches    an iterable of batches, started again where it ends; the last field of each is the target
    smooth     share of the running mean that stays
    stop       end when the smoothed loss is so many times its minimum
    Model, optimizer (rates and state) and training mode are afterwards as they were before.
    """
    if not 0 < start < end or steps < 10:
        raise ValueError(f"find_lr: needs 0 < start < end and at least 10 steps; got {start}, {end}, {steps}")
    weights = {name: t.array.copy() for name, t in model.state_dict().items()}
    before = _copy(optimizer.state_dict())
    was_training = model.training
    rates, losses, mean = [], [], 0.0
    model.train()
    try:
        for i, batch in enumerate(itertools.islice(_endless(batches), steps)):
            rate = start * (end / start) ** (i / (steps - 1))
            for group in optimizer.param_groups:
                group["lr"] = rate
            *inputs, target = batch
            value = loss(model(*inputs), target)
            number = value.item()
            mean = smooth * mean + (1 - smooth) * number
            now = mean / (1 - smooth ** (i + 1))
            if not math.isfinite(number) or (losses and now > stop * min(losses)):
                break
            rates.append(rate)
            losses.append(now)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    finally:
        model.load_state_dict(weights)
        optimizer.load_state_dict(before)
        optimizer.zero_grad()
        model.train(was_training)
    if len(rates) < 10:
        raise ValueError(f"find_lr: the loss broke after {len(rates)} steps; start lower than {start:g}")
    rates, losses = np.array(rates), np.array(losses)
    lowest = max(int(losses.argmin()), 2)
    slope = np.gradient(losses, np.log(rates))[: lowest + 1]
    return RateCurve(rates, losses, float(rates[slope.argmin()]))


def _endless(batches):
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise ValueError("find_lr: the loader gave no batches")


def _copy(state):
    """A state_dict whose arrays are no longer the optimizer's."""
    if isinstance(state, dict):
        return {key: _copy(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(_copy(value) for value in state)
    return state.array.copy() if hasattr(state, "array") else state
