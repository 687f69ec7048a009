"""The process of one side. Reads one JSON command a line from standard input, answers with one line on standard output.

{"do": "build", "workload": "..."}                 -> {"passes": {"fwd": [seconds of each option], ...}, "memory": bytes}
{"do": "turn", "pass": "fwd", "seconds": 0.05}     -> {"seconds": median of one call, "least": ..., "preempted": n}
{"do": "save", "file": "...", "dtype": "float64"}  -> {}        results of every pass, for the comparison
"""

import json
import os
import resource
import sys
import time

import numpy as np

from .sides import SIDES
from .workloads import WORKLOADS


def main(name, threads):
    side_class = SIDES[name]
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing a library prints can spoil the answers
    calls = {}  # pass -> the fastest option's function
    workload = None
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "build":
            workload = next(w for w in WORKLOADS if w.name == command["workload"])
            calls, reply = build(side_class, workload, threads)
        elif command["do"] == "turn":
            reply = turn(calls[command["pass"]], command["seconds"])
        elif command["do"] == "rung":
            reply = on_rung(calls, command["rung"])
        elif command["do"] == "save":
            reply = save(side_class, workload, threads, command["file"], command["dtype"])
        answer.write(json.dumps(reply) + "\n")
        answer.flush()


def build(side_class, workload, threads):
    """Builds the workload once for each option and keeps, for each pass, the option that is faster here."""
    best, times = {}, {}
    before = memory = None
    for option in side_class.options:
        side = side_class(option)
        side.set_threads(threads)
        before = before or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, call in workload.make(side).items():
            for _ in range(3):
                call()
            seconds = turn(call, 0.2)["seconds"]
            times.setdefault(name, {})[option] = seconds
            if name not in best or seconds < best[name][0]:
                best[name] = (seconds, call)
        if memory is None:  # of the first option alone: the arrays of the next come on top
            memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    reply = {"passes": times, "memory": memory, "version": side.version()}
    return {name: call for name, (_, call) in best.items()}, reply


def stolen():
    """Clock ticks that the hypervisor gave to others, where the system counts them."""
    try:
        with open("/proc/stat") as file:
            return int(file.readline().split()[8])
    except (OSError, IndexError, ValueError):
        return 0


def turn(call, seconds):
    """Calls until the time is up; one call outside the clock first, to wake threads and caches after the idle time."""
    call()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw + stolen()
    times, begun = [], time.perf_counter()
    while True:
        start = time.perf_counter()
        call()
        end = time.perf_counter()
        times.append(end - start)
        if end - begun > seconds:
            break
    preempted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw + stolen() - before
    return {"seconds": float(np.median(times)), "least": min(times), "preempted": preempted}


def on_rung(calls, rung):
    """Seconds of each pass on another rung; the first call, which may compile, is not counted."""
    from fastdl import kernels

    with kernels.use(rung):
        return {name: turn(call, 0.2)["seconds"] for name, call in calls.items()}


def save(side_class, workload, threads, file, dtype):
    side = side_class("", dtype)
    side.set_threads(threads)
    results = {}
    for name, call in workload.make(side).items():
        for i, tensor in enumerate(call()):
            results[f"{name}_{i}"] = side.numpy(tensor)
    np.savez(file, **results)
    return {}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
