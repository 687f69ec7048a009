"""Lecture 3: early stopping, penalties, noise, label smoothing and dropout, each against the same network without it."""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.data import DataLoader, TensorDataset, digits
from fastdl.gates import Claim, gate
from fastdl.gates._small import accuracy, digit_cnn, few_digits, fit, outputs
from fastdl.metrics import accuracy as accuracy_of
from fastdl.metrics import ece
from fastdl.models.mlp import MLP
from fastdl.nn import functional as F
from fastdl.optim import SGD, Adam, AdamW
from fastdl.random import manual_seed
from fastdl.train import Callback, EarlyStopping, Trainer


def _digits8(n, seed):
    """n images of Digits 8x8 to train on, as many to validate on, and the test part."""
    train, test = digits()
    order = np.random.default_rng(seed).permutation(len(train))
    x, y = (t.array for t in train.tensors)
    a, b = order[:n], order[n : 2 * n]
    return x[a], y[a], x[b], y[b], *(t.array for t in test.tensors)


# -------------------------------------------------------------------------------------------------------- 32


class _Remember(Callback):
    """The weights after every epoch."""

    def __init__(self):
        self.weights = []

    def on_epoch_end(self, trainer, record):
        self.weights.append({k: t.array.copy() for k, t in trainer.model.state_dict().items()})


def _stopped(seed, epochs):
    """(test accuracy of the restored weights, of the last epoch, whether the restored ones are the best epoch's bits)."""
    x, y, x_val, y_val, x_test, y_test = _digits8(150, seed)
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(y)) < 0.2
    y = np.where(wrong, rng.integers(0, 10, len(y)), y)
    manual_seed(seed)
    model = MLP([64, 128, 10])
    remember, stop = _Remember(), EarlyStopping("val_loss", patience=epochs, restore_best=True)
    trainer = Trainer(
        model, F.cross_entropy, Adam(model.parameters(), lr=3e-3), metrics={"accuracy": accuracy_of},
        callbacks=[remember, stop], progress=False,
    )  # fmt: skip
    train = DataLoader(TensorDataset(x, y), batch_size=25, shuffle=True, seed=seed)
    trainer.fit(train, DataLoader(TensorDataset(x_val, y_val), batch_size=150), epochs)
    best = remember.weights[stop.best_epoch - 1]
    same = all(np.array_equal(t.array, best[k]) for k, t in model.state_dict().items())
    restored = accuracy(model, x_test, y_test)
    model.load_state_dict(remember.weights[-1])
    return restored, accuracy(model, x_test, y_test), same


@gate(entry=32, name="early_stopping")
def early_stopping(seed=0, smoke=False):
    """A perceptron 64-128-10 on 150 images of Digits 8x8, a fifth of their labels redrawn; the loss on 150 other images decides
    which epoch is restored. Judged on the test part against the last epoch."""
    runs = [_stopped(s, 60 if smoke else 200) for s in range(seed, seed + (1 if smoke else 5))]
    gain = [restored - last for restored, last, _ in runs]
    return [
        Claim(
            "points of test accuracy over the last epoch (median of the seeds)",
            float(np.median(gain)),
            ">=",
            0.0 if smoke else 1.0,
            ("test accuracy of the last epoch, %", float(np.median([r[1] for r in runs]))),
        ),
        Claim(
            "runs whose restored weights are not the best epoch's, bit for bit", sum(not r[2] for r in runs), "==", 0
        ),
    ]


# -------------------------------------------------------------------------------------------------------- 33


def _full_batch(optimizer_of, penalty, seed):
    """The weights after 60 steps on 100 images, float64, and the network."""
    x, y, *_ = _digits8(100, seed)
    manual_seed(seed)
    model = MLP([64, 16, 10]).double()
    optimizer = optimizer_of(model)
    x, y = Tensor(x.reshape(len(x), -1).astype(np.float64)), Tensor(y)
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        (loss if penalty is None else loss + penalty(model)).backward()
        optimizer.step()
    return np.concatenate([p.array.reshape(-1) for p in model.parameters()])


