"""Optimizer steps beside PyTorch's, default and fused, and beside the memory limit.

    python -m bench.optimizers [--threads 1 2] [--pairs 9] [--only Adam] [--size small|large] [--out results.json]

Two shapes: 200 small tensors (64 numbers each), where the cost of a call decides, and 25 million parameters in 300 tensors, where
memory does. The sides take turns as in pair.py, each in a process of its own; torch's `fused=True` where it has it. Share is the
bytes that a step must move (states, gradients, parameters) over its time, by the bandwidth of memory in the turn beside it: the
fastest of roofline.py's passes, measured as one more side because a shared machine's bandwidth changes from second to second.
"""

import argparse
import json
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from . import roofline
from .pair import PAUSE, Worker, cpus_for, ratio_and_interval

SMALL = [(64,)] * 200
LARGE = [(256, 576)] * 150 + [(19_211,)] * 150  # 25.0 million
SHAPES = {"small": SMALL, "large": LARGE}
# name -> settings, and elements moved a parameter
OPTIMIZERS = {
    "SGD": ({"lr": 1e-3, "momentum": 0.9}, 5),
    "Adagrad": ({}, 5),
    "Adadelta": ({}, 7),
    "RMSprop": ({}, 5),
    "Adam": ({}, 7),
    "AdamW": ({}, 7),
    "RAdam": ({}, 7),
    "Adamax": ({}, 7),
    "NAdam": ({}, 7),
    "AdamP": ({}, 11),
    "SGDP": ({"lr": 1e-3, "momentum": 0.9}, 8),
}
SIDES = ("memory", "fastdl", "torch", "torch fused")
FUSED = ("SGD", "Adagrad", "Adam", "AdamW")  # those of torch that have a fused step on the CPU


def optimizer_of(side, name, shapes):
    """A step of one side: its parameters and gradients stay the same arrays, as in a training loop that reuses memory."""
    rng = np.random.default_rng(0)
    arrays = [(rng.standard_normal(s, dtype=np.float32), rng.standard_normal(s, dtype=np.float32)) for s in shapes]
    settings = OPTIMIZERS[name][0]
    if side == "fastdl":
        import fastdl
        from fastdl import optim
        from fastdl.nn import Parameter

        params = [Parameter(p) for p, _ in arrays]
        for p, (_, g) in zip(params, arrays, strict=True):
            p.grad = fastdl.from_numpy(g)
        return getattr(optim, name)(params, **settings).step
    import torch

    params = [torch.nn.Parameter(torch.from_numpy(p)) for p, _ in arrays]
    for p, (_, g) in zip(params, arrays, strict=True):
        p.grad = torch.from_numpy(g)
    if side == "torch fused":
        settings = {**settings, "fused": True}
    return getattr(torch.optim, name)(params, **settings).step


def turn(step, seconds):
    """Median seconds of a step, of as many as fit into a turn."""
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def serve(side, threads):
    """The process of one side: builds a step, then times turns of it, on lines of JSON."""
    if side == "memory":
        from fastdl import _roofline
    elif side != "fastdl":
        import torch

        torch.set_num_threads(threads)
    step = None
    for line in sys.stdin:
        command = json.loads(line)
        if side == "memory":  # seconds that a byte takes
            reply = {"seconds": 1 / max(_roofline.bytes_per_second(what, 64, repeats=2) for what in roofline.PASSES)}
        elif "name" in command:
            step = None  # the memory of the one before
            step = optimizer_of(side, command["name"], SHAPES[command["size"]])
            for _ in range(3):
                step()
            reply = {"ready": True}
        else:
            reply = {"seconds": turn(step, command["seconds"])}
        print(json.dumps(reply), flush=True)


def compare(sides, name, size, pairs):
    """Median seconds of every side; sides take turns there and back."""
    for side in sides:
        side.ask(name=name, size=size)
    times = {side.side: [] for side in sides}
    for i in range(pairs):
        for side in sides if i % 2 == 0 else sides[::-1]:
            time.sleep(PAUSE)
            times[side.side].append(side.ask(seconds=0.05)["seconds"])
    return {side: np.array(t) for side, t in times.items()}


def measure(threads, pairs, names, sizes):
    """Rows of results for a number of threads; prints them as they come."""
    torch = find_spec("torch") is not None
    rows = []
    print(
        f"\n{threads} thread{'s' if threads > 1 else ''}: microseconds a step; ratio = PyTorch's time / fastdl's [95 %]"
    )
    for name in names:
        kinds = ["fastdl"]
        if torch and name not in ("AdamP", "SGDP"):
            kinds += ["torch", "torch fused"] if name in FUSED else ["torch"]
        with ExitStack() as stack:
            sides = [
                stack.enter_context(Worker(kind, threads, cpus_for(threads), "optimizers"))
                for kind in ["memory", *kinds]
            ]
            for size in sizes:
                times = compare(sides if size == "large" else sides[1:], name, size, pairs)
                numbers = sum(int(np.prod(s)) for s in SHAPES[size])
                seconds = {kind: float(np.median(times[kind])) for kind in kinds}
                row = {"optimizer": name, "size": size, "threads": threads, "seconds": seconds, "ratios": {}}
                text = f"{name:<10} {size:<6} fastdl {seconds['fastdl'] * 1e6:>9.1f}"
                for kind in kinds[1:]:
                    ratio, (low, high) = ratio_and_interval(times[kind], times["fastdl"])
                    row["ratios"][kind] = {"ratio": ratio, "interval": [low, high]}
                    text += f"   {kind} {seconds[kind] * 1e6:>9.1f}: {ratio:.2f} [{low:.2f}, {high:.2f}]"
                if size == "large":
                    moved = OPTIMIZERS[name][1] * 4 * numbers
                    row["share"], (low, high) = ratio_and_interval(moved * times["memory"], times["fastdl"])
                    row["share_interval"] = [low, high]
                    text += f"   share of the bandwidth {row['share']:.0%} [{low:.0%}, {high:.0%}]"
                print(text, flush=True)
                rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS))
    parser.add_argument("--size", nargs="+", choices=("small", "large"), default=["small", "large"])
    parser.add_argument("--out", help="file for the results (JSON)")
    args = parser.parse_args()
    rows = [row for n in args.threads for row in measure(n, args.pairs, args.only, args.size)]
    if args.out:
        Path(args.out).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] in SIDES:
        serve(sys.argv[1], int(sys.argv[2]))
    else:
        main()
