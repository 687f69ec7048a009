"""Pictures of a benchmark run: the roofline, and the ratio of every workload."""

import numpy as np

from .roofline import bandwidth
from .workloads import WORKLOADS

FASTDL, TORCH, GREY = "#1b6ca8", "#d1603d", "#888888"
FAMILIES = ("matmul", "conv", "depthwise", "deconv", "attention", "LSTM", "GRU", "RoI", "")  # "" is everything else


def _family(name):
    return next(f for f in FAMILIES if name.startswith(f))


def _axes(width, height):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def roofline(results, file, threads=1):
    """GFLOP/s over FLOP per byte on one thread, below the measured limits; a grey line leads from PyTorch to fastdl."""
    limit = results["limits"].get(str(threads))
    rows = [row for row in results["rows"] if row["threads"] == threads]
    if not limit or not rows:
        return
    known = {w.name: w for w in WORKLOADS}
    figure, axes = _axes(9, 5.6)
    memory = bandwidth(limit)
    intensity = np.logspace(-1, 3.3, 200)
    axes.plot(intensity, np.minimum(limit["flops"], memory * intensity) / 1e9, color="black", lw=1.5)
    axes.text(
        1100, limit["flops"] / 1e9 * 1.06, f"{limit['flops'] / 1e9:.0f} GFLOP/s", ha="right", va="bottom", fontsize=8
    )
    axes.text(0.12, memory * 0.12 / 1e9 * 1.25, f"{memory / 1e9:.0f} GB/s", rotation=38, fontsize=8)
    markers = dict(zip(FAMILIES, "osDv^P*X.", strict=True))
    shown = set()
    for row in rows:
        w = known.get(row["workload"])
        if w is None or "fwd" not in row["passes"] or not w.flops:
            continue
        seconds = row["passes"]["fwd"]["seconds"]
        x, family = w.flops / w.bytes, _family(w.name)
        mine = w.flops / seconds["fastdl"] / 1e9
        if "torch" in seconds:
            theirs = w.flops / seconds["torch"] / 1e9
            axes.plot([x, x], [theirs, mine], color=GREY, lw=0.7, zorder=1)
            axes.plot(x, theirs, markers[family], color=TORCH, ms=4, zorder=2)
        label = (family or "others") if family not in shown else None
        shown.add(family)
        axes.plot(x, mine, markers[family], color=FASTDL, ms=6, zorder=3, label=label)
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte (definition of the operation)", ylabel="GFLOP/s")
    axes.set_title(
        f"Forward passes on {threads} thread{'s' if threads > 1 else ''}: fastdl blue, PyTorch orange. "
        "Above the roof: Winograd (fewer FLOPs), data in cache",
        fontsize=10,
    )
    axes.grid(alpha=0.3, which="both", lw=0.4)
    axes.legend(fontsize=8, loc="lower right", ncols=2)
    figure.savefig(file, dpi=130)


def ratios(results, file):
    """PyTorch's time over fastdl's, a bar a pass, one colour a thread count; the tick is what was asked for."""
    known = {w.name: w for w in WORKLOADS}
    names = [w.name for w in WORKLOADS]
    counts = sorted({row["threads"] for row in results["rows"]})
    found = {}
    for row in results["rows"]:
        w = known.get(row["workload"])
        for name, bar in (("fwd", w.bar_fwd), ("both", w.bar_both)) if w else ():
            p = row["passes"].get(name)
            if p and "ratio" in p:
                found.setdefault((w.name, name), (bar, {}))[1][row["threads"]] = p["ratio"]
    if not found:
        return
    keys = sorted(found, key=lambda key: (names.index(key[0]), key[1] == "both"))
    figure, axes = _axes(9, 0.21 * len(keys) + 1.2)
    height = 0.8 / len(counts)
    for i, key in enumerate(keys):
        bar, values = found[key]
        for j, n in enumerate(counts):
            if n in values:
                y = i - 0.4 + (j + 0.5) * height
                axes.barh(
                    y,
                    values[n],
                    height,
                    color=(FASTDL, "#8fbcdb", "#c9dfee")[j % 3],
                    label=None if i else f"{n} threads",
                )
        if bar:
            axes.plot([bar, bar], [i - 0.42, i + 0.42], color=TORCH, lw=1.6)
    labels = [f"{name}{'' if part == 'fwd' else ' (+ backward)'}" for name, part in keys]
    axes.set_yticks(range(len(keys)), labels, fontsize=7)
    axes.set(ylim=(len(keys) - 0.4, -0.6), xlabel="PyTorch's time / fastdl's time; orange: what was asked for")
    axes.axvline(1, color="black", lw=1)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(file, dpi=110)
