"""What a busy neighbour costs: training steps on all cores, alone and with one core kept busy by another process.

    python -m bench contention [--seconds 3] [--torch]

A fair share of two cores against one busy process is a slowdown of 1.33; static splits and long spins lose far more.
"""

import argparse
import multiprocessing
import os
import statistics
import time

from .roofline import need_compiled


def burn(core):
    os.sched_setaffinity(0, {core})
    while True:
        pass


def fastdl_steps():
    """name -> a function that runs one training step."""
    import numpy as np

    import fastdl
    from fastdl import nn, optim
    from fastdl.models.lenet import lenet5
    from fastdl.nn import functional as F

    rng = np.random.default_rng(0)
    net = lenet5()
    adam = optim.Adam(net.parameters(), lr=1e-3)
    x = fastdl.from_numpy(rng.standard_normal((64, 1, 28, 28)).astype(np.float32))
    y = fastdl.from_numpy(rng.integers(0, 10, 64))

    def lenet():
        adam.zero_grad()
        F.cross_entropy(net(x), y).backward()
        adam.step()

    conv = nn.Conv2d(64, 64, 3, padding=1)
    sgd = optim.SGD(conv.parameters(), lr=1e-6)
    z = fastdl.from_numpy(rng.standard_normal((8, 64, 56, 56)).astype(np.float32))

    def convolution():
        sgd.zero_grad()
        conv(z).sum().backward()
        sgd.step()

    return {"LeNet, batch 64": lenet, "conv 64 -> 64, 8x56x56": convolution}


def torch_steps():
    """The same steps in PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    x, y = torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,))

    def lenet():
        adam.zero_grad()
        F.cross_entropy(net(x), y).backward()
        adam.step()

    conv = nn.Conv2d(64, 64, 3, padding=1)
    sgd = torch.optim.SGD(conv.parameters(), lr=1e-6)
    z = torch.randn(8, 64, 56, 56).to(memory_format=torch.channels_last)

    def convolution():
        sgd.zero_grad()
        conv(z).sum().backward()
        sgd.step()

    return {"LeNet, batch 64": lenet, "conv 64 -> 64, 8x56x56": convolution}


def steps_per_second(step, seconds):
    count, start = 0, time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        step()
        count += 1
    return count / (now - start)


def measure(steps, seconds, rounds=3):
    """Rows (name, steps/s alone, steps/s beside a busy process, slowdown): medians over rounds taken in turn."""
    core = max(os.sched_getaffinity(0))
    rows = []
    for name, step in steps.items():
        steps_per_second(step, seconds / 3)
        alone, beside = [], []
        for _ in range(rounds):
            alone.append(steps_per_second(step, seconds))
            neighbour = multiprocessing.get_context("spawn").Process(target=burn, args=(core,), daemon=True)
            neighbour.start()
            time.sleep(0.3)
            beside.append(steps_per_second(step, seconds))
            neighbour.kill()
            neighbour.join()
        a, b = statistics.median(alone), statistics.median(beside)
        rows.append((name, a, b, a / b))
    return rows


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m bench contention", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of every measurement")
    parser.add_argument("--torch", action="store_true", help="PyTorch instead of fastdl")
    options = parser.parse_args(arguments)
    if not options.torch:
        need_compiled()
    print(f"{'training step':<26}{'alone':>12}{'beside':>12}{'slowdown':>10}   (steps/s; one core kept busy)")
    for name, alone, beside, slowdown in measure(torch_steps() if options.torch else fastdl_steps(), options.seconds):
        print(f"{name:<26}{alone:12.1f}{beside:12.1f}{slowdown:10.2f}")


if __name__ == "__main__":
    main()
