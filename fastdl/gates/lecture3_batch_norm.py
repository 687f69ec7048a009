"""Lecture 3: batch normalization in a network too deep to train without it."""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.gates import Claim, gate
from fastdl.gates._small import accuracy, few_digits, fit, outputs
from fastdl.models.mlp import MLP
from fastdl.optim import SGD
from fastdl.random import manual_seed

SIZES = [784, *[100] * 9, 10]  # ten layers


def _accuracy(norm, act, rate, seed, n, epochs):
    """(test accuracy, the trained network, test images)."""
    x, y, x_test, y_test = few_digits(n, seed)
    manual_seed(seed)
    model = MLP(SIZES, act=act, norm=norm, init="xavier")
    with np.errstate(all="ignore"):  # without the norm, large rates may run to infinity: that is the point
        fit(model, x, y, epochs, seed, optimizer=SGD(model.parameters(), lr=rate, momentum=0.9))
    return accuracy(model, x_test, y_test), model, x_test


@gate(entry=40, name="batch_norm")
def batch_norm(seed=0, smoke=False):
    """Perceptrons of ten layers, sigmoid and ReLU, on MNIST 5k by SGD with momentum 0.9 at rates of 0.1 and 0.3, some ten times
    what plain networks stand, with and without batch norm, judged on the test part; the folded network against the whole one;
    a batch of one."""
    n, epochs = (1500, 6) if smoke else (4000, 12)
    rows = {
        (act, norm): _accuracy(norm, act, rate, seed, n, epochs)
        for act, rate in (("sigmoid", 0.1), ("relu", 0.3))
        for norm in ("batch", None)
    }
    value, model, x_test = rows["relu", "batch"]
    whole, folded = outputs(model, x_test), outputs(nn.fold_batchnorm(model), x_test)
    try:
        model.train()
        model(Tensor(x_test[:1]))
        refused = 0
    except ValueError:
        refused = 1
    plain = rows["relu", None][0]
    sigmoid, plain_sigmoid = rows["sigmoid", "batch"][0], rows["sigmoid", None][0]
    return [
        Claim(
            "test accuracy, ReLU with batch norm, %", value, ">=", 60.0 if smoke else 93.0, ("ReLU without it", plain)
        ),
        Claim("test accuracy, ReLU without batch norm, %", plain, "<=", 50.0),
        Claim(
            "test accuracy, sigmoid with batch norm, %",
            sigmoid,
            ">=",
            60.0 if smoke else 90.0,
            ("sigmoid without it", plain_sigmoid),
        ),
        Claim("test accuracy, sigmoid without batch norm, %", plain_sigmoid, "<=", 50.0),
        Claim(
            "largest difference of the folded network's results, relative",
            float(np.abs(whole - folded).max() / np.abs(whole).max()),
            "<",
            1e-4,
        ),
        Claim("batches of one image that training refuses, of 1", refused, "==", 1),
    ]
