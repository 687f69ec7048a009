"""Lecture 3: the generalization gap, cross-validation, bias and variance, bootstrap, ensembles, flat and sharp minima."""

import itertools

import numpy as np

from fastdl.data import digits, mnist5k, tables
from fastdl.gates import Claim, gate
from fastdl.metrics import rmse
from fastdl.models import MLP, LinearRegression, SoftmaxRegression
from fastdl.random import manual_seed
from fastdl.selection import (
    AdaBoost,
    Bagging,
    Estimator,
    GradientBoosting,
    Standardized,
    StratifiedKFold,
    bias_variance,
    bootstrap_ci,
    bootstrap_indices,
    cross_validate,
    generalization_curve,
    out_of_bag,
    sharpness,
    stump,
)
from fastdl.selection.estimator import new_model


def arrays(split):
    """x, y, x_test, y_test."""
    (x, y), (xt, yt) = ([t.array for t in half.tensors] for half in split)
    return x, y, xt, yt


def diabetes():
    """The same with targets (N,)."""
    x, y, xt, yt = arrays(tables.diabetes())
    return x, y[:, 0], xt, yt[:, 0]


@gate(entry=14, name="generalization_gap")
def generalization_gap(seed=0, smoke=False):
    """A perceptron 784-512-10 trained to convergence on 200, 1,000 and 4,000 digits of MNIST 5k; and on random labels."""
    x, y, xt, yt = arrays(mnist5k())
    sizes, seeds = ([100, 800], 1) if smoke else ([200, 1000, 4000], 3)

    def make(seed, epochs=200):
        return Estimator(MLP([784, 512, 10]), epochs=epochs, tol=0.01, seed=seed)

    curve = generalization_curve(make, (x, y), (xt, yt), sizes, seeds=seeds)
    gap, error = curve.gap, 1 - np.median(curve.test, 1)
    rest = 120 if smoke else 1000
    control = generalization_curve(make, (x, y), (xt, yt), [rest], seeds=1, random_labels=True)
    text = ", ".join(f"{n}: {g:.3f}" for n, g in zip(sizes, gap, strict=True))
    return [
        Claim(f"least fall of the gap from size to size (median; {text})", -np.diff(gap).max(), ">", 0),
        Claim("least fall of the test error from size to size", -np.diff(error).max(), ">", 0),
        Claim(
            f"test accuracy from {sizes[-1]} images",
            1 - error[-1],
            ">",
            1 - error[0],
            (f"from {sizes[0]}", 1 - error[0]),
        ),
        Claim(f"training accuracy on {rest} random labels", control.train[0, 0], ">", 0.95, ("chance", 0.1)),
        Claim("test accuracy after random labels", control.test[0, 0], "<=", 0.2, ("chance", 0.1)),
    ]


@gate(entry=15, name="cross_validation")
def cross_validation(seed=0, smoke=False):
    """The weight decay of a perceptron on 300 digits 8x8 chosen by 5-fold cross-validation, judged on the test part."""
    x, y, xt, yt = arrays(digits())
    pick = np.random.default_rng(0).permutation(len(x))[:300]
    xs, ys = x[pick], y[pick]
    folds = list(StratifiedKFold(5, seed=seed).split(x, y))
    shares = np.bincount(y) / len(y)
    apart = max(np.abs(np.bincount(y[judge]) / len(judge) - shares).max() for _, judge in folds)
    tested = np.sort(np.concatenate([judge for _, judge in folds]))
    grid = [0.0, 1.0] if smoke else [0.0, 0.01, 0.1, 0.3, 1.0, 3.0]

    def make(decay, seed=0):
        net = MLP([64, 64, 10])
        return Estimator(net, optimizer="adamw", lr=3e-3, epochs=10 if smoke else 40, weight_decay=decay, seed=seed)

    found = cross_validate(make, xs, ys, {"decay": grid}, k=5, seed=seed)
    on_test = {}
    for decay in grid:
        on_test[decay] = new_model(make, seed, decay=decay).fit(xs, ys).score(xt, yt)
    chosen = found.model.score(xt, yt)
    table, target, *_ = diabetes()
    leak = []  # the scaler of every fold, beside the one fitted to all of the data before the split

    class Watched(Standardized):
        def fit(self, x, y, **settings):
            leak.append(float(np.abs(x.mean(0) - table.mean(0)).max()))
            return super().fit(x, y, **settings)

    cross_validate(lambda: Watched(Estimator(LinearRegression(10), epochs=1)), table, target, k=5, refit=False)
    return [
        Claim("items that are in exactly one test part", int((tested == np.arange(len(y))).sum()), "==", len(y)),
        Claim("largest difference of a class's share in a fold", apart, "<=", 0.01),
        Claim(
            "test accuracy of the chosen setting below the best of the grid on test",
            max(on_test.values()) - chosen,
            "<=",
            0.02 if smoke else 0.005,
            ("worst of the grid", max(on_test.values()) - min(on_test.values())),
        ),
        Claim("least difference between a scaler in the fold and one before the split", min(leak), ">", 0),
    ]


