"""Lecture 2: linear networks, perceptrons, what depth adds and what width can do, and the names of torch."""

import numpy as np

import fastdl
from fastdl import nn
from fastdl.data import digits, mnist5k, photos, tables
from fastdl.gates import Claim, gate
from fastdl.metrics import rmse
from fastdl.models import MLP, LinearRegression, SoftmaxRegression
from fastdl.optim import SGD
from fastdl.selection import Estimator, approximation_curve, collapse_linear
from fastdl.selection.networks import hidden_layer


def arrays(split, part=None):
    """x, y, x_test, y_test; only the first `part` training items (in an order that mixes the classes)."""
    (x, y), (xt, yt) = ([t.array for t in half.tensors] for half in split)
    if part is not None:
        pick = np.random.default_rng(0).permutation(len(x))[:part]
        x, y = x[pick], y[pick]
    return x, y, xt, yt


def nearest_neighbour(x, y, xt, yt) -> float:
    """Test accuracy of the nearest training item."""
    a, b = (v.reshape(len(v), -1).astype(np.float64) for v in (x, xt))
    nearest = ((a**2).sum(1) - 2 * b @ a.T).argmin(1)
    return float((y[nearest] == yt).mean())


def softmax_regression(x, y, xt, yt, seed, epochs=30) -> float:
    model = SoftmaxRegression(int(np.prod(x.shape[1:])), 10)
    return Estimator(model, lr=1e-3, epochs=epochs, schedule="cosine", seed=seed).fit(x, y).score(xt, yt)


@gate(entry=8, name="linear_networks")
def linear_networks(seed=0, smoke=False):
    """Linear regression on diabetes by gradient descent beside its closed form; softmax regression on 8x8 digits and MNIST 5k."""
    train, test = tables.diabetes()
    (x, y), (xt, yt) = train.tensors, test.tensors
    mean, std = x.array.mean(0), x.array.std(0)
    x, xt = ((a.array - mean) / std for a in (x, xt))
    solved = LinearRegression(10, 1).solve(x, y)
    closed = rmse(solved(fastdl.tensor(xt)).detach(), yt) ** 2
    model = LinearRegression(10, 1)
    optimizer = SGD(model.parameters(), lr=0.1)
    inputs = fastdl.tensor(x)
    for _ in range(300 if smoke else 3000):  # all rows in every step
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), y).backward()
        optimizer.step()
    descent = rmse(model(fastdl.tensor(xt)).detach(), yt) ** 2
    constant = float(((yt.array - y.array.mean()) ** 2).mean())
    excess = descent / closed - 1
    claims = [
        Claim(
            "test error of gradient descent over that of the closed form, minus 1",
            abs(excess),
            "<=",
            0.05 if smoke else 0.005,
        ),
        Claim(
            "test mean squared error, diabetes", descent, "<", 0.75 * constant, ("mean of the training part", constant)
        ),
    ]
    x, y, xt, yt = arrays(digits())
    model = Estimator(SoftmaxRegression(64, 10), lr=1e-2, epochs=8 if smoke else 40, schedule="cosine", seed=seed)
    most = float((yt == np.bincount(y).argmax()).mean())
    claims.append(
        Claim(
            "test accuracy, digits 8x8",
            model.fit(x, y).score(xt, yt),
            ">=",
            0.92 if smoke else 0.95,
            ("commonest class", most),
        )
    )
    x, y, xt, yt = arrays(mnist5k(), 1000 if smoke else None)
    value = softmax_regression(x, y, xt, yt, seed, 10 if smoke else 30)
    claims.append(Claim("test accuracy, MNIST 5k", value, ">=", 0.8 if smoke else 0.89, ("commonest class", 0.1)))
    return claims


@gate(entry=10, name="mlp_digits")
def mlp_digits(seed=0, smoke=False):
    """Perceptrons: 784-256-128-10 on MNIST 5k and 64-64-32-10 on 8x8 digits, judged on their test parts."""
    x, y, xt, yt = arrays(mnist5k(), 1500 if smoke else None)
    model = MLP([784, 256, 128, 10], dropout=0.0 if smoke else 0.3)
    count = sum(p.numel() for p in model.parameters())
    net = Estimator(model, epochs=6 if smoke else 30, schedule="cosine", seed=seed).fit(x, y)
    linear = softmax_regression(x, y, xt, yt, seed, 6 if smoke else 30)
    value, neighbour = net.score(xt, yt), nearest_neighbour(x, y, xt, yt)
    claims = [
        Claim("parameters", count, "==", 235_146),
        Claim("test accuracy, MNIST 5k", value, ">=", 0.88 if smoke else 0.925, ("softmax regression", linear)),
        Claim(
            "test accuracy, MNIST 5k, beside a neighbour",
            value,
            ">",
            neighbour - (0.02 if smoke else 0),
            ("nearest neighbour", neighbour),
        ),
    ]
    x, y, xt, yt = arrays(digits())
    net = Estimator(
        MLP([64, 64, 32, 10], dropout=0.1), lr=2e-3, epochs=10 if smoke else 60, schedule="cosine", seed=seed
    )
    value = net.fit(x, y).score(xt, yt)
    linear = Estimator(SoftmaxRegression(64, 10), lr=1e-2, epochs=20, schedule="cosine").fit(x, y).score(xt, yt)
    return [
        *claims,
        Claim("test accuracy, digits 8x8", value, ">=", 0.93 if smoke else 0.97, ("softmax regression", linear)),
    ]


