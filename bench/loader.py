"""Does the DataLoader keep the kernels fed? The share of a LeNet epoch's wall time that is in the training step itself.

    python -m bench.loader [--batch N] [--workers N ...] [--epochs N]

The loop is that of the Trainer without its bookkeeping: take a batch, forward, loss, backward, Adam. For every number of
workers it prints the milliseconds of a step, of waiting for a batch, and the share of the first; once with a data set that
hands out whole batches (`take`), once with one that is asked item by item and adds noise to each image.
"""

import argparse
import time

import numpy as np

from fastdl.data import DataLoader, Dataset, batch_rng, mnist5k
from fastdl.models.lenet import LeNet5, loss
from fastdl.optim import Adam
from fastdl.random import manual_seed
from fastdl.threads import get_num_threads


class Noisy(Dataset):
    """Item by item, with noise: the slow way to hand out data."""

    def __init__(self, data):
        self.x, self.y = (t.array for t in data.tensors)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i] + 0.1 * batch_rng().standard_normal(self.x[i].shape, np.float32), self.y[i]


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
    train, _ = mnist5k()
    print(f"LeNet-5 on MNIST 5k, {get_num_threads()} kernel threads")
    print(f"{'data':14} {'batch':>5} {'workers':>7} {'step ms':>8} {'wait ms':>8} {'in the step':>11}")
    for name, data in (("whole batches", train), ("noisy items", Noisy(train))):
        for batch in args.batch:
            for workers in args.workers:
                step, wait = measure(data, batch, workers, args.epochs)
                share = step / (step + wait)
                print(f"{name:14} {batch:5} {workers:7} {1e3 * step:8.3f} {1e3 * wait:8.3f} {share:11.1%}", flush=True)


if __name__ == "__main__":
    main()