class PolynomialRidge:
    """Ridge regression on all products of up to `degree` standardised columns, each product standardised again."""

    def __init__(self, degree: int, l2: float):
        self.degree, self.l2 = degree, l2

    def _products(self, x):
        x = ((x - self.mean) / self.std).astype(np.float64)
        columns = range(x.shape[1])
        powers = (itertools.combinations_with_replacement(columns, k) for k in range(1, self.degree + 1))
        return np.stack([x[:, list(c)].prod(1) for c in itertools.chain(*powers)], 1)

    def fit(self, x, y):
        self.mean, self.std = x.mean(0), x.std(0)
        f = self._products(x)
        self.shift, self.scale, self.level = f.mean(0), f.std(0), y.mean()
        f = (f - self.shift) / self.scale
        self.weight = f.T @ np.linalg.solve(
            f @ f.T + self.l2 * np.eye(len(f)), y - self.level
        )  # few rows, many columns
        return self

    def predict(self, x):
        return (self._products(x) - self.shift) / self.scale @ self.weight + self.level


@gate(entry=16, name="bias_variance")
def bias_and_variance(seed=0, smoke=False):
    """Ridge regression on polynomials of degree 1 to 4 on diabetes, 30 bootstrap replicas each; and 0-1 loss on digits 8x8.

    All replicas are drawn from one sample of 354, so beyond the best degree the mean prediction overfits that sample too: bias and
    noise together fall up to there only, while the variance rises throughout.
    """
    x, y, xt, yt = diabetes()
    degrees, replicas = [1, 2, 3, 4], 6 if smoke else 30
    found = [bias_variance(lambda d=d: PolynomialRidge(d, 600.0), x, y, xt, yt, replicas, seed=seed) for d in degrees]
    bias, variance, total = (np.array([getattr(f, name) for f in found]) for name in ("bias", "variance", "error"))
    best = int(total.argmin())
    text = ", ".join(f"{d}: {t:.0f}" for d, t in zip(degrees, total, strict=True))
    mean = float(((yt - y.mean()) ** 2).mean())
    x, y, xt, yt = arrays(digits())
    zero_one = bias_variance(
        lambda: Estimator(SoftmaxRegression(64, 10), lr=1e-2, epochs=10),
        x[:200],
        y[:200],
        xt,
        yt,
        5 if smoke else 20,
        seed=seed,
    )
    return [
        Claim("least rise of the variance from degree to degree", np.diff(variance).min(), ">", 0),
        Claim("fall of squared bias and noise from degree 1 to the best", bias[0] - bias[best], ">", 0),
        Claim(f"degree of the least error ({text})", degrees[best], ">", 1),
        Claim("degree of the least error, from above", degrees[best], "<", degrees[-1]),
        Claim("least error", total[best], "<", total[0], ("mean of the training part", mean)),
        Claim("largest violation of error = bias + variance", max(f.gap for f in found), "<=", 1e-9),
        Claim("the same for 0-1 loss", zero_one.gap, "<=", 1e-9),
        Claim("0-1 loss: error above bias by net variance", zero_one.error - zero_one.bias, "<", zero_one.variance),
    ]


