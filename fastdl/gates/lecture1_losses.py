"""Lecture 1: losses. A predicted variance, exact gradients, and logits of any size."""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.data.tables import diabetes
from fastdl.gates import Claim, gate
from fastdl.nn import functional as F
from fastdl.optim import Adam
from fastdl.random import manual_seed


@gate(entry=1, name="losses")
def losses(seed=0, smoke=False):
    """Gaussian NLL with a predicted variance on the diabetes table against squared error with one variance, by the mean NLL
    in nats of folds that were held out; the gradient of cross-entropy against differences in float64; logits of +-1e4."""
    learned, constant = zip(*(_nll(fold, seed) for fold in range(2 if smoke else 5)), strict=True)
    gain = float(np.mean(constant)) - float(np.mean(learned))
    return [
        Claim(
            f"held-out NLL saved by predicting the variance, nats, mean of {len(learned)} folds",
            gain,
            ">=",
            0.01 if smoke else 0.02,
            ("NLL with one variance", float(np.mean(constant))),
        ),
        Claim("largest error of the gradient of cross-entropy against differences", _gradient_error(seed), "<", 1e-6),
        Claim("losses and gradients that are not finite at logits of +-1e4", _not_finite(), "==", 0),
    ]


def _nll(fold, seed):
    """Held-out NLL of a head for mean and log-variance, and of squared error with the variance of its training residuals."""
    parts = diabetes()
    x, y = (np.concatenate([part.tensors[i].array for part in parts]) for i in (0, 1))
    held = np.arange(len(x)) % 5 == fold
    scale, mean, deviation = x[~held].std(0), y[~held].mean(), y[~held].std()
    x, y = x / scale, (y - mean) / deviation
    x, x_test, y, y_test = Tensor(x[~held]), x[held], Tensor(y[~held]), y[held]
    nats = float(np.log(deviation))  # back from standardised units

    def learn(outputs, loss):
        manual_seed(seed)
        net = nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, outputs))
        optimizer = Adam(nn.decay_groups(net, 0.1), lr=1e-2)
        for _ in range(300):
            optimizer.zero_grad()
            loss(net(x)).backward()
            optimizer.step()
        return net

    likelihood = nn.GaussianNLLLoss(full=True)
    head = learn(2, lambda out: likelihood(out[:, :1], y, out[:, 1:].exp()))
    plain = learn(1, lambda out: F.mse_loss(out, y))
    with no_grad():
        out = head(Tensor(x_test))
        learned = likelihood(out[:, :1], Tensor(y_test), out[:, 1:].exp()).item() + nats
        variance = float(F.mse_loss(plain(x), y).item())
        constant = likelihood(plain(Tensor(x_test)), Tensor(y_test), variance).item() + nats
    return learned, constant


def _gradient_error(seed):
    """The gradient of weighted, smoothed cross-entropy against central differences."""
    rng = np.random.default_rng(seed)
    logits, labels, weight = rng.standard_normal((6, 5)) * 3, rng.integers(0, 5, 6), rng.uniform(0.5, 2, 5)

    def loss(z):
        return F.cross_entropy(z, Tensor(labels), Tensor(weight), ignore_index=3, label_smoothing=0.1)

    z = Tensor(logits, requires_grad=True)
    loss(z).backward()
    worst, step = 0.0, 1e-5
    for i in np.ndindex(logits.shape):
        moved = [logits.copy(), logits.copy()]
        moved[0][i] += step
        moved[1][i] -= step
        up, down = (loss(Tensor(m)).item() for m in moved)
        worst = max(worst, abs((up - down) / (2 * step) - z.grad.array[i]))
    return worst


def _not_finite():
    """How many of the losses of classification give inf or NaN, in value or gradient, for float32 logits of +-1e4."""
    bits = Tensor(np.array([[1, 0, 1], [0, 0, 1]], np.float32))
    labels = Tensor(np.array([0, 2]))
    functions = [
        lambda z: F.cross_entropy(z, labels),
        lambda z: F.cross_entropy(z, labels, label_smoothing=0.1),
        lambda z: F.nll_loss(F.log_softmax(z, 1), labels),
        lambda z: F.binary_cross_entropy_with_logits(z, bits, pos_weight=Tensor(np.full(3, 2, np.float32))),
        lambda z: F.multilabel_soft_margin_loss(z, bits),
        lambda z: F.sigmoid_focal_loss(z, bits, reduction="mean"),
        lambda z: F.multi_margin_loss(z, labels),
        lambda z: F.soft_margin_loss(z, bits * 2 - 1),
    ]
    bad = 0
    for function in functions:
        for sign in (1, -1):
            z = Tensor(np.array([[1, -1, 1], [-1, 1, -1]], np.float32) * np.float32(sign * 1e4), requires_grad=True)
            loss = function(z)
            loss.backward()
            bad += not (np.isfinite(loss.array).all() and np.isfinite(z.grad.array).all())
    return bad