def _ridge_error(seed):
    """Gradient descent on squared error + l2_penalty against the closed form, the largest difference of a weight."""
    x, y, *_ = _digits8(200, seed)
    x = x.reshape(len(x), -1).astype(np.float64)
    target = np.eye(10)[y]
    strength = 2.0
    want = np.linalg.solve(x.T @ x + strength * np.eye(64), x.T @ target).T
    layer = nn.Linear(64, 10, bias=False).double()
    optimizer = SGD(layer.parameters(), lr=1.5 / (np.linalg.norm(x, 2) ** 2 + strength), momentum=0.95)
    x, target = Tensor(x), Tensor(target)
    for _ in range(2500):
        optimizer.zero_grad()
        (F.mse_loss(layer(x), target, reduction="sum") * 0.5 + nn.l2_penalty(layer, strength)).backward()
        optimizer.step()
    return float(np.abs(layer.weight.array - want).max())


@gate(entry=33, name="norm_penalty")
def norm_penalty(seed=0, smoke=False):
    """L2 as a term of the loss against an optimizer's decay; ridge regression by descent against its closed form; a
    perceptron 64-256-10 on 300 noisy images of Digits 8x8 over a range of strengths, judged on the test part."""
    strengths = [0.0, 3e-2, 1.0] if smoke else [0.0, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0]
    norms, scores = np.zeros(len(strengths)), np.zeros(len(strengths))
    seeds = range(seed, seed + (1 if smoke else 3))
    for s in seeds:
        x, y, _, _, x_test, y_test = _digits8(300, s)
        rng = np.random.default_rng(s)
        y = np.where(rng.random(300) < 0.2, rng.integers(0, 10, 300), y)
        for i, strength in enumerate(strengths):
            model = _penalized(x, y, strength, s, 40 if smoke else 60)
            norms[i] += np.sqrt(sum(float((p.array**2).sum()) for p in model.parameters())) / len(seeds)
            scores[i] += accuracy(model, x_test, y_test) / len(seeds)
    best = int(scores[1:-1].argmax()) + 1
    a = _full_batch(lambda m: SGD(m.parameters(), 0.1, momentum=0.9), lambda m: nn.l2_penalty(m, 0.05), seed)
    b = _full_batch(lambda m: SGD(m.parameters(), 0.1, momentum=0.9, weight_decay=0.05), None, seed)
    c = _full_batch(lambda m: Adam(m.parameters(), 0.01), lambda m: nn.l2_penalty(m, 0.05), seed)
    d = _full_batch(lambda m: AdamW(m.parameters(), 0.01, weight_decay=0.05), None, seed)
    return [
        Claim("SGD: largest difference between penalty and decay", float(np.abs(a - b).max()), "<", 1e-6),
        Claim("Adam: largest difference between penalty and decoupled decay", float(np.abs(c - d).max()), ">", 1e-3),
        Claim("largest difference of descent with l2_penalty from closed-form ridge", _ridge_error(seed), "<", 1e-6),
        Claim("strengths that do not shrink the norm of the weights", int((np.diff(norms) >= 0).sum()), "==", 0),
        Claim(
            f"test accuracy at the inner strength {strengths[best]:g}, %",
            float(scores[best]),
            ">",
            float(max(scores[0], scores[-1])),
            ("the better of no penalty and the largest", float(max(scores[0], scores[-1]))),
        ),
    ]


def _penalized(x, y, strength, seed, epochs):
    manual_seed(seed)
    model = MLP([64, 256, 10])
    return fit(
        model,
        x,
        y,
        epochs,
        seed,
        lr=3e-3,
        loss=lambda out, label: F.cross_entropy(out, label) + nn.l2_penalty(model, strength),
    )


# -------------------------------------------------------------------------------------------------------- 35