@gate(entry=11, name="linear_collapse")
def linear_collapse(seed=0, smoke=False):
    """A linear network of five layers on MNIST 5k is one matrix, and no better than softmax regression; with ReLU it is."""
    x, y, xt, yt = arrays(mnist5k(), 1000 if smoke else None)
    sizes, epochs = [784, 256, 128, 64, 64, 10], 8 if smoke else 30
    best, nets = {}, {}

    def watch(name):
        """Notes the best test accuracy after any epoch: what a network could reach, whatever moment is chosen to stop."""

        def note(estimator, epoch):
            best[name] = max(best.get(name, 0.0), float((estimator.decision_function(xt).argmax(1) == yt).mean()))

        return note

    slow = 1e-3 if smoke else 3e-4  # a deep linear network overfits soonest
    models = {
        "one layer": (lambda: SoftmaxRegression(784, 10), slow),
        "linear": (lambda: MLP(sizes, act=None, init="xavier"), slow),
        "relu": (lambda: MLP(sizes), 1e-3),
    }
    for name, (make, lr) in models.items():
        nets[name] = Estimator(make(), lr=lr, epochs=epochs, schedule="cosine", seed=seed, callback=watch(name)).fit(
            x, y
        )
    linear = nets["linear"]
    collapsed = collapse_linear(linear.module)
    inputs = fastdl.tensor(xt.reshape(len(xt), -1))
    deep, flat = linear.module(inputs).array, collapsed(inputs).array
    apart = float(np.abs(deep - flat).max() / np.abs(deep).max())
    rank = int(np.linalg.matrix_rank(collapsed[0].weight.array, rtol=1e-5))
    bottleneck = MLP([784, 5, 64, 10], act=None)
    narrow = int(np.linalg.matrix_rank(collapse_linear(bottleneck)[0].weight.array, rtol=1e-5))
    return [
        Claim("largest difference between five layers and one, relative", apart, "<=", 1e-5),
        Claim("layers left", len(collapsed), "==", 1),
        Claim("rank of the product", rank, "<=", 10),
        Claim("rank of the product through a layer of 5", narrow, "<=", 5),
        Claim(
            "distance of its best test accuracy from that of softmax regression",
            round(abs(best["linear"] - best["one layer"]), 6),
            "<=",
            0.03 if smoke else 0.01,
            ("softmax regression", best["one layer"]),
        ),
        Claim(
            "gain in best test accuracy by ReLU",
            round(best["relu"] - best["linear"], 6),
            ">=",
            0.0 if smoke else 0.03,
            ("without ReLU", best["linear"]),
        ),
    ]


@gate(entry=12, name="universal_approximation")
def universal_approximation(seed=0, smoke=False):
    """One hidden layer fitted to a row of the photograph camera: wider comes nearer, unless the optimizer cannot find it."""
    row = photos()["camera"][256].astype(np.float64)
    signal = row.reshape(128, -1).mean(1)
    signal = (signal - signal.mean()) / signal.std()
    place = np.linspace(-1, 1, 128)
    polynomial = rmse(np.polyval(np.polyfit(place, signal, 5), place), signal)
    widths = [4, 64] if smoke else [4, 16, 64, 256]
    seeds, epochs = (1, 400) if smoke else (3, 2000)
    curve = approximation_curve(
        signal, widths, seeds=seeds, make_model=lambda width: hidden_layer(width, epochs=epochs)
    )
    sup, error = np.median(curve.sup, 1), np.median(curve.rmse, 1)
    falls = bool((np.diff(sup) < 0).all())
    bad = approximation_curve(
        signal, [256], seeds=1, make_model=lambda width: hidden_layer(width, epochs=500, lr=1e-5, optimizer="sgd")
    )
    baseline = ("polynomial of degree 5", polynomial)
    text = ", ".join(f"{w}: {s:.3g}" for w, s in zip(widths, sup, strict=True))
    return [
        Claim(f"largest error falls with the width (median; {text})", falls, "==", True),
        Claim(
            f"root mean squared error at width {widths[-1]}",
            error[-1],
            "<",
            (0.8 if smoke else 0.25) * polynomial,
            baseline,
        ),
        Claim("the same width under gradient descent with a tiny rate", bad.rmse[0, 0], ">", polynomial, baseline),
    ]


@gate(entry=13, name="torch_parity")
def torch_parity(seed=0, smoke=False):
    """48 layers beside results stored from PyTorch: outputs, and gradients of inputs and parameters; nothing is trained."""
    from fastdl.gates.torch_layers import largest_deviations

    deviations = largest_deviations(nn, fastdl.tensor)
    worst = max(deviations, key=deviations.get)
    return [
        Claim("layers compared", len(deviations), "==", 48),
        Claim(f"largest deviation, relative (of {worst})", deviations[worst], "<=", 1e-5),
    ]
