"""What an op costs beside its arithmetic: small tensors, one thread.

    python bench/bench_overhead.py

no grad    one call, nothing recorded
with grad  one call in a chain of 100 that ends in backward(): forward, recording and the call's share of backward
numpy      the same arithmetic on the arrays, forward only
torch      the two measurements with PyTorch, where it is installed

Every number is the median of many rounds, in CPU time, which other processes disturb less. Neighbours on a shared machine
still halve the speed of a core for seconds at a time, so NumPy's `x + y` is timed before and after each round as a yardstick:
a round counts only where both took at most 1.15 times the best yardstick of the whole run. How many counted is said. The
limits of 2 and 5 microseconds are checked at the end (exit code 1 above).
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import math
import statistics
import sys
import time

import numpy as np

import fastdl as fd

CHAIN = 100
SLACK = 1.15
LIMITS = {"no grad": 2.0, "with grad": 5.0}

# name, call(x, y, w), the same on arrays; x, y (4, 4), w (4, 4)
OPS = [
    ("x + y", lambda x, y: x + y, None),
    ("x * y", lambda x, y: x * y, None),
    ("x / y", lambda x, y: x / y, None),
    ("x * 0.5", lambda x, y: x * 0.5, None),
    ("-x", lambda x, y: -x, None),
    ("x.tanh()", lambda x, y: x.tanh(), lambda x, y: np.tanh(x)),
    ("x.relu()", lambda x, y: x.relu(), lambda x, y: np.maximum(x, 0)),
    ("x @ y", lambda x, y: x @ y, None),
    ("x.T", lambda x, y: x.T, None),
    ("x.reshape(2, 8)", lambda x, y: x.reshape(2, 8).reshape(4, 4), lambda x, y: x.reshape(2, 8).reshape(4, 4)),
    ("x[1:3] (+ x)", lambda x, y: x + x[1:2], lambda x, y: x + x[1:2]),
    ("x.mean(0) + y", lambda x, y: x.mean(0) + y, lambda x, y: x.mean(0) + y),
]
TWO_CALLS = {"x.reshape(2, 8)", "x[1:3] (+ x)", "x.mean(0) + y"}  # rows that make two calls a step


class Yardstick:
    """NumPy's x + y, which tells whether the core runs at its full speed at this moment."""

    def __init__(self):
        self.x = np.full((4, 4), 0.5, np.float32)
        self.best = math.inf
        self.best = min(self.seconds() for _ in range(50))

    def seconds(self):
        x, start = self.x, time.process_time()
        for _ in range(10 * CHAIN):
            x + x
        seconds = time.process_time() - start
        self.best = min(self.best, seconds)
        return seconds

    def quiet(self, *seconds):
        return max(seconds) <= SLACK * self.best


def median_us(run, calls, rounds, yardstick):
    """(microseconds a call in the median of `rounds` quiet rounds, how many of them were quiet); tries up to 10 times as many."""
    times, disturbed, before = [], [], yardstick.seconds()
    while len(times) < rounds and len(times) + len(disturbed) < 10 * rounds:
        start = time.process_time()
        run()
        took, after = (time.process_time() - start) / calls * 1e6, yardstick.seconds()
        (times if yardstick.quiet(before, after) else disturbed).append(took)
        before = after
    return statistics.median(times or disturbed), len(times)


def forward(call, x, y):
    for _ in range(CHAIN):
        call(x, y)


def chain(call, x, y, finish):
    z = x
    for _ in range(CHAIN):
        z = call(z, y)
    finish(z)


def measure(module, call, rounds, calls, yardstick):
    """(without gradient, with gradient) in microseconds, and the number of quiet rounds of the one that had fewer"""
    a = np.full((4, 4), 0.5, np.float32)
    if module is np:
        bare, quiet = median_us(lambda: forward(call, a, a), CHAIN * calls, rounds, yardstick)
        return bare, None, quiet
    x, y = module.tensor(a), module.tensor(a)
    no_grad, first = median_us(lambda: forward(call, x, y), CHAIN * calls, rounds, yardstick)
    x.requires_grad_()
    ones = module.ones(4, 4)

    def finish(z):
        z.backward(ones)
        x.grad = None

    with_grad, second = median_us(lambda: chain(call, x, y, finish), CHAIN * calls, rounds, yardstick)
    return no_grad, with_grad, min(first, second)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    args = parser.parse_args()
    torch = None
    if not args.no_torch:
        try:
            import torch

            torch.set_num_threads(1)
        except ImportError:
            print("PyTorch is not installed; its columns stay empty")
    compiled = "uncompiled" if fd.autograd.__file__.endswith(".py") else "compiled"
    print(
        f"fastdl {fd.__version__} ({compiled}), NumPy {np.__version__}; microseconds a call, median of {args.rounds} rounds\n"
    )
    print(
        f"{'op':18}{'numpy':>8}{'no grad':>10}{'with grad':>11}{'torch no':>10}{'torch with':>12}{'quiet rounds':>14}"
    )
    rows, yardstick = [], Yardstick()
    for name, call, numpy_call in OPS:
        calls = 2 if name in TWO_CALLS else 1
        bare, *_ = measure(np, numpy_call or call, args.rounds, calls, yardstick)
        *mine, quiet = measure(fd, call, args.rounds, calls, yardstick)
        theirs = measure(torch, call, args.rounds, calls, yardstick) if torch else (math.nan, math.nan)
        rows.append(mine)
        print(
            f"{name:18}{bare:8.2f}{mine[0]:10.2f}{mine[1]:11.2f}{theirs[0]:10.2f}{theirs[1]:12.2f}{quiet:14d}",
            flush=True,
        )
    medians = [statistics.median(column) for column in zip(*rows)]
    worst = [max(column) for column in zip(*rows)]
    print(
        f"\nmedian op  {medians[0]:.2f} / {medians[1]:.2f}, dearest op {worst[0]:.2f} / {worst[1]:.2f}, limits 2.00 / 5.00"
    )
    return 0 if worst[0] <= LIMITS["no grad"] and worst[1] <= LIMITS["with grad"] else 1


if __name__ == "__main__":
    sys.exit(main())
