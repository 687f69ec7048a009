"""Lecture 3: gradient descent by all, one and a few samples; momentum and Nesterov's."""

from itertools import pairwise

import numpy as np

from fastdl import optim
from fastdl.autograd import Tensor, grad
from fastdl.gates import Claim, gate
from fastdl.gates._optimizers import digits_claim, gradient, plain_gradient, small_digits, softmax_loss
from fastdl.nn import Parameter


def top_curvature(w, x, y, rounds=30):
    """The largest eigenvalue of the Hessian of the loss, by power iteration on Hessian-vector products."""
    v = np.random.default_rng(0).standard_normal(w.shape)
    for _ in range(rounds):
        v /= np.linalg.norm(v)
        (g,) = grad(softmax_loss(w, x, y), w, create_graph=True)
        product = grad((g * Tensor(v)).sum(), w)[0].array
        value, v = float((v * product).sum()), product
    return value


def descend(x, y, batch, lr, epochs, seed):
    """Softmax regression by SGD on batches of a size, the rate falling with the root of the epoch; the weights."""
    w = Parameter(np.zeros((10, x.shape[1])))
    optimizer = optim.SGD([w], lr=lr)
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = lr / (1 + epoch) ** 0.5 if batch < len(x) else lr
        order = rng.permutation(len(x))
        for begin in range(0, len(x), batch):
            chosen = order[begin : begin + batch]
            w.grad = Tensor(plain_gradient(w.array, x[chosen], y[chosen]))
            optimizer.step()
    return w


def share_right(w, x, y):
    return float(((x @ w.array.T).argmax(1) == y).mean())


@gate(entry=20, name="batch_gradient_descent")
def batch_gradient_descent(seed=0, smoke=False):
    """Softmax regression on the 8x8 digits by all samples at once; the loss falls at every step below lr = 2 / curvature."""
    x, y, xt, yt = small_digits()
    w = Parameter(np.zeros((10, x.shape[1])))
    limit = 2 / top_curvature(w, x, y)

    def rises(lr, steps=60):
        v = Parameter(np.zeros_like(w.array))
        losses = []
        optimizer = optim.SGD([v], lr=lr)
        for _ in range(steps):
            loss = softmax_loss(v, x, y)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return sum(b > a for a, b in pairwise(losses))

    trained = descend(x, y, len(x), 0.9 * limit, 100 if smoke else 600, seed)
    return [
        Claim("test accuracy", share_right(trained, xt, yt), ">=", 0.9 if smoke else 0.95, ("largest class", 0.11)),
        Claim("steps that raise the loss, lr = 0.9 * 2 / curvature", rises(0.9 * limit), "==", 0),
        Claim("steps that raise the loss, lr = 3 * 2 / curvature", rises(3 * limit), ">=", 1),
    ]


@gate(entry=21, name="stochastic_gradient_descent")
def stochastic_gradient_descent(seed=0, smoke=False):
    """Softmax regression on the 8x8 digits by one sample a step."""
    x, y, xt, yt = small_digits()
    trained = descend(x, y, 1, 0.1, 2 if smoke else 15, seed)
    return [Claim("test accuracy", share_right(trained, xt, yt), ">=", 0.9 if smoke else 0.95, ("largest class", 0.11))]


@gate(entry=22, name="mini_batch_gradient_descent")
def mini_batch_gradient_descent(seed=0, smoke=False):
    """Softmax regression on the 8x8 digits by 32 samples a step; how the noise of the gradient falls; accumulation."""
    x, y, xt, yt = small_digits()
    trained = descend(x, y, 32, 0.5, 5 if smoke else 40, seed)
    rng = np.random.default_rng(seed)
    w = Parameter(0.01 * rng.standard_normal((10, x.shape[1])))
    sizes, noise = [1, 2, 4, 8, 16, 32, 64], []
    whole = gradient(w, x, y)
    assert np.allclose(whole, plain_gradient(w.array, x, y), rtol=1e-9, atol=1e-12)
    for size in sizes:
        draws = [rng.integers(0, len(x), size) for _ in range(300)]
        noise.append(np.mean([((plain_gradient(w.array, x[d], y[d]) - whole) ** 2).sum() for d in draws]))
    slope = np.polyfit(np.log(sizes), np.log(noise), 1)[0]
    w.grad = None
    for part in range(8):
        rows = slice(16 * part, 16 * part + 16)
        (softmax_loss(w, x[rows], y[rows]) / 8).backward()
    apart = np.abs(w.grad.array - gradient(w, x[:128], y[:128])).max() / np.abs(w.grad.array).max()
    return [
        Claim("test accuracy", share_right(trained, xt, yt), ">=", 0.9 if smoke else 0.95, ("largest class", 0.11)),
        Claim(
            "variance of the gradient against the size of the batch, slope in logarithms + 1",
            abs(slope + 1),
            "<=",
            0.15,
        ),
        Claim("8 batches of 16 accumulated beside one of 128, relative", float(apart), "<=", 1e-6),
    ]


# --- momentum ---------------------------------------------------------------------------------------------------------
def steps_to(make, curvature, target=1e-6, most=20000):
    """Steps until 1/2 w' diag(curvature) w, from all ones, is below the target."""
    w = Parameter(np.ones(len(curvature)))
    optimizer = make([w])
    for n in range(most):
        if 0.5 * (curvature * w.array**2).sum() < target:
            return n

        def closure():
            w.grad = Tensor(curvature * w.array)

        optimizer.step(closure)
    return most


@gate(entry=24, name="momentum")
def momentum(seed=0, smoke=False):
    """A quadratic of condition 100: steps to 1e-6 with and without momentum, each at its best rate; and MNIST 5k."""
    curvature = np.array([1.0, 100.0])
    plain = steps_to(lambda p: optim.SGD(p, lr=2 / 101), curvature)
    heavy = steps_to(lambda p: optim.SGD(p, lr=4 / 11**2, momentum=(9 / 11) ** 2), curvature)
    return [
        Claim("steps with momentum / steps without", heavy / plain, "<=", 1 / 3),
        digits_claim("SGD", seed, smoke),
    ]


@gate(entry=25, name="nesterov")
def nesterov(seed=0, smoke=False):
    """Both forms of Nesterov's gradient look at the same points of a quadratic; fewer steps than gradient descent; MNIST 5k."""
    curvature = np.array([1.0, 100.0])
    points = {}
    for form in ("lecture", "torch"):
        w = Parameter(np.array([1.0, -1.0]))
        optimizer = optim.NAG([w], lr=0.01, momentum=9 / 11, form=form)
        seen = points[form] = []

        def closure(w=w, seen=seen):
            seen.append(w.array.copy())
            w.grad = Tensor(curvature * w.array)

        for _ in range(100):
            optimizer.step(closure)
    apart = float(np.abs(np.array(points["lecture"]) - np.array(points["torch"])).max())
    plain = steps_to(lambda p: optim.SGD(p, lr=2 / 101), curvature)
    ahead = steps_to(lambda p: optim.NAG(p, lr=0.01, momentum=9 / 11), curvature)
    return [
        Claim("distance between the look-ahead points of both forms", apart, "<=", 1e-10),
        Claim("steps / steps of gradient descent", ahead / plain, "<=", 1 / 3),
        digits_claim("NAG", seed, smoke),
    ]
