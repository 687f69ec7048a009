"""What the gates of the regularizers share: few digits to learn from, a small network, and one loop."""

import math

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.data import DataLoader, TensorDataset, mnist5k
from fastdl.data.transforms import TransformedDataset
from fastdl.nn import functional as F
from fastdl.optim import Adam
from fastdl.random import manual_seed


def few_digits(n, seed):
    """n images of MNIST 5k's training part drawn by the seed, and its whole test part: x (n, 1, 28, 28), y, x_test, y_test."""
    train, test = mnist5k()
    chosen = np.random.default_rng(seed).permutation(len(train))[:n]
    return (
        train.tensors[0].array[chosen],
        train.tensors[1].array[chosen],
        test.tensors[0].array,
        test.tensors[1].array,
    )


def digit_cnn(seed, channels=(16, 32), hidden=64, first=None):
    """Two convolutions 5x5 with pooling and two linear layers; first: a layer before them."""
    manual_seed(seed)
    a, b = channels
    layers = [
        nn.Conv2d(1, a, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(a, b, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16 * b, hidden), nn.ReLU(), nn.Linear(hidden, 10),
    ]  # fmt: skip
    return nn.Sequential(*([first] if first is not None else []), *layers)


def fit(model, x, y, epochs, seed, lr=2e-3, batch=50, transform=None, mix=None, loss=F.cross_entropy, optimizer=None):
    """Train by Adam with a cosine decay of the rate; transform and mix as TransformedDataset takes them."""
    data = TransformedDataset(TensorDataset(x, y), transform, mix)
    loader = DataLoader(data, batch_size=batch, shuffle=True, seed=seed)
    optimizer = optimizer or Adam(model.parameters(), lr=lr)
    rate, steps, step = optimizer.param_groups[0]["lr"], epochs * len(loader), 0
    model.train()
    for _ in range(epochs):
        for images, labels in loader:
            for group in optimizer.param_groups:
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.zero_grad()
            loss(model(images), labels).backward()
            optimizer.step()
            step += 1
    return model.eval()


def outputs(model, x, batch=500):
    """The model's results for x in evaluation mode, an array."""
    model.eval()
    with no_grad():
        return np.concatenate([model(Tensor(x[i : i + batch])).array for i in range(0, len(x), batch)])


def accuracy(model, x, y):
    """The share of right answers, in per cent."""
    return 100 * float((outputs(model, x).argmax(1) == y).mean())
