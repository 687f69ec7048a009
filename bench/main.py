"""What `fastdl bench` and `python -m bench` do with their arguments."""

import importlib.util
import os

from fastdl import _info, threads

from . import pair, report, roofline
from .workloads import WORKLOADS

FILES = {
    "kernels": "benchmarks",
    "models": "benchmarks",
}  # of the others: benchmarks_zoo, ..., with a mean of their own
SHARE_OF_BAR = 0.8  # what a lower instruction set than the machine's must reach of the ratio asked for


def run(args):
    tier = os.environ.get("FASTDL_ISA")  # the other side keeps the machine's best
    counts = args.threads or sorted({1, threads.available_cpus()})
    for n in counts:
        pair.cpus_for(n)
    chosen = [w for w in WORKLOADS if w.group == args.what and (args.only is None or args.only in w.name)]
    if not chosen and args.what != "roofline":
        names = ", ".join(w.name for w in WORKLOADS if w.group == args.what)
        raise ValueError(f"no workload of {args.what} has {args.only!r} in its name; there are: {names}")
    limits = roofline.measure(counts)
    print(roofline.render(limits), flush=True)
    if args.what == "roofline":
        return
    sides = ("torch", "fastdl")
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: fastdl alone (pip install torch for the comparison)")
        sides = ("fastdl",)
    rows, versions = [], set()
    for n in counts:
        other = "the rival" if args.what == "rivals" else "PyTorch"
        print(f"\n{n} thread{'s' if n > 1 else ''}: milliseconds, ratio = {other}'s time / fastdl's")
        for workload in chosen:
            row = side_by_side(workload, n, args, sides)
            if row is None:
                continue
            row["limit"] = limits[n]
            if tier:
                row["share_of_bar"] = SHARE_OF_BAR
            rows.append(row)
            versions |= set(row["versions"].values())
            for c in report.cells(row, workload):
                print(
                    f"{c['workload']:<56} {c['pass'][:12]:<12} {c['fastdl']:>8} {c['torch']:>8}  {c['ratio']:<22} "
                    f"asked {c['bar']:<5} {c['verdict']:<4} limit {c['share']:>5}  error {c['error']}",
                    flush=True,
                )
            for rung, seconds in row["rungs"].items():
                print(f"{'':<46} on {rung}: " + ", ".join(f"{k} {report.human(v)} ms" for k, v in seconds.items()))
        of_all = report.summary([row for row in rows if row["threads"] == n], {w.name: w for w in chosen})
        if of_all and of_all["count"] > 1:
            ratio, name = of_all["lowest"]
            print(f"{of_all['count']} ratios, geometric mean {of_all['mean']:.2f}, lowest {ratio:.2f} ({name})")
    machine = {"cpu": _info.cpu_name(), "isa": _info.collect()["isa"], "versions": sorted(versions)}
    if args.out and rows:
        print(
            f"\nsaved {report.save(args.out, rows, limits, machine, tier, FILES.get(args.what, f'benchmarks_{args.what}'))}"
        )


def side_by_side(workload, threads, args, sides):
    """The row of a workload; fastdl's part alone where PyTorch cannot take part, None where fastdl fails too."""
    if workload.rival != "torch":
        if not importlib.util.find_spec(workload.needs):
            print(f"{workload.name}: skipped, {workload.needs} is not installed", flush=True)
            return None
        sides = (workload.rival, "fastdl")
    able = sides if importlib.util.find_spec(workload.needs) else ("fastdl",)
    for taking_part in dict.fromkeys([able, ("fastdl",)]):
        try:
            rungs = ("numpy", "numba") if args.rungs else ()
            return pair.measure(workload, threads, args.pairs, taking_part, rungs, not args.no_errors)
        except RuntimeError as error:
            print(f"{workload.name}: {error}", flush=True)
    return None
