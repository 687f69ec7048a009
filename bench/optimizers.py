"""Optimizer steps beside PyTorch's, default and fused, and beside the memory limit.

    python -m bench.optimizers [--threads 1 2] [--pairs 9] [--only Adam] [--size small|large] [--out results.json]

Two shapes: 200 small tensors (64 numbers each), where the cost of a call decides, and 25 million parameters in 300 tensors, where
memory does. The sides take turns as in pair.py, each in a process of its own; torch's `fused=True` where it has it. Share is the
bytes that a step must move (states, gradients, parameters) at the bandwidth of roofline.py's triad, over the time it takes.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from . import roofline
from .pair import PAUSE, cpus_for, ratio_and_interval

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


def serve(side, threads):
    """The process of one side: builds a step, then times turns of it, on lines of JSON."""
    if side != "fastdl":
        import torch

        torch.set_num_threads(threads)
    step = None
    for line in sys.stdin:
        command = json.loads(line)
        if "name" in command:
            step = None  # the memory of the one before
            step = optimizer_of(side, command["name"], SHAPES[command["size"]])
            for _ in range(3):
                step()
            reply = {"ready": True}
        else:
            times, end = [], time.perf_counter() + command["seconds"]
            while not times or time.perf_counter() < end:
                began = time.perf_counter()
                step()
                times.append(time.perf_counter() - began)
            reply = {"seconds": float(np.median(times))}
        print(json.dumps(reply), flush=True)


class Side:
    """A process that serves one side."""

    def __init__(self, side, threads, cpus):
        root = str(Path(__file__).parents[1])
        env = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "FASTDL_NUM_THREADS"), str(threads))}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "bench.optimizers", "--serve", side, "--threads", str(threads)]
        pin = (lambda: os.sched_setaffinity(0, cpus)) if hasattr(os, "sched_setaffinity") else None
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=root, preexec_fn=pin
        )
        self.side = side

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self.side} process ended on {command}")
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.stdin.close()
        self.process.wait(20)


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
    bandwidth = roofline.measure([threads])[threads]["triad"]
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
            sides = [stack.enter_context(Side(kind, threads, cpus_for(threads))) for kind in kinds]
            for size in sizes:
                times = compare(sides, name, size, pairs)
                numbers = sum(int(np.prod(s)) for s in SHAPES[size])
                seconds = {side: float(np.median(t)) for side, t in times.items()}
                row = {"optimizer": name, "size": size, "threads": threads, "seconds": seconds, "ratios": {}}
                row["share"] = OPTIMIZERS[name][1] * 4 * numbers / bandwidth / seconds["fastdl"]
                text = f"{name:<10} {size:<6} fastdl {seconds['fastdl'] * 1e6:>9.1f}"
                for kind in kinds[1:]:
                    ratio, (low, high) = ratio_and_interval(times[kind], times["fastdl"])
                    row["ratios"][kind] = {"ratio": ratio, "interval": [low, high]}
                    text += f"   {kind} {seconds[kind] * 1e6:>9.1f}: {ratio:.2f} [{low:.2f}, {high:.2f}]"
                if size == "large":
                    text += f"   share of the bandwidth {row['share']:.0%}"
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
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.threads[0])
        return
    rows = [row for n in args.threads for row in measure(n, args.pairs, args.only, args.size)]
    if args.out:
        Path(args.out).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
