"""Does the DataLoader keep the kernels fed? The share of a LeNet epoch's wall time that is in the training step, and in kernels.

    python -m bench.loader [--batch N] [--workers N ...] [--epochs N]

The loop is that of the Trainer without its bookkeeping: take a batch, forward, loss, backward, Adam. For every number of
workers it prints the milliseconds of a step, of waiting for a batch, the share of the first, and the share of the time that is
inside calls of fastdl.kernels (in a run of its own: its clock costs about a microsecond a call); once with a data set that hands
out whole batches (`take`), once with one that is asked item by item and adds noise to each image.
"""

import argparse
import sys
import time

import numpy as np

from fastdl.data import DataLoader, Dataset, batch_rng, mnist5k
from fastdl.models.lenet import LeNet5, loss
from fastdl.optim import Adam
from fastdl.random import manual_seed
from fastdl.threads import get_num_threads

from .roofline import need_compiled


class Noisy(Dataset):
    """Item by item, with noise: the slow way to hand out data."""

    def __init__(self, data):
        self.x, self.y = (t.array for t in data.tensors)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i] + 0.1 * batch_rng().standard_normal(self.x[i].shape, np.float32), self.y[i]


class KernelClock:
    """Within `with KernelClock() as clock`, clock.seconds counts the time in functions of fastdl.kernels that others call."""

    def __enter__(self):
        self.seconds, self._inside, self._before = 0.0, False, []
        for module in [m for name, m in sys.modules.items() if name.startswith("fastdl.")]:
            for name, value in list(vars(module).items()):
                home = str(getattr(value, "__module__", ""))
                own = home == module.__name__ or not module.__name__.startswith("fastdl.kernels.")
                entry = own and any(word in name for word in ("_forward", "_backward", "_step"))
                if entry and home.startswith("fastdl.kernels.") and callable(value):
                    self._before.append((module, name, value))
                    setattr(module, name, self._timed(value))
        return self

    def _timed(self, function):
        def call(*args, **kwargs):
            if self._inside:
                return function(*args, **kwargs)
            self._inside, began = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._inside = False
                self.seconds += time.perf_counter() - began

        return call

    def __exit__(self, *error):
        for module, name, value in self._before:
            setattr(module, name, value)


def measure(data, batch: int, workers: int, epochs: int) -> tuple[float, float]:
    """(seconds a step, seconds of waiting for its batch), means over the epochs after a first one to warm up."""
    manual_seed(0)
    loader = DataLoader(data, batch_size=batch, shuffle=True, num_workers=workers, drop_last=True, seed=0)
    model = LeNet5()
    optimizer = Adam(model.parameters(), lr=1e-3)
    busy = waited = steps = 0
    for epoch in range(epochs + 1):
        moment = time.perf_counter()
        for x, y in loader:
            begun = time.perf_counter()
            error = loss(model(x), y)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            done = time.perf_counter()
            if epoch:
                waited, busy, steps = waited + begun - moment, busy + done - begun, steps + 1
            moment = done
    return busy / steps, waited / steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    need_compiled()
    train, _ = mnist5k()
    print(f"LeNet-5 on MNIST 5k, {get_num_threads()} kernel threads")
    print(
        f"{'data':14} {'batch':>5} {'workers':>7} {'step ms':>8} {'wait ms':>8} {'in the step':>11} {'in kernels':>10}"
    )
    for name, data in (("whole batches", train), ("noisy items", Noisy(train))):
        for batch in args.batch:
            for workers in args.workers:
                step, wait = measure(data, batch, workers, args.epochs)
                share = step / (step + wait)
                with KernelClock() as clock:
                    began = time.perf_counter()
                    measure(data, batch, workers, 1)
                    inside = clock.seconds / (time.perf_counter() - began)
                print(
                    f"{name:14} {batch:5} {workers:7} {1e3 * step:8.3f} {1e3 * wait:8.3f} {share:11.1%} {inside:10.1%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
