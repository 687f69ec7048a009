"""Trainer: data, model, loss and optimizer joined by one loop that can be stopped at any moment and resumed exactly.

A checkpoint holds weights and buffers, the optimizer, the schedule, the random generator, the position of the loader and
the sums of the running epoch. So a run that was killed and resumed ends with the same bits as one that was not.
"""

import logging
import math
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fastdl import random
from fastdl._history import History, Progress, can_plot, plot
from fastdl.autograd import Tensor, no_grad
from fastdl.io.checkpoint import checkpoints, load_latest, save_checkpoint
from fastdl.nn.utils import clip_grad_norm_

__all__ = ["Callback", "EarlyStopping", "Interrupted", "Trainer", "TrainingError"]

log = logging.getLogger("fastdl")


class TrainingError(RuntimeError):
    """Training cannot go on: the loss or the weights are not finite."""


class Interrupted(SystemExit):
    """Ctrl-C or SIGTERM: the state was saved. Not caught, it ends the program with exit code 130 and without a traceback."""

    def __init__(self, message: str):
        super().__init__(130)
        self.message = message

    def __str__(self):
        return self.message


class Callback:
    """What happens beside training: override what is needed. Its state, if any, is part of every checkpoint."""

    def on_fit_start(self, trainer) -> None: ...

    def on_step(self, trainer, loss: float) -> None: ...

    def on_epoch_end(self, trainer, record: dict) -> None: ...

    def on_fit_end(self, trainer) -> None: ...

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None: ...


class EarlyStopping(Callback):
    """Stop when `monitor` has not become better by more than min_delta for `patience` epochs."""

    def __init__(self, monitor="val_loss", patience=5, min_delta=0.0, mode="min"):
        if mode not in ("min", "max"):
            raise ValueError(f"EarlyStopping: mode must be 'min' or 'max'; got {mode!r}")
        self.monitor, self.patience, self.min_delta, self.sign = (
            monitor,
            patience,
            min_delta,
            1 if mode == "min" else -1,
        )
        self.best, self.waited = math.inf, 0

    def on_epoch_end(self, trainer, record):
        if self.monitor not in record:
            raise KeyError(f"EarlyStopping: no {self.monitor!r} in the record; there are {', '.join(record)}")
        value = self.sign * record[self.monitor]
        if value < self.best - self.min_delta:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
            if self.waited >= self.patience:
                trainer.stop = True

    def state_dict(self):
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state):
        self.best, self.waited = state["best"], state["waited"]


