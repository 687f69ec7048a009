"""What the gates of gradient descent and of the optimizers share: softmax regression on small digits, a network per optimizer."""

import numpy as np

from fastdl import optim
from fastdl.autograd import Tensor, grad
from fastdl.data import digits
from fastdl.gates import Claim
from fastdl.gates._small import accuracy, digit_cnn, few_digits, fit
from fastdl.nn import functional as F

LOGISTIC = ("logistic regression", 0.906)
RATES = {  # the best of two or three on 1,000 training images that were held out
    "SGD": {"lr": 0.05, "momentum": 0.9},
    "NAG": {"lr": 0.1, "momentum": 0.9, "form": "torch"},  # the loop computes the gradients before it calls step()
    "Adagrad": {"lr": 0.04, "form": "lecture"},
    "Adadelta": {"lr": 3.0},
    "RMSprop": {"lr": 2e-3, "alpha": 0.9, "form": "lecture"},
    "Adam": {"lr": 4e-3},
    "AdamW": {"lr": 4e-3},
    "RAdam": {"lr": 1e-2},
    "AdamP": {"lr": 4e-3, "weight_decay": 1e-2},
    "SGDP": {"lr": 0.1, "momentum": 0.9},
}


def digits_claim(name, seed, smoke, bound=0.96):
    """Test accuracy on MNIST 5k of two convolutions and two linear layers, trained by one optimizer."""
    x, y, xt, yt = few_digits(1000 if smoke else 4000, seed)
    if smoke:
        xt, yt, bound = xt[:500], yt[:500], 0.5
    model = digit_cnn(seed, (8, 16) if smoke else (16, 32))
    optimizer = getattr(optim, name)(model.parameters(), **RATES[name])
    fit(model, x, y, 5 if smoke else 10, seed, optimizer=optimizer)
    return Claim(f"test accuracy by {name}", accuracy(model, xt, yt) / 100, ">=", bound, LOGISTIC)


def small_digits():
    """x / 16 with a column of ones (N, 65), y; the test part too."""
    parts = []
    for half in digits():
        images, labels = (t.array for t in half.tensors)
        flat = images.reshape(len(images), -1)
        flat = flat / max(1.0, float(flat.max()))
        parts += [np.concatenate([flat, np.ones((len(flat), 1), flat.dtype)], 1).astype(np.float64), labels]
    return parts


def softmax_loss(w, x, y):
    """Mean cross-entropy of softmax regression with weights w (10, D)."""
    return F.cross_entropy(Tensor(x) @ w.T, Tensor(y))


def gradient(w, x, y):
    """Its gradient, an array (10, D)."""
    return grad(softmax_loss(w, x, y), w)[0].array


def plain_gradient(w, x, y):
    """The same gradient by its formula: (softmax - one-hot)^T x / B; thousands of single samples in a loop."""
    scores = x @ w.T
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return p.T @ x / len(y)
