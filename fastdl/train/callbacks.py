"""What may happen beside training. A callback's state, if it has any, is part of every checkpoint."""

import json
import math

import numpy as np

from fastdl.io import save
from fastdl.nn.utils import get_total_norm
from fastdl.optim import EMA


class Callback:
    """Override what is needed; the methods are called in the order of the callbacks."""

    def on_fit_start(self, trainer) -> None: ...

    def on_batch(self, trainer, batch):
        """Before a step: what it returns, if not None, takes the place of the batch (Mixup, noise, ...)."""

    def on_backward(self, trainer) -> None:
        """The gradients are there, neither clipped nor used."""

    def on_step(self, trainer, loss: float) -> None: ...

    def on_evaluate_start(self, trainer) -> None:
        """Before the validation at the end of an epoch."""

    def on_evaluate_end(self, trainer) -> None: ...

    def on_epoch_end(self, trainer, record: dict) -> None:
        """The record may still be added to."""

    def on_fit_end(self, trainer) -> None: ...

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None: ...


class _Watch(Callback):
    """What callbacks share that look for the best value of a number of the record."""

    def __init__(self, monitor, mode, min_delta=0.0):
        if mode not in ("min", "max"):
            raise ValueError(f"{type(self).__name__}: mode must be 'min' or 'max'; got {mode!r}")
        self.monitor, self.min_delta, self.sign = monitor, min_delta, 1 if mode == "min" else -1
        self.best, self.best_epoch = math.inf, 0

    def improved(self, record) -> bool:
        """Is this the best value so far? Then it is the new best."""
        if self.monitor not in record:
            raise KeyError(f"{type(self).__name__}: no {self.monitor!r} in the record; there are {', '.join(record)}")
        value = self.sign * record[self.monitor]
        if not value < self.best - self.min_delta:
            return False
        self.best, self.best_epoch = value, record["epoch"]
        return True


class EarlyStopping(_Watch):
    """Stop when `monitor` has not become better by more than min_delta for `patience` epochs.

    restore_best: when training ends, by this or because the epochs are over, the model gets the weights of its best epoch
    (beside EMAWeights, which then comes first: the averaged ones).
    Ref: Prechelt, "Early Stopping - But When?", 1998.
    """

    def __init__(self, monitor="val_loss", patience=5, min_delta=0.0, mode="min", restore_best=False):
        super().__init__(monitor, mode, min_delta)
        self.patience, self.restore_best, self.waited = patience, restore_best, 0
        self.weights: dict = {}  # name -> array, of the best epoch

    def on_epoch_end(self, trainer, record):
        if self.improved(record):
            self.waited = 0
            if self.restore_best:
                self.weights = trainer.judged_weights()
        else:
            self.waited += 1
            if self.waited >= self.patience:
                trainer.stop = True

    def on_fit_end(self, trainer):
        if self.weights:
            trainer.model.load_state_dict(self.weights)

    def state_dict(self):
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state):
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]
        self.weights = dict(state["weights"])


class BestWeights(_Watch):
    """Keep the weights of the best epoch in a file of the run's folder."""

    def __init__(self, monitor="val_loss", mode="min", file="best.safetensors"):
        super().__init__(monitor, mode)
        self.file = file

    def on_fit_start(self, trainer):
        if trainer.out is None:
            raise ValueError("BestWeights: the Trainer needs a folder, out=")

    def on_epoch_end(self, trainer, record):
        if self.improved(record):
            save(trainer.judged_weights(), trainer.out / self.file)

    def state_dict(self):
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state):
        self.best, self.best_epoch = state["best"], state["best_epoch"]


class LRSchedule(Callback):
    """A learning-rate schedule beside the Trainer's own: for a second optimizer, or a second schedule. every: "epoch", "step"."""

    def __init__(self, scheduler, every="epoch"):
        if every not in ("epoch", "step"):
            raise ValueError(f"LRSchedule: every must be 'epoch' or 'step'; got {every!r}")
        self.scheduler, self.every = scheduler, every

    def on_step(self, trainer, loss):
        if self.every == "step":
            self.scheduler.step()

    def on_epoch_end(self, trainer, record):
        if self.every == "epoch":
            self.scheduler.step()

    def state_dict(self):
        return self.scheduler.state_dict()

    def load_state_dict(self, state):
        self.scheduler.load_state_dict(state)


class EMAWeights(Callback):
    """An exponential moving average of the parameters (optim.EMA), updated after every step.

    Validation is done with the averaged weights, and the model has them when training ends. warmup: the decay is at most
    (1 + n) / (10 + n) at update n, so that the random start is soon forgotten.
    """

    def __init__(self, decay=0.999, warmup=True):
        if not 0 <= decay < 1:
            raise ValueError(f"EMAWeights: decay must lie in [0, 1); got {decay}")
        self.decay, self.warmup = decay, warmup
        self.ema: EMA | None = None
        self._found: dict = {}  # the state of a checkpoint, until there is a model
        self._applied = None

    @property
    def average(self) -> dict:
        """name -> array, the averaged parameters."""
        return {} if self.ema is None else self.ema.shadow

    def on_fit_start(self, trainer):
        if self.ema is None or self.ema.model is not trainer.model or not trainer.step:
            self.ema = EMA(trainer.model, self.decay, self.warmup)
        if self._found:
            self.ema.load_state_dict(self._found)
            self._found = {}

    def on_step(self, trainer, loss):
        self.ema.update()

    def on_evaluate_start(self, trainer):
        self._applied = self.ema.applied()
        self._applied.__enter__()

    def on_evaluate_end(self, trainer):
        self._applied.__exit__(None, None, None)

    def on_fit_end(self, trainer):
        self.ema.copy_to()

    def state_dict(self):
        return {} if self.ema is None else self.ema.state_dict()

    def load_state_dict(self, state):
        self._found = state


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