@gate(entry=17, name="bootstrap")
def bootstrap(seed=0, smoke=False):
    """Out-of-bag shares at n = 1,437; and how often 95 % intervals of a digit classifier's accuracy hold the true value."""
    n = 1437
    share = float(out_of_bag(bootstrap_indices(n, 50, seed)).mean())
    x, y, xt, yt = arrays(digits())
    model = Estimator(SoftmaxRegression(64, 10), lr=1e-2, epochs=15, seed=seed).fit(x[:150], y[:150])
    x, y = np.concatenate([x[150:], xt]), np.concatenate([y[150:], yt])  # everything the classifier has not seen
    right = (model.predict(x) == y).astype(np.float64)
    truth = right.mean()
    rng = np.random.default_rng(seed)
    simulated, size = (100, 150) if smoke else (400, 300)
    claims = [Claim("share of items out of the bag", share, ">=", 0.36, ("limit 1/e", float(np.exp(-1))))]
    claims.append(Claim("share of items out of the bag, from above", share, "<=", 0.375))
    for method in ("percentile", "bca"):
        covered = 0
        for i in range(simulated):
            subset = right[rng.integers(0, len(right), size)]
            _, low, high = bootstrap_ci(np.mean, subset, B=200 if smoke else 1000, method=method, seed=i)
            covered += low <= truth <= high
        held = covered / simulated
        claims.append(
            Claim(
                f"intervals that hold the true accuracy, {method}", held, ">=", 0.88 if smoke else 0.92, ("aim", 0.95)
            )
        )
        claims.append(
            Claim(f"intervals that hold the true accuracy, {method}, from above", held, "<=", 0.99 if smoke else 0.98)
        )
    return claims


@gate(entry=18, name="bagging")
def bagging(seed=0, smoke=False):
    """15 perceptrons on 300 digits 8x8, alone and together; and the variance of perceptrons on diabetes, alone and bagged."""
    x, y, xt, yt = arrays(digits())
    rounds, n, epochs = (1, 5, 15) if smoke else (5, 15, 30)
    over_mean, over_best, oob, members, together = [], [], [], [], []
    for s in range(seed, seed + rounds):
        pick = np.random.default_rng(s).permutation(len(x))[:300]
        model = Bagging(lambda: Estimator(MLP([64, 32, 10]), lr=3e-3, epochs=epochs), n=n, seed=s).fit(x[pick], y[pick])
        alone = (model.member_predictions(xt) == yt).mean(1)
        bagged = float((model.predict(xt) == yt).mean())
        members.append(alone.mean())
        together.append(bagged)
        over_mean.append(bagged - alone.mean())
        over_best.append(bagged - alone.max())
        oob.append(abs(model.oob_score - bagged))
    x, y, xt, yt = diabetes()

    def net():
        return Standardized(Estimator(MLP([10, 32, 1], act="tanh"), lr=1e-2, epochs=40), target=True)

    replicas = 4 if smoke else 10
    single = bias_variance(net, x, y, xt, yt, replicas, seed=seed)
    many = bias_variance(lambda: Bagging(net, n=4 if smoke else 10, oob=False), x, y, xt, yt, replicas, seed=seed)
    return [
        Claim(
            f"bagged accuracy ({np.median(together):.3f}) over the mean of the members",
            float(np.median(over_mean)),
            ">=",
            0.0 if smoke else 0.01,
            ("mean of the members", float(np.median(members))),
        ),
        Claim("bagged accuracy over the best member", float(np.median(over_best)), ">=", -0.02 if smoke else -0.005),
        Claim("out-of-bag estimate off the test accuracy", float(np.median(oob)), "<=", 0.15 if smoke else 0.03),
        Claim(
            "fall of the variance by bagging, diabetes",
            1 - many.variance / single.variance,
            ">=",
            0.1 if smoke else 0.3,
        ),
        Claim("test error of bagged networks, diabetes", many.error, "<", single.error, ("one network", single.error)),
    ]


