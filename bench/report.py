"""benchmarks.json (everything) and benchmarks.md (the table) of a benchmark run. A run adds to the rows of earlier ones."""

import importlib.util
import json
import math
import time
from pathlib import Path

from . import roofline
from .workloads import WORKLOADS

SAME = 1e-3  # relative distance up to which the losses and scores of a network count as the same


def save(folder, rows, limits, machine, tier=None, name="benchmarks"):
    """Add the rows to the files `name` in `folder`; those of an instruction set that was forced (tier) have files of their own."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name}_{tier}" if tier else name
    file = folder / f"{stem}.json"
    known = json.loads(file.read_text()) if file.exists() else {"rows": []}
    fresh = {(row["workload"], row["threads"]) for row in rows}
    kept = [row for row in known["rows"] if (row["workload"], row["threads"]) not in fresh]
    order = {w.name: i for i, w in enumerate(WORKLOADS)}
    merged = sorted(kept + rows, key=lambda row: (row["threads"], order.get(row["workload"], len(order))))
    limits = {**known.get("limits", {}), **{str(n): limit for n, limit in limits.items()}}
    results = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "limits": limits, "rows": merged}
    file.write_text(json.dumps(results, indent=1) + "\n")
    (folder / f"{stem}.md").write_text(markdown(results))
    if importlib.util.find_spec("matplotlib") and stem == "benchmarks":
        from . import plot

        plot.roofline(results, folder / "roofline.png")
        plot.ratios(results, folder / "ratios.png")
    return file


def passes_of(row, workload):
    """(name, measurement, FLOPs, bytes, ratio asked for) of each pass that was timed."""
    for name, bar, factor in (("fwd", workload.bar_fwd, 1), ("both", workload.bar_both, workload.factor)):
        if name in row["passes"]:
            asked = bar and bar * row.get("share_of_bar", 1)
            yield name, row["passes"][name], factor * workload.flops, factor * workload.bytes, asked


def summary(rows, known):
    """How many ratios there are, their geometric mean, the lowest, and how many reach what was asked for."""
    found = [
        (p["ratio"], bar, f"{row['workload']}, {name}")
        for row in rows
        if row["workload"] in known
        for name, p, _, _, bar in passes_of(row, known[row["workload"]])
        if "ratio" in p
    ]
    if not found:
        return None
    lowest = min(found)
    asked = [(ratio, bar) for ratio, bar, _ in found if bar]
    return {
        "count": len(found),
        "mean": math.exp(sum(math.log(ratio) for ratio, _, _ in found) / len(found)),
        "lowest": (lowest[0], lowest[2]),
        "met": sum(ratio >= bar for ratio, bar in asked),
        "asked": len(asked),
    }


def human(seconds):
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"


PASSES = {
    True: {"fwd": "forward", "both": "forward and backward"},  # of a kernel
    False: {"fwd": "inference", "both": "step"},
}


def cells(row, workload):
    """One line of the table for each pass."""
    for name, p, flops, moved, bar in passes_of(row, workload):
        fast, torch = p["seconds"]["fastdl"], p["seconds"].get(workload.rival)
        limit = row.get("limit")
        share = roofline.share(limit, flops, moved, fast) if limit else None
        error = p.get("error", {}).get("fastdl")
        text, met = workload.name, "yes" if torch and bar and p["ratio"] >= bar else "no"
        if workload.rate:
            count, what = workload.rate
            text += f" ({count / fast:.1f} {what}/s" + (f", PyTorch {count / torch:.1f})" if torch else ")")
        if workload.group != "kernels" and error is not None and not error <= SAME:
            met = "other results"
        yield {
            "workload": text,
            "threads": row["threads"],
            "pass": PASSES[workload.group == "kernels"][name],
            "fastdl": human(fast),
            "torch": human(torch) if torch else "-",
            "ratio": f"{p['ratio']:.2f} ({p['interval'][0]:.2f} to {p['interval'][1]:.2f})" if torch else "-",
            "bar": f"{bar:g}" if bar else "-",
            "verdict": met if torch and bar else "",
            "share": f"{share:.0%}" if share is not None else "-",
            "error": f"{error:.1e}" if error is not None else "-",
            "preempted": sum(p["preempted_turns"].values()),
        }


def markdown(results):
    known = {w.name: w for w in WORKLOADS}
    machine = results["machine"]
    groups = dict.fromkeys(known[row["workload"]].group for row in results["rows"] if row["workload"] in known)
    commands = " and ".join(f"`python -m bench {group} --out docs`" for group in groups)
    lines = [
        "# Results",
        "",
        f"Written by {commands}; do not edit.",
        "",
        f"{results['date']}, {machine['cpu']}, {machine['isa']}; {', '.join(machine['versions'])}. Two pinned processes take",
        "turns (bench/pair.py). Times are medians in milliseconds; ratio is PyTorch's time over fastdl's (above 1: fastdl is",
        "faster) with its 95 % interval, PyTorch in the better of its memory layouts and with fused optimizers. Share is of",
        "the measured FMA rate or memory bandwidth, whichever limits; fast algorithms can exceed 100 %. Error is the relative",
        "L2 distance to float64. Busy: turns that the system interrupted even when repeated; many of them make a row unsure.",
        "",
    ]
    for n in sorted({row["threads"] for row in results["rows"]}):
        limit = results["limits"].get(str(n))
        lines += [f"## {n} thread{'s' if n > 1 else ''}", ""]
        if limit:
            lines += [
                f"Measured limits: {limit['flops'] / 1e9:.0f} GFLOP/s, "
                + ", ".join(f"{what} {limit[what] / 1e9:.1f} GB/s" for what in roofline.PASSES if what in limit)
                + ".",
                "",
            ]
        s = summary([row for row in results["rows"] if row["threads"] == n], known)
        if s:
            lines += [
                f"{s['count']} ratios, geometric mean **{s['mean']:.2f}**; {s['met']} of {s['asked']} reach what was asked for; "
                f"the lowest is {s['lowest'][0]:.2f} ({s['lowest'][1]}).",
                "",
            ]
        other = "rival" if set(groups) == {"rivals"} else "PyTorch"
        lines += [f"| workload | pass | fastdl ms | {other} ms | ratio | asked for | met | share | error | busy |"]
        lines += ["|---|---|---:|---:|---:|---:|---|---:|---:|---:|"]
        for row in results["rows"]:
            if row["threads"] == n and row["workload"] in known:
                for c in cells(row, known[row["workload"]]):
                    lines.append(
                        f"| {c['workload']} | {c['pass']} | {c['fastdl']} | {c['torch']} | {c['ratio']} | {c['bar']} "
                        f"| {c['verdict']} | {c['share']} | {c['error']} | {c['preempted']} |"
                    )
        lines.append("")
    return "\n".join(lines + memory(results["rows"]) + rungs(results["rows"]))


def memory(rows):
    """The table of what a workload adds to the peak of the process's memory."""
    both = [row for row in rows if row.get("memory", {}).keys() >= {"fastdl", "torch"}]
    if not both:
        return []
    lines = [
        "## Peak memory",
        "",
        "What building and running a workload adds to the peak of the process's resident memory, in MB.",
        "",
        "| workload | threads | fastdl | PyTorch |",
        "|---|---|---:|---:|",
    ]
    for row in both:
        fastdl, torch = (row["memory"][side] / 2**20 for side in ("fastdl", "torch"))
        lines.append(f"| {row['workload']} | {row['threads']} | {fastdl:.0f} | {torch:.0f} |")
    return [*lines, ""]


def rungs(rows):
    """The table of the slower rungs, where they were timed (--rungs). Naive would take hours: see `fastdl study`."""
    timed = [row for row in rows if row.get("rungs")]
    if not timed:
        return []
    lines = [
        "## The other rungs",
        "",
        "| workload | threads | pass | NumPy ms | Numba ms | C ms |",
        "|---|---|---|---:|---:|---:|",
    ]
    for row in timed:
        for name, p in row["passes"].items():
            numpy, numba = (human(row["rungs"][rung][name]) for rung in ("numpy", "numba"))
            lines.append(
                f"| {row['workload']} | {row['threads']} | {name} | {numpy} | {numba} | {human(p['seconds']['fastdl'])} |"
            )
    return [*lines, ""]