def _input_noise_is_ridge(seed):
    """Least squares on many noisy copies against ridge with lambda = n sigma^2: the distance, and that of least squares."""
    x, y, *_ = _digits8(120, seed)
    x, target, sigma, copies = x.reshape(len(x), -1).astype(np.float64), np.eye(10)[y], 0.3, 2000
    manual_seed(seed)
    noise = nn.GaussianNoise(sigma)
    gram, right = np.zeros((64, 64)), np.zeros((64, 10))
    for _ in range(copies):
        noisy = noise(Tensor(x)).array
        gram += noisy.T @ noisy / copies
        right += noisy.T @ target / copies
    ridge = np.linalg.solve(x.T @ x + len(x) * sigma**2 * np.eye(64), x.T @ target)
    plain = np.linalg.lstsq(x, target, rcond=None)[0]
    got = np.linalg.solve(gram, right)
    return float(np.linalg.norm(got - ridge) / np.linalg.norm(ridge)), float(
        np.linalg.norm(plain - ridge) / np.linalg.norm(ridge)
    )


@gate(entry=35, name="noise")
def noise(seed=0, smoke=False):
    """A small CNN on 2,000 digits of MNIST 5k with normal noise of width 0.5 on its inputs while it trains, judged on the test
    part under noise of width 0.7 against the same network without; noise on the inputs of least squares against ridge."""
    n, epochs = (500, 15) if smoke else (2000, 12)
    rows = []
    for s in range(seed, seed + (1 if smoke else 3)):
        x, y, x_test, y_test = few_digits(n, s)
        corrupted = x_test + np.random.default_rng(s).normal(0, 0.7, x_test.shape).astype(np.float32)
        plain = fit(digit_cnn(s, (6, 16)), x, y, epochs, s)
        noisy = fit(digit_cnn(s, (6, 16), first=nn.GaussianNoise(0.5)), x, y, epochs, s)
        rows.append([accuracy(m, data, y_test) for m in (plain, noisy) for data in (x_test, corrupted)])
    clean, under_noise, trained_clean, trained = np.mean(rows, 0)
    distance, before = _input_noise_is_ridge(seed)
    return [
        Claim(
            "points of accuracy gained under noise of width 0.7 (mean of the seeds)",
            trained - under_noise,
            ">=",
            1.0 if smoke else 5.0,
            ("accuracy of the plain network there, %", under_noise),
        ),
        Claim(
            "points of accuracy lost on clean images",
            clean - trained_clean,
            "<=",
            6.0 if smoke else 1.0,
            ("accuracy of the plain network, %", clean),
        ),
        Claim(
            "relative distance of input noise from ridge", distance, "<=", 0.05, ("of least squares from ridge", before)
        ),
    ]


# -------------------------------------------------------------------------------------------------------- 36