@gate(entry=19, name="boosting")
def boosting(seed=0, smoke=False):
    """AdaBoost of 100 stumps on breast_cancer; gradient boosting of small trees on diabetes beside linear regression."""
    x, y, xt, yt = arrays(tables.breast_cancer())
    one = float((stump().fit(x, y).predict(xt) == yt).mean())
    model = AdaBoost("stump", n=20 if smoke else 100).fit(x, y)
    value = float((model.predict(xt) == yt).mean())
    x, y, xt, yt = diabetes()
    linear = rmse(
        LinearRegression(10, 1).solve(x, y).linear.weight.array[0] @ xt.T
        + LinearRegression(10).solve(x, y).linear.bias.array,
        yt,
    )
    trees = GradientBoosting(n=30 if smoke else 100, lr=0.1, max_depth=1).fit(x, y)
    return [
        Claim("test accuracy, breast_cancer", value, ">=", one if smoke else 0.955, ("one stump", one)),
        Claim("largest rise of the exponential loss in a round", float(np.diff(model.losses).max()), "<=", 0.0),
        Claim(
            "test error of gradient boosting over linear regression, diabetes",
            rmse(trees.predict(xt), yt) / linear,
            "<=",
            1.1 if smoke else 1.02,
            ("root mean squared error of linear regression", linear),
        ),
        Claim("largest rise of the squared loss in a round", float(np.diff(trees.losses).max()), "<", 0.0),
    ]


@gate(entry=23, name="sharp_minima")
def sharp_minima(seed=0, smoke=False):
    """Adam with batches of 32 and of all 1,000 images (MNIST 5k): where do both end, and how sharp is it there?

    The rate of the large batch is 1e-3 sqrt(1000 / 32), the usual scaling for Adam; the same rate is reported too. Sharpness is
    compared after equally many epochs (both losses below 0.01) and, since the curvature of cross-entropy falls with the loss
    itself, also at the epoch in which each loss first falls below 0.01.
    """
    x, y, xt, yt = arrays(mnist5k())
    pick = np.random.default_rng(0).permutation(len(x))[: 300 if smoke else 1000]
    xs, ys = x[pick], y[pick]
    scaled = 1e-3 * (len(xs) / 32) ** 0.5

    def train(s, batch, lr, epochs, tol=0.0):
        manual_seed(s)
        model = Estimator(MLP([784, 128, 10]), lr=lr, batch_size=batch, epochs=epochs, tol=tol, seed=s).fit(xs, ys)
        loss = model._loss(xs, ys).item()
        return np.array(
            [sharpness(model.module, (xs, ys)), model.score(xt, yt), loss, sharpness(model.module, (xs, ys), "keskar")]
        )

    rounds = [seed] if smoke else range(seed, seed + 3)
    epochs = 60 if smoke else 120
    small, large = (
        np.median([train(s, b, lr, epochs) for s in rounds], 0) for b, lr in ((32, 1e-3), (len(xs), scaled))
    )
    cut_small, cut_large = (
        np.median([train(s, b, lr, 400, 0.01) for s in rounds], 0) for b, lr in ((32, 1e-3), (len(xs), scaled))
    )
    claims = [
        Claim(
            "training loss of the large batch (that of the small one is lower)", large[2], "<", 0.03 if smoke else 0.01
        ),
        Claim(
            "top eigenvalue, large over small batch, same epochs",
            large[0] / small[0],
            ">=",
            1.0 if smoke else 1.5,
            ("small batch", small[0]),
        ),
        Claim(
            "top eigenvalue, large over small batch, same loss",
            cut_large[0] / cut_small[0],
            ">=",
            1.0 if smoke else 1.5,
            ("small batch", cut_small[0]),
        ),
        Claim(
            "test accuracy of the small batch",
            small[1],
            ">=",
            large[1] - (0.02 if smoke else 0),
            ("large batch", large[1]),
        ),
    ]
    if not smoke:
        same = np.median([train(s, len(xs), 1e-3, 400, 0.01) for s in rounds], 0)
        claims += [
            Claim(
                "Keskar's sharpness, large over small batch, same epochs",
                large[3] / small[3],
                ">",
                1.0,
                ("small batch", small[3]),
            ),
            Claim(
                "top eigenvalue, large batch at the rate of the small one, same loss", same[0] / cut_small[0], ">", 1.0
            ),
        ]
    return claims
