"""The protocol: two processes pinned to the same CPUs with equal threads take turns, ABBA, with a pause between turns.

Never both libraries in one process: their thread pools would fight. The pause lets the other side's spinning workers go to
sleep. The ratio is the median, over the pairs of neighbouring turns, of PyTorch's time over fastdl's, with a bootstrap
interval; turns in which the process was preempted are repeated, up to a limit, and counted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

PAUSE = 0.02
TURN = 0.05  # seconds of each turn, at least one call
REPEATS = 3  # times that a preempted turn is tried again


class Worker:
    """The process of one side: a line of JSON to it, a line of JSON back. `program` is a module of this package."""

    def __init__(self, side, threads, cpus, program="worker"):
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "FASTDL_NUM_THREADS": str(threads)}
        env["OPENBLAS_NUM_THREADS"] = str(threads)
        if __package__ == "bench":  # in a checkout; an empty entry would mean the current folder
            root = str(Path(__file__).parents[1])
            env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH")]))
        command = [sys.executable, "-m", f"{__package__}.{program}", side, str(threads)]
        pin = (lambda: os.sched_setaffinity(0, cpus)) if hasattr(os, "sched_setaffinity") else None
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, preexec_fn=pin
        )
        self.side = side

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self.side} process ended (exit code {self.process.wait()}) on {command}")
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def cpus_for(threads):
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    if threads > len(usable):
        raise ValueError(f"{threads} threads were asked for, but this process may use {len(usable)} CPUs")
    return usable[-threads:]  # the first CPU serves most interrupts


def measure(workload, threads, pairs, sides=("torch", "fastdl"), rungs=(), errors=True):
    """One row of the results: times, ratio and its interval, errors, memory; seconds of other rungs of fastdl."""
    row = {"workload": workload.name, "threads": threads, "passes": {}}
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(side, threads, cpus_for(threads))) for side in sides]
        built = [worker.ask(do="build", workload=workload.name) for worker in workers]
        row["memory"] = {side: b["memory"] for side, b in zip(sides, built, strict=True)}
        row["versions"] = {side: b["version"] for side, b in zip(sides, built, strict=True)}
        for name in built[-1]["passes"]:
            result = take_turns(workers, name, pairs)
            result["options"] = {side: b["passes"][name] for side, b in zip(sides, built, strict=True)}
            row["passes"][name] = result
        row["rungs"] = {rung: workers[-1].ask(do="rung", rung=rung) for rung in rungs}
        found = compare(workers) if errors else {}
    for name, values in found.items():
        row["passes"][name]["error"] = values
    return row


def take_turns(workers, name, pairs):
    """Turns A B B A A B B A ...; every side has `pairs` turns."""
    times = {w.side: [] for w in workers}
    least, preempted = dict.fromkeys(times, np.inf), dict.fromkeys(times, 0)
    for i in range(pairs):
        for worker in workers if i % 2 == 0 else reversed(workers):
            for _ in range(REPEATS):
                time.sleep(PAUSE)
                reply = worker.ask(do="turn", seconds=TURN, **{"pass": name})
                if not reply["preempted"]:
                    break
            preempted[worker.side] += reply["preempted"] > 0
            times[worker.side].append(reply["seconds"])
            least[worker.side] = min(least[worker.side], reply["least"])
    result = {
        "seconds": {side: float(np.median(t)) for side, t in times.items()},
        "least": least,
        "preempted_turns": preempted,
    }
    if len(workers) == 2:
        first, second = (np.array(times[w.side]) for w in workers)
        result["ratio"], result["interval"] = ratio_and_interval(first, second)
    return result


def ratio_and_interval(torch, fastdl, rounds=2000):
    """Median of the ratios of neighbouring turns, and its 95 % bootstrap interval."""
    ratios = torch / fastdl
    draws = np.random.default_rng(0).integers(0, len(ratios), (rounds, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], axis=1), [2.5, 97.5])
    return float(np.median(ratios)), [float(low), float(high)]


def compare(workers):
    """{pass: {side: error}}: relative L2 distance to the results in float64, the worst over results.

    The reference is the first side's float64 arithmetic (PyTorch's where it is installed, so it is not fastdl's own).
    """
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder, "reference.npz")
        workers[0].ask(do="save", file=str(reference), dtype="float64")
        want = dict(np.load(reference))
        errors = {}
        for worker in workers:
            file = Path(folder, f"{worker.side}.npz")
            worker.ask(do="save", file=str(file), dtype="float32")
            got = dict(np.load(file))
            for key in want:
                passes = errors.setdefault(key.rpartition("_")[0], {})
                norm = float(np.linalg.norm(want[key].ravel())) or 1.0
                error = float(np.linalg.norm((got[key] - want[key]).ravel())) / norm
                passes[worker.side] = max(passes.get(worker.side, 0.0), error)
    return errors