class Trainer:
    """One loop for supervised training.

    Parameters
    model         a Module; it is called with all fields of a batch but the last
    loss          function(output, target) -> scalar Tensor, a mean over the batch; target is the last field
    optimizer     an Optimizer over the model's parameters
    scheduler     a learning-rate schedule; schedule_every: "epoch" or "step"
    metrics       {name: function(output, target) -> number}, means over the batch
    callbacks     Callbacks, called in this order
    out           folder for history.jsonl, history.png (where matplotlib is installed) and checkpoints/; None: no files
    checkpoint_steps, checkpoint_seconds   a checkpoint after so many steps or seconds; one at the end in any case
    keep          how many checkpoints stay
    clip_norm     largest norm of all gradients together
    progress      show a bar and a line for each epoch

    With `out`, Ctrl-C and SIGTERM end the running step (or validation), save, and raise Interrupted.
    """

    def __init__(
        self,
        model,
        loss,
        optimizer,
        *,
        scheduler=None,
        schedule_every="epoch",
        metrics=None,
        callbacks=(),
        out=None,
        checkpoint_steps=None,
        checkpoint_seconds=60.0,
        keep=2,
        clip_norm=None,
        progress=True,
    ):
        if schedule_every not in ("epoch", "step"):
            raise ValueError(f"Trainer: schedule_every must be 'epoch' or 'step'; got {schedule_every!r}")
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.scheduler, self.schedule_every = scheduler, schedule_every
        self.metrics, self.callbacks = dict(metrics or {}), list(callbacks)
        self.out = None if out is None else Path(out)
        self.checkpoint_steps, self.checkpoint_seconds, self.keep = checkpoint_steps, checkpoint_seconds, keep
        self.clip_norm, self.progress = clip_norm, progress
        self.history = History(None if self.out is None else self.out / "history.jsonl")
        self.epoch = self.step = 0  # finished
        self.stop = False  # a callback may set it; training ends after the epoch
        self._sums: dict = {}  # of the running epoch: name -> sum over samples
        self._samples = 0
        self._seconds = 0.0
        self._signal = None

    # ------------------------------------------------------------------------------------------------------- fitting

    def fit(self, train, val=None, epochs: int = 1, resume: bool = False) -> list[dict]:
        """Train until `epochs` epochs are done; returns the records, one an epoch.

        resume: go on from the newest sound checkpoint in `out`, if there is one. Otherwise checkpoints of an earlier run in
        the same folder are set aside as checkpoints.old.
        """
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
        elif resume:
            raise ValueError("Trainer.fit: resume needs a folder; pass out= to Trainer")
        self._loaders = {"train": train, "val": val}
        self._start(resume)
        for callback in self.callbacks:
            callback.on_fit_start(self)
        progress = Progress(self.progress, epochs)
        with self._watch_signals():
            try:
                while self.epoch < epochs and not self.stop:
                    self._train_epoch(train, progress)
                    self._finish_epoch(val, progress)
                    self._leave_if_asked()
            finally:
                progress.end_epoch()
            if self.out is not None:
                self._save()
                if can_plot() and self.history.records:
                    plot(self.history.records, self.out / "history.png")
        for callback in self.callbacks:
            callback.on_fit_end(self)
        return self.history.records

    def evaluate(self, loader) -> dict:
        """{"loss": ..., metric: ...} over all batches, in evaluation mode; every sample counts the same."""
        was_training = self.model.training
        self.model.eval()
        sums, samples = {}, 0
        try:
            with no_grad():
                for batch in loader:
                    loss, output, target = self.forward(batch)
                    samples += self._add(sums, loss.item(), output, target)
        finally:
            self.model.train(was_training)
        if samples == 0:
            raise ValueError("Trainer.evaluate: the loader gave no batches")
        return {name: total / samples for name, total in sums.items()}

    def forward(self, batch):
        """(loss, output, target) of a batch. Override it for models whose loss needs more than output and target."""
        *inputs, target = batch
        output = self.model(*inputs)
        return self.loss(output, target), output, target

    def _train_epoch(self, train, progress):
        self.model.train()
        began, before = time.perf_counter(), self._seconds
        position = train.state_dict() if hasattr(train, "state_dict") else {}
        progress.start_epoch(self.epoch + 1, len(train), position.get("batch", 0) if self._samples else 0)
        for batch in train:
            loss, output, target = self.forward(batch)
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingError(self._broken(f"the loss is {value}"))
            self.optimizer.zero_grad()
            loss.backward()
            if self.clip_norm is not None:
                clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()
            if self.scheduler is not None and self.schedule_every == "step":
                self.scheduler.step()
            self.step += 1
            self._samples += self._add(self._sums, value, output.detach(), target)
            self._seconds = before + time.perf_counter() - began
            progress.step(value)
            for callback in self.callbacks:
                callback.on_step(self, value)
            self._save_if_due()
            self._leave_if_asked()

    def _finish_epoch(self, val, progress):
        if self._samples == 0:
            raise ValueError("Trainer.fit: the loader gave no batches")
        record = {"epoch": self.epoch + 1, "step": self.step, "lr": self.optimizer.param_groups[0]["lr"]}
        record.update({name: total / self._samples for name, total in self._sums.items()})
        began = time.perf_counter()
        if val is not None:
            record.update({f"val_{name}": value for name, value in self.evaluate(val).items()})
        record["seconds"] = round(self._seconds + time.perf_counter() - began, 3)
        if self.scheduler is not None and self.schedule_every == "epoch":
            self.scheduler.step()
        self.epoch += 1
        self._sums, self._samples, self._seconds = {}, 0, 0.0
        for callback in self.callbacks:
            callback.on_epoch_end(self, record)
        self.history.add(record)
        progress.end_epoch(record)

    def _add(self, sums, loss, output, target):
        """Add a batch to the sums; returns its number of samples."""
        first = target if isinstance(target, Tensor) else output
        n = first.shape[0] if isinstance(first, Tensor) and first.shape else 1
        sums["loss"] = sums.get("loss", 0.0) + n * loss
        with no_grad():
            for name, function in self.metrics.items():
                sums[name] = sums.get(name, 0.0) + n * float(function(output, target))
        return n

    # --------------------------------------------------------------------------------------------------- checkpoints

    @property
    def _folder(self):
        return self.out / "checkpoints"

    def _start(self, resume):
        self.epoch = self.step = 0
        self.stop = False
        self._sums, self._samples, self._seconds = {}, 0, 0.0
        self._saved = (0, time.monotonic())  # step and time of the last checkpoint
        found = load_latest(self._folder) if resume else None
        if found is not None:
            self._load(found)
        elif self.out is not None and checkpoints(self._folder):
            aside = self.out / "checkpoints.old"
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(self._folder, aside)
        self.history.start(found["state"]["records"] if found else 0)

    def _load(self, found):
        state = found["state"]
        self.model.load_state_dict(found["model"])
        self.optimizer.load_state_dict(found["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        for name, loader in self._loaders.items():
            if hasattr(loader, "load_state_dict") and state["loaders"][name] is not None:
                loader.load_state_dict(state["loaders"][name])
        if len(state["callbacks"]) != len(self.callbacks):
            raise ValueError(
                f"Trainer: the checkpoint has {len(state['callbacks'])} callbacks, this run {len(self.callbacks)}; "
                "resume with the same"
            )
        for callback, values in zip(self.callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(values)
        random.set_rng_state(state["rng"])
        self.step, self.epoch, self.stop = found["step"], state["epoch"], state["stop"]
        self._sums, self._samples, self._seconds = dict(state["sums"]), state["samples"], state["seconds"]
        self._saved = (self.step, time.monotonic())
        log.info("resumed at step %d, epoch %d", self.step, self.epoch + 1)

    def _save(self):
        for name, t in self.model.state_dict().items():
            if t.dtype.kind == "f" and not np.isfinite(t.array).all():
                raise TrainingError(self._broken(f"{name} is not finite"))
        state = {
            "epoch": self.epoch,
            "stop": self.stop,
            "sums": self._sums,
            "samples": self._samples,
            "seconds": self._seconds,
            "records": len(self.history.records),
            "loaders": {
                name: loader.state_dict() if hasattr(loader, "state_dict") else None
                for name, loader in self._loaders.items()
            },
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "rng": random.get_rng_state(),
            "callbacks": [callback.state_dict() for callback in self.callbacks],
        }
        save_checkpoint(
            self._folder, self.step, self.model.state_dict(), self.optimizer.state_dict(), state, keep=self.keep
        )
        self._saved = (self.step, time.monotonic())

    def _save_if_due(self):
        if self.out is None:
            return
        step, moment = self._saved
        by_steps = self.checkpoint_steps is not None and self.step - step >= self.checkpoint_steps
        by_time = self.checkpoint_seconds is not None and time.monotonic() - moment >= self.checkpoint_seconds
        if by_steps or by_time:
            self._save()

    def _broken(self, what):
        """The message of an error that ends the run."""
        rate = self.optimizer.param_groups[0]["lr"]
        found = checkpoints(self._folder)[:1] if self.out is not None else []
        kept = f"; the last good checkpoint is {found[0]}" if found else ""
        return (
            f"{what} at step {self.step + 1} (epoch {self.epoch + 1}, lr {rate:g}){kept}; "
            "hint: a smaller lr, clip_norm=1.0, or look for inf and nan in the data"
        )

    # ------------------------------------------------------------------------------------------------------- signals

    @contextmanager
    def _watch_signals(self):
        """Note SIGINT and SIGTERM instead of dying in the middle of a step; a second one stops at once."""
        self._signal = None
        if self.out is None or threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number, frame):
            if self._signal is not None:
                raise KeyboardInterrupt
            self._signal = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _leave_if_asked(self):
        if self._signal is None:
            return
        self._save()
        message = f"interrupted at step {self.step}; saved in {self._folder}; go on with resume=True"
        if self.progress:
            print(message, file=sys.stderr)
        raise Interrupted(message)