@gate(entry=36, name="label_smoothing")
def label_smoothing(seed=0, smoke=False):
    """Label smoothing 0.01 on a CNN on 500 digits of MNIST 5k: calibration error and accuracy on the test part against none;
    for 0.1 equality with explicit soft targets and the gap of logits it converges to. (More than 0.01 makes networks that are
    nearly always right too modest: their calibration error grows again.)"""
    eps, K = 0.1, 10
    rng = np.random.default_rng(seed)
    logits, labels = Tensor(rng.standard_normal((32, K))), rng.integers(0, K, 32)
    soft = Tensor((1 - eps) * np.eye(K)[labels] + eps / K)
    same = abs(
        F.cross_entropy(logits, Tensor(labels), label_smoothing=eps).item() - F.cross_entropy(logits, soft).item()
    )
    free = nn.Parameter(np.zeros((1, K)))
    optimizer = SGD([free], lr=5.0, momentum=0.9)
    for _ in range(400):
        optimizer.zero_grad()
        F.cross_entropy(free, Tensor(np.array([3])), label_smoothing=eps).backward()
        optimizer.step()
    gap = float(free.array[0, 3] - np.delete(free.array[0], 3).mean())
    rows = []
    for s in range(seed, seed + (1 if smoke else 3)):
        x, y, x_test, y_test = few_digits(500, s)
        for smoothing in (0.0, 0.01):
            loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
            out = outputs(fit(digit_cnn(s, (6, 16) if smoke else (16, 32)), x, y, 40, s, loss=loss), x_test)
            p = np.exp(out - out.max(1, keepdims=True))
            rows.append((100 * (out.argmax(1) == y_test).mean(), ece(p / p.sum(1, keepdims=True), y_test)))
    (accuracy_plain, ece_plain), (accuracy_smooth, ece_smooth) = (np.mean(rows[i::2], 0) for i in (0, 1))
    return [
        Claim("difference from cross-entropy with explicit soft targets", same, "<", 1e-7),
        Claim(
            "difference of the logits' gap at the optimum from ln((1 - eps + eps/K) / (eps/K))",
            abs(gap - np.log((1 - eps + eps / K) / (eps / K))),
            "<",
            1e-3,
        ),
        Claim("calibration error on the test part", ece_smooth, "<", ece_plain, ("without smoothing", ece_plain)),
        Claim(
            "test accuracy, % (mean of the seeds)",
            accuracy_smooth,
            ">=",
            accuracy_plain - 0.5,
            ("without smoothing", accuracy_plain),
        ),
    ]


# -------------------------------------------------------------------------------------------------------- 39


def _entropy(model, x, passes):
    """The entropy of the mean prediction over dropout masks, in nats, a number an image."""
    model.train()
    with no_grad():
        p = np.mean([F.softmax(model(Tensor(x)), 1).array for _ in range(passes)], 0)
    model.eval()
    return -(p * np.log(np.maximum(p, 1e-12))).sum(1)


@gate(entry=39, name="dropout")
def dropout(seed=0, smoke=False):
    """A perceptron 784-1024-1024-10 on 1,000 digits of MNIST 5k with dropout 0.5, judged on the test part against none; the mean
    of dropout; its entropy over masks on noise and on digits."""
    n, epochs, hidden = (300, 25, 256) if smoke else (1000, 20, 1024)
    rows, entropies = [], []
    for s in range(seed, seed + (1 if smoke else 3)):
        x, y, x_test, y_test = few_digits(n, s)
        for p in (0.0, 0.5):
            manual_seed(s)
            model = fit(MLP([784, hidden, hidden, 10], dropout=p), x, y, epochs, s, lr=2e-3)
            rows.append((accuracy(model, x_test, y_test), accuracy(model, x, y)))
        grey = np.random.default_rng(s).random((200, 1, 28, 28), np.float32)
        entropies.append([float(_entropy(model, images, 20).mean()) for images in (grey, x_test[:200])])
    (plain, plain_train), (dropped, dropped_train) = (np.mean(rows[i::2], 0) for i in (0, 1))
    on_noise, on_digits = np.mean(entropies, 0)
    manual_seed(seed)
    layer, ones = nn.Dropout(0.5), Tensor(np.ones(1_000_000, np.float32))
    mean = float(layer(ones).array.mean(dtype=np.float64))
    return [
        Claim("difference of the mean of dropped ones from 1", abs(mean - 1), "<", 5e-3),
        Claim("numbers that dropout changes in evaluation mode", int((layer.eval()(ones).array != 1).sum()), "==", 0),
        Claim(
            "points of test accuracy gained (mean of the seeds)",
            dropped - plain,
            ">=",
            -1.0 if smoke else 0.5,
            ("accuracy without dropout, %", plain),
        ),
        Claim(
            "gap between training and test accuracy, points",
            dropped_train - dropped,
            "<",
            plain_train - plain,
            ("without dropout", plain_train - plain),
        ),
        Claim("entropy over masks on noise, nats", on_noise, ">", on_digits, ("on digits", on_digits)),
    ]
