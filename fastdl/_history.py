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


def plot(records, path, title="") -> None:
    """A PNG (or SVG, by the ending) of losses and of every other metric over the epochs."""
    from matplotlib.figure import Figure  # no pyplot: nothing global, no window, no display needed

    epochs = [r for r in records if "epoch" in r and "loss" in r]
    names = [n for n in (epochs[-1] if epochs else {}) if n not in ("epoch", "step", "lr", "seconds")]
    losses = [n for n in names if n.endswith("loss")]
    others = [n for n in names if n not in losses and not n.startswith("val_")]
    others += [n for n in names if n.startswith("val_") and n not in losses and n[4:] not in others]
    figure = Figure(figsize=(5 * (1 + len(others)), 4), layout="constrained")
    panels = figure.subplots(1, 1 + len(others), squeeze=False)[0]
    x = [r["epoch"] for r in epochs]
    groups = [losses] + [[m for m in (n, f"val_{n}") if m in names] for n in others]
    for panel, group in zip(panels, groups, strict=True):
        for name in group:
            panel.plot(x, [r.get(name) for r in epochs], marker=".", label=name.replace("_", " "))
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
        panel.legend()
    panels[0].set_ylabel("loss")
    if losses and min(r[n] for r in epochs for n in losses if r.get(n) is not None) > 0:
        panels[0].set_yscale("log")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


class Progress:
    """A bar of tqdm while an epoch runs and one line when it ends; without tqdm, or not on a terminal, the lines only."""

    def __init__(self, shown: bool, total_epochs: int):
        self.shown, self.epochs, self.bar = shown, total_epochs, None
        self.tqdm = None
        if shown and sys.stderr.isatty():
            try:
                from tqdm import tqdm

                self.tqdm = tqdm
            except ImportError:
                pass

    def start_epoch(self, epoch: int, steps, done: int) -> None:
        self.began = time.perf_counter()
        if self.tqdm is not None:
            label = f"epoch {epoch}/{self.epochs}"
            self.bar = self.tqdm(total=steps, initial=done, desc=label, leave=False, unit="step", mininterval=0.1)

    def step(self, loss: float) -> None:
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            self.bar.update()

    def end_epoch(self, record: dict | None = None) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        if self.shown and record is not None:
            numbers = [f"{k.replace('_', ' ')} {v:.4f}" for k, v in record.items() if k not in _NOT_SHOWN]
            width = len(str(self.epochs))
            print(
                f"epoch {record['epoch']:{width}}/{self.epochs}  {'  '.join(numbers)}  {record['seconds']:.1f} s",
                file=sys.stderr,
                flush=True,
            )


_NOT_SHOWN = ("epoch", "step", "lr", "seconds")
