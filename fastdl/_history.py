"""The record of a training run: one JSON object a line, a picture of it, and the line that shows progress."""

import json
import os
import sys
import time
from pathlib import Path


class History:
    """A list of records (dicts of numbers), each also a line of a JSONL file where a path is given."""

    def __init__(self, path=None):
        self.path = None if path is None else Path(path)
        self.records: list[dict] = []

    def start(self, keep: int) -> None:
        """Begin the file: with the first `keep` records that it has (a resumed run), or empty."""
        self.records = read(self.path)[:keep] if self.path and keep else []
        if self.path is None:
            return
        if len(self.records) < keep:
            raise RuntimeError(f"{self.path} has {len(self.records)} records, the checkpoint expects at least {keep}")
        unfinished = self.path.with_name(f".{self.path.name}.unfinished")
        unfinished.write_text("".join(json.dumps(record) + "\n" for record in self.records), encoding="utf-8")
        os.replace(unfinished, self.path)

    def add(self, record: dict) -> None:
        """Append one record; it is on disk when this returns, so a checkpoint never expects a line that is not there."""
        self.records.append(record)
        if self.path is not None:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())


def read(path) -> list[dict]:
    """The records of a JSONL file; a last line that was cut off while it was written does not count."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    records = []
    for line in lines[:-1]:  # what follows the last line break is nothing, or cut off
        records.append(json.loads(line))
    return records


def can_plot() -> bool:
    """True where matplotlib is installed."""
    import importlib.util

    return importlib.util.find_spec("matplotlib") is not None


def plot(records, path, title="", dpi=120) -> None:
    """A PNG (or SVG, by the ending): losses, every other metric, and, where they were recorded and change, learning rates and
    gradient norms over the epochs."""
    from matplotlib.figure import Figure  # no pyplot: nothing global, no window, no display needed
    from matplotlib.ticker import MaxNLocator

    epochs = [r for r in records if "epoch" in r and "loss" in r]
    names = [n for n in (epochs[-1] if epochs else {}) if n not in ("epoch", "step", "seconds")]
    groups = _panels(names, epochs)
    figure = Figure(figsize=(5 * len(groups), 4), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    x = [r["epoch"] for r in epochs]
    for panel, (label, group) in zip(panels, groups.items(), strict=True):
        for name in group:
            panel.plot(x, [r.get(name) for r in epochs], marker=".", label=name.replace("_", " "))
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(set(x)) == 1:  # too narrow for two whole numbers
            panel.set_xticks(x[:1])
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
        if group:
            panel.legend()
        positive = group and min((r[n] for r in epochs for n in group if r.get(n) is not None), default=0) > 0
        if label in ("loss", "gradient norm", "learning rate") and positive:
            panel.set_yscale("log")
    figure.suptitle(title)
    figure.savefig(path, dpi=dpi)


def _panels(names, epochs):
    """{label of a panel: the numbers in it}."""
    rates = [n for n in names if n == "lr" or n.startswith("lr_")]
    norms = [n for n in names if n.startswith("grad_norm") and "." not in n]
    rest = [n for n in names if n not in rates and not n.startswith("grad_norm")]
    losses = [n for n in rest if n.endswith("loss")]
    others = [n for n in rest if n not in losses and not n.startswith(("val_", "fit_"))]
    others += [n for n in rest if n.startswith(("val_", "fit_")) and n not in losses and n[4:] not in others]
    panels = {"loss": losses}
    for n in others:
        panels[n.replace("_", " ")] = [m for m in (n, f"fit_{n}", f"val_{n}") if m in names]
    if any(len({r.get(n) for r in epochs}) > 1 for n in rates):
        panels["learning rate"] = rates
    if norms:
        panels["gradient norm"] = norms
    return panels


class Progress:
    """A bar of tqdm while an epoch runs (loss, metrics, samples/s, time left of the whole run) and one line when it ends.

    Without tqdm, or not on a terminal, the lines only.
    """

    def __init__(self, shown: bool, total_epochs: int):
        self.shown, self.epochs, self.bar = shown, total_epochs, None
        self.steps = self.seen = self.samples = 0
        self.began = self.last = self.run_began = time.perf_counter()
        self.run_steps = 0  # of this run, for the time left
        self.tqdm = None
        if shown and sys.stderr.isatty():
            try:
                from tqdm import tqdm

                self.tqdm = tqdm
            except ImportError:
                pass

    def start_epoch(self, epoch: int, steps, done: int) -> None:
        self.epoch, self.steps, self.seen, self.samples = epoch, steps, done, 0
        self.began = self.last = time.perf_counter()
        if self.tqdm is not None:
            label = f"epoch {epoch}/{self.epochs}"
            self.bar = self.tqdm(
                total=steps, initial=done, desc=label, leave=False, mininterval=0.1,
                bar_format="{desc} |{bar}| {n_fmt}/{total_fmt} {postfix}",
            )  # fmt: skip

    def step(self, loss: float, samples: int = 0, means: dict | None = None) -> None:
        """A batch is done: its loss, how many samples it had, and the means of the epoch so far."""
        self.seen, self.samples, self.run_steps = self.seen + 1, self.samples + samples, self.run_steps + 1
        self.last = time.perf_counter()
        if self.bar is None:
            return
        shown = "  ".join(f"{k.replace('_', ' ')} {v:.4f}" for k, v in (means or {"loss": loss}).items())
        if self.steps is not None:  # how long an epoch is
            left = (self.epochs - self.epoch + 1) * self.steps - self.seen
            shown += f"  {clock(left * (self.last - self.run_began) / self.run_steps)} left"
        self.bar.set_postfix_str(f"{self.rate():,.0f} samples/s  {shown}", refresh=False)
        self.bar.update()

    def rate(self) -> float:
        """Samples a second in this epoch's steps."""
        return self.samples / max(self.last - self.began, 1e-9)

    def end_epoch(self, record: dict | None = None) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        if self.shown and record is not None:
            numbers = [
                f"{k.replace('_', ' ')} {v:.4f}" for k, v in record.items() if k not in _NOT_SHOWN and "." not in k
            ]
            width = len(str(self.epochs))
            speed = f"  {self.rate():,.0f} samples/s" if self.samples else ""
            print(
                f"epoch {record['epoch']:{width}}/{self.epochs}  {'  '.join(numbers)}  {record['seconds']:.1f} s{speed}",
                file=sys.stderr,
                flush=True,
            )


def clock(seconds: float) -> str:
    """75 -> "1:15", 3700 -> "1:01:40"."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


_NOT_SHOWN = ("epoch", "step", "lr", "seconds")
