"""AR(n): each value from the n before it. Linear for time series, neural for images; the order of the pixels matters.

Ref  Yule 1927; Walker 1931 (time series); Bengio and Bengio 2000 (neural conditionals of discrete vectors)
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.generative import GenerativeModel, array, fit_likelihood, seeded
from fastdl.nn.functional import binary_cross_entropy_with_logits, sigmoid
from fastdl.ops.linalg import einsum
from fastdl.ops.random import numpy_generator
from fastdl.optim import AdamW


def raster(height, width):
    """Rows from the top, each from the left."""
    return np.arange(height * width)


def column(height, width):
    """Columns from the left, each from the top."""
    return raster(height, width).reshape(height, width).T.reshape(-1)


def spiral(height, width):
    """From the corner inwards, clockwise."""
    grid, order = raster(height, width).reshape(height, width), []
    while grid.size:
        order.extend(grid[0])
        grid = np.rot90(grid[1:])
    return np.array(order)


def random_order(height, width, seed=0):
    """A fixed random permutation."""
    return np.random.default_rng(seed).permutation(height * width)


ORDERS = {"raster": raster, "column": column, "spiral": spiral, "random": random_order}


class LinearAR:
    """x_t = c + sum_k a_k x_{t-k} + noise, noise of variance s^2.

    fit: by least squares on all windows, or method="yule-walker" from the autocovariances (always a stable model).
    """

    def __init__(self, n):
        if n < 1:
            raise ValueError(f"LinearAR: the order must be at least 1; got {n}")
        self.n, self.coefficients, self.constant, self.variance = n, np.zeros(n), 0.0, 1.0

    def _windows(self, x):
        x = np.asarray(x, np.float64)
        if x.ndim != 1 or len(x) <= self.n:
            raise ValueError(f"LinearAR: expected a series longer than the order {self.n}; got shape {x.shape}")
        past = np.lib.stride_tricks.sliding_window_view(x[:-1], self.n)[:, ::-1]  # (T - n, n), the latest first
        return past, x[self.n :]

    def fit(self, x, method="least-squares"):
        past, now = self._windows(x)
        if method == "least-squares":
            solution = np.linalg.lstsq(np.column_stack([past, np.ones(len(past))]), now, rcond=None)[0]
            self.coefficients, self.constant = solution[:-1], float(solution[-1])
        elif method == "yule-walker":
            x = np.asarray(x, np.float64)
            d = x - x.mean()
            r = np.array([d[: len(d) - k] @ d[k:] for k in range(self.n + 1)]) / len(d)
            lags = np.abs(np.subtract.outer(np.arange(self.n), np.arange(self.n)))
            self.coefficients = np.linalg.solve(r[lags], r[1:])
            self.constant = float(x.mean() * (1 - self.coefficients.sum()))
        else:
            raise ValueError(f"LinearAR: method must be least-squares or yule-walker; got {method!r}")
        self.variance = float(np.mean((now - self.predict(x)) ** 2))
        return self

    def predict(self, x):
        """One step ahead from every window of x (T,): (T - n,), for the times n .. T - 1."""
        past, _ = self._windows(x)
        return past @ self.coefficients + self.constant

    def error(self, x):
        """Mean squared error one step ahead."""
        return float(np.mean((self._windows(x)[1] - self.predict(x)) ** 2))

    def log_prob(self, x):
        """log p(x_n, ..., x_{T-1} | the first n), under Gaussian noise."""
        d = self._windows(x)[1] - self.predict(x)
        return float(-0.5 * np.sum(d * d / self.variance + np.log(2 * np.pi * self.variance)))

    def sample(self, length, start, seed=None):
        """`length` more values after the series `start`."""
        rng, values = numpy_generator(seeded(seed)), list(np.asarray(start, np.float64)[-self.n :])
        for _ in range(length):
            past = np.array(values[: -self.n - 1 : -1])
            values.append(past @ self.coefficients + self.constant + np.sqrt(self.variance) * rng.standard_normal())
        return np.array(values[self.n :])


class AR(nn.Module, GenerativeModel):
    """Neural AR(n) of binary images: every pixel given the n before it, in a chosen order.

    With hidden = 0 each place has a logistic regression on its window; otherwise a hidden layer, a set of weights a place
    (per_position) or one network for all places, which is told nothing about where it is.

    Shapes      x (N, height * width) or (N, 1, height, width) of 0 and 1 -> log_prob (N,)
    Parameters  per position: w1 (P, n, hidden), b1 (P, hidden), w2 (P, hidden), b2 (P,), P places or 1
    """

    density = "exact"

    def __init__(self, height, width, n=8, hidden=16, order="raster", per_position=True):
        super().__init__()
        D = height * width
        if not 1 <= n < max(D, 2):
            raise ValueError(f"AR: n must lie in 1 .. {D - 1}; got {n}")
        if isinstance(order, str):
            if order not in ORDERS:
                raise ValueError(f"AR: order must be one of {', '.join(ORDERS)} or a permutation; got {order!r}")
            order = ORDERS[order](height, width)
        self.order = np.asarray(order)
        if sorted(self.order.tolist()) != list(range(D)):
            raise ValueError(f"AR: order must be a permutation of the {D} pixels")
        self.dimensions, self.n, self.hidden = D, n, hidden
        P = D if per_position else 1
        rng = numpy_generator(None)
        bound = 1 / np.sqrt(n)
        width1 = hidden or 1
        self.w1 = nn.Parameter(rng.uniform(-bound, bound, (P, n, width1)).astype(np.float32) * (1.0 if hidden else 0.0))
        self.b1 = nn.Parameter(np.zeros((P, width1), np.float32))
        if hidden:
            self.w2 = nn.Parameter(rng.uniform(-0.1, 0.1, (P, hidden)).astype(np.float32))
            self.b2 = nn.Parameter(np.zeros(P, np.float32))

    def _vectors(self, x):
        a = array(x)
        a = a.reshape(len(a), -1)
        if a.shape[1] != self.dimensions:
            raise ValueError(f"AR: expected {self.dimensions} pixels; got shape {a.shape}")
        if ((a != 0) & (a != 1)).any():
            raise ValueError("AR: values must be 0 or 1; hint: binarise first, e.g. x >= 0.5")
        return a[:, self.order].astype(self.w1.dtype)

    def _windows(self, a):
        """(N, D, n): the n values before each place, the latest first; zeros before the start."""
        padded = np.pad(a, ((0, 0), (self.n, 0)))
        return np.lib.stride_tricks.sliding_window_view(padded, self.n, 1)[:, : a.shape[1], ::-1]

    def _logits(self, windows, place=None):
        w1, b1 = (self.w1, self.b1) if place is None or len(self.w1) == 1 else (self.w1[place], self.b1[place])
        one = len(self.w1) == 1
        x = Tensor(np.ascontiguousarray(windows))
        h = einsum("ndk,kh->ndh", x, w1[0]) if one else einsum("ndk,dkh->ndh", x, w1)
        h = h + b1
        if not self.hidden:
            return h.squeeze(2)
        w2, b2 = (self.w2, self.b2) if place is None or one else (self.w2[place], self.b2[place])
        return (h.tanh() * w2).sum(2) + b2

    def log_prob(self, x):
        """log p(x) in nats, (N,)."""
        a = self._vectors(x)
        return -binary_cross_entropy_with_logits(self._logits(self._windows(a)), Tensor(a), reduction="none").sum(1)

    def sample(self, n, seed=None):
        """n images (n, D), drawn pixel by pixel."""
        rng = numpy_generator(seeded(seed))
        x = np.zeros((n, self.n + self.dimensions), self.w1.dtype)
        with no_grad():
            for i in range(self.dimensions):
                window = x[:, None, i : i + self.n][..., ::-1]
                p = sigmoid(self._logits(window, slice(i, i + 1))).array[:, 0]
                x[:, self.n + i] = rng.random(n) < p
        return Tensor(x[:, self.n :][:, np.argsort(self.order)])

    def fit(self, x, epochs=30, lr=1e-2, weight_decay=0.1, batch_size=100, seed=0, validation=None, **settings):
        """Maximum likelihood by AdamW; starts from the pixels' own frequencies. Returns the history."""
        mean = self._vectors(x).mean(0).clip(1e-3, 1 - 1e-3)
        logit = np.log(mean / (1 - mean))
        bias = self.b2 if self.hidden else self.b1
        bias.array[...] = (
            (logit if len(self.w1) > 1 else logit.mean()).reshape(bias.shape) if len(self.w1) > 1 else logit.mean()
        )
        weights = [self.w1, *([self.w2] if self.hidden else [])]
        biases = [self.b1, *([self.b2] if self.hidden else [])]
        optimizer = AdamW(
            [{"params": weights}, {"params": biases, "weight_decay": 0.0}], lr=lr, weight_decay=weight_decay
        )
        return fit_likelihood(self, x, optimizer, epochs, batch_size, seed, validation, **settings)
