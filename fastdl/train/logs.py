"""Callbacks that watch a run and write down what they see: gradient norms, single steps, validation between steps, the gap."""

import json

import numpy as np

from fastdl.nn.utils import get_total_norm
from fastdl.train.callbacks import Callback


class GradientNorm(Callback):
    """Adds grad_norm (mean over the epoch's steps) and grad_norm_max to the record; layers=True: grad_norm.<parameter> too.

    Norms are those of the gradients before clipping.
    """

    def __init__(self, layers=False):
        self.layers = layers
        self.sums: dict = {}
        self.most, self.steps = 0.0, 0

    def on_backward(self, trainer):
        named = [(name, p.grad) for name, p in trainer.model.named_parameters() if p.grad is not None]
        total = float(get_total_norm([g for _, g in named]))
        self.sums["grad_norm"] = self.sums.get("grad_norm", 0.0) + total
        self.most, self.steps = max(self.most, total), self.steps + 1
        for name, g in named if self.layers else ():
            key = f"grad_norm.{name}"
            self.sums[key] = self.sums.get(key, 0.0) + float(np.linalg.norm(g.array))

    def on_epoch_end(self, trainer, record):
        if self.steps:
            record.update({name: total / self.steps for name, total in self.sums.items()})
            record["grad_norm_max"] = self.most
        self.sums, self.most, self.steps = {}, 0.0, 0

    def state_dict(self):
        return {"sums": dict(self.sums), "most": self.most, "steps": self.steps}

    def load_state_dict(self, state):
        self.sums, self.most, self.steps = dict(state["sums"]), state["most"], state["steps"]


class StepLog(Callback):
    """A line for every `every`-th step in a file of the run's folder: step, epoch, lr, loss; CSV, or JSON lines by the ending.

    (The epochs are in history.jsonl.) A resumed run keeps the lines up to its checkpoint and goes on behind them.
    """

    columns = ("step", "epoch", "lr", "loss")

    def __init__(self, file="steps.csv", every=1):
        if every < 1 or not file.endswith((".csv", ".jsonl")):
            raise ValueError(f"StepLog: needs a .csv or .jsonl file and every >= 1; got {file!r} and {every}")
        self.file, self.every, self.lines = file, every, 0

    def on_fit_start(self, trainer):
        if trainer.out is None:
            raise ValueError("StepLog: the Trainer needs a folder, out=")
        self.path = trainer.out / self.file
        if not trainer.step:
            self.lines = 0
        kept = self.path.read_text().splitlines(keepends=True)[: self.lines] if self.lines else []
        if not kept and self.file.endswith(".csv"):
            kept = [",".join(self.columns) + "\n"]
        self.path.write_text("".join(kept))
        self.lines = len(kept)

    def on_step(self, trainer, loss):
        if trainer.step % self.every:
            return
        rate = trainer.optimizer if not isinstance(trainer.optimizer, dict) else next(iter(trainer.optimizer.values()))
        row = (trainer.step, trainer.epoch + 1, rate.param_groups[0]["lr"], loss)
        with open(self.path, "a") as file:
            line = ",".join(map(repr, row)) if self.file.endswith(".csv") else json.dumps(dict(zip(self.columns, row)))
            file.write(line + "\n")
        self.lines += 1

    def state_dict(self):
        return {"lines": self.lines}

    def load_state_dict(self, state):
        self.lines = state["lines"]


class EvaluateSteps(Callback):
    """Validation between the steps of an epoch, every `every` steps: for epochs that are long. `records` has {"step", "loss", ...}.

    The model is judged in evaluation mode and trains on as if nothing had been: no random number is drawn.
    """

    def __init__(self, loader, every: int):
        if every < 1:
            raise ValueError(f"EvaluateSteps: every must be at least 1; got {every}")
        self.loader, self.every, self.records = loader, every, []

    def on_fit_start(self, trainer):
        if not trainer.step:
            self.records = []

    def on_step(self, trainer, loss):
        if trainer.step % self.every == 0:
            self.records.append({"step": trainer.step, **trainer.evaluate(self.loader)})

    def state_dict(self):
        return {"records": [dict(r) for r in self.records]}

    def load_state_dict(self, state):
        self.records = [dict(r) for r in state["records"]]


class GeneralizationGap(Callback):
    """Adds gap = val_<name> - fit_<name> to the record: how much worse the model is on data that it has not seen.

    fit_<name> is measured on `loader`, training data, with the weights of the epoch's end and in evaluation mode, as
    val_<name> is. (The epoch's own mean is over changing weights, with dropout; the gap to it can have the wrong sign.)
    """

    def __init__(self, loader, name="loss"):
        self.loader, self.name = loader, name

    def on_epoch_end(self, trainer, record):
        if f"val_{self.name}" not in record:
            raise KeyError(f"GeneralizationGap: no 'val_{self.name}' in the record; pass validation data to fit")
        record[f"fit_{self.name}"] = trainer.evaluate(self.loader)[self.name]
        record["gap"] = record[f"val_{self.name}"] - record[f"fit_{self.name}"]
