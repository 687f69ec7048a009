"""Trainer: data, model, loss and optimizer joined by one loop that can be stopped at any moment and resumed exactly."""

import inspect
import math
import sys
import time
from pathlib import Path

import numpy as np

from fastdl._history import History, Progress, can_plot, plot
from fastdl.autograd import Tensor, no_grad
from fastdl.io.checkpoint import checkpoints
from fastdl.nn.utils import clip_grad_norm_
from fastdl.train import state
from fastdl.train.errors import Interrupted, TrainingError
from fastdl.train.signals import Signals


class Trainer:
    """One loop for supervised training, and by `training_step` for any other.

    Parameters
    model         a Module; it is called with all fields of a batch but the last
    loss          function(output, target) -> scalar Tensor, a mean over the batch; target is the last field
    optimizer     an Optimizer over the model's parameters; a dict of several, by name, where training_step uses them
    scheduler     a learning-rate schedule (a dict of several); schedule_every: "epoch" or "step". One that looks at a
                  number (ReduceLROnPlateau) gets `schedule_monitor` of the record
    metrics       {name: function(output, target) -> number}, means over the batch
    callbacks     Callbacks, called in this order
    out           folder for history.jsonl, history.png (where matplotlib is installed) and checkpoints/; None: no files
    checkpoint_steps, checkpoint_seconds   a checkpoint after so many steps or seconds; one at the end in any case
    keep          how many checkpoints stay
    clip_norm     largest norm of all gradients together
    accumulate    batches whose gradients make one step, as if they were one large batch (the last step of an epoch may
                  have fewer)
    frozen        modules of the model that stay in evaluation mode while the others train (a trunk that is not learned)
    progress      show a bar and a line for each epoch

    With `out`, Ctrl-C and SIGTERM end the running step (or validation), save, and raise Interrupted.

    Example
    >>> import numpy as np
    >>> from fastdl import nn, optim
    >>> from fastdl.data import DataLoader, TensorDataset
    >>> x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    >>> model = nn.Linear(1, 1)
    >>> trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.5), progress=False)
    >>> records = trainer.fit(DataLoader(TensorDataset(x, 2 * x), batch_size=8), epochs=20)
    >>> records[-1]["loss"] < 1e-4
    True
    """

    def __init__(
        self,
        model,
        loss,
        optimizer,
        *,
        scheduler=None,
        schedule_every="epoch",
        schedule_monitor="val_loss",
        metrics=None,
        callbacks=(),
        out=None,
        checkpoint_steps=None,
        checkpoint_seconds=60.0,
        keep=2,
        clip_norm=None,
        accumulate=1,
        frozen=(),
        progress=True,
    ):
        if schedule_every not in ("epoch", "step"):
            raise ValueError(f"Trainer: schedule_every must be 'epoch' or 'step'; got {schedule_every!r}")
        if not isinstance(accumulate, int) or accumulate < 1:
            raise ValueError(f"Trainer: accumulate must be an integer of at least 1; got {accumulate!r}")
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.scheduler, self.schedule_every, self.schedule_monitor = scheduler, schedule_every, schedule_monitor
        self.metrics, self.callbacks = dict(metrics or {}), list(callbacks)
        self.out = None if out is None else Path(out)
        self.checkpoint_steps, self.checkpoint_seconds, self.keep = checkpoint_steps, checkpoint_seconds, keep
        self.clip_norm, self.accumulate, self.frozen, self.progress = clip_norm, accumulate, list(frozen), progress
        self.history = History(None if self.out is None else self.out / "history.jsonl")
        self.epoch = self.step = 0  # finished
        self.stop = False  # a callback may set it; training ends after the epoch
        self._sums: dict = {}  # of the running epoch: name -> sum over samples
        self._samples = 0
        self._seconds = 0.0
        self._waiting = [0, 0]  # batches and samples whose gradients wait for a step (accumulate)
        self._signals = Signals()

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
        self._call("on_fit_start")
        progress = Progress(self.progress, epochs)
        with self._signals.watch(self.out is not None):
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
        self._call("on_fit_end")
        return self.history.records

    def forward(self, batch):
        """(loss, output, target) of a batch. Override it for models whose loss needs more than output and target."""
        *inputs, target = batch
        output = self.model(*inputs)
        return self.loss(output, target), output, target

    def training_step(self, batch) -> dict:
        """Learn from a batch: forward, backward, update. Returns numbers by name, "loss" among them, means over the batch.

        Override it for models with several losses or optimizers, and use `minimize`:

            def training_step(self, batch):
                real, _ = batch
                fake = self.model.generator(noise(len(real)))
                d = self.minimize(d_loss(self.model.critic, real, fake.detach()), "critic")
                g = self.minimize(g_loss(self.model.critic, fake), "generator")
                return {"loss": g, "d_loss": d}
        """
        loss, output, target = self.forward(batch)
        values = {"loss": self._finite(loss)}
        samples = self.samples_of(batch)
        if self._waiting[0] == 0:
            self.optimizer.zero_grad()
        if self.accumulate == 1:
            loss.backward()
            self._update(self.optimizer)
        else:
            (loss * samples).backward()
            self._waiting = [self._waiting[0] + 1, self._waiting[1] + samples]
            if self._waiting[0] == self.accumulate:
                self._update_waiting()
        return {**values, **self._measure(output.detach(), target)}

    def minimize(self, loss, name=None) -> float:
        """One step of an optimizer (of several: the one of this name) down the gradient of loss; returns loss as a number."""
        optimizer = self.optimizer if name is None else self.optimizer[name]
        value = self._finite(loss)
        optimizer.zero_grad()
        loss.backward()
        self._update(optimizer)
        return value

    def samples_of(self, batch) -> int:
        """How many samples a batch has: the length of its last field, or of the first that is a Tensor."""
        fields = batch if isinstance(batch, (tuple, list)) else (batch,)
        for field in (fields[-1], *fields):
            if isinstance(field, Tensor) and field.shape:
                return field.shape[0]
        return 1

    def evaluate(self, loader) -> dict:
        """{"loss": ..., metric: ...} over all batches, in evaluation mode; every sample counts the same."""
        sums, samples = {}, 0
        for batch, (loss, output, target) in self._judge(loader):
            n = self.samples_of(batch)
            samples += n
            for name, value in {"loss": loss.item(), **self._measure(output, target)}.items():
                sums[name] = sums.get(name, 0.0) + n * value
        if samples == 0:
            raise ValueError("Trainer.evaluate: the loader gave no batches")
        return {name: total / samples for name, total in sums.items()}

    def predict(self, loader) -> tuple[np.ndarray, np.ndarray]:
        """(outputs, targets) of all batches, in evaluation mode, joined along the first axis: for a confusion matrix, ..."""
        pairs = [(output.numpy(), target.numpy()) for _, (_, output, target) in self._judge(loader)]
        if not pairs:
            raise ValueError("Trainer.predict: the loader gave no batches")
        return tuple(np.concatenate(part) for part in zip(*pairs))

    def judged_weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights and buffers that validation sees: averaged ones where a callback averages."""
        weights = {name: t.array.copy() for name, t in self.model.state_dict().items()}
        for callback in self.callbacks:
            weights.update({name: a.copy() for name, a in getattr(callback, "average", {}).items()})
        return weights

    # ------------------------------------------------------------------------------------------------ parts of the loop

    def _train_epoch(self, train, progress):
        self._train_mode()
        began, before = time.perf_counter(), self._seconds
        position = train.state_dict() if hasattr(train, "state_dict") else {}
        steps = len(train) if hasattr(train, "__len__") else None
        progress.start_epoch(self.epoch + 1, steps, position.get("batch", 0) if self._samples else 0)
        for batch in train:
            for callback in self.callbacks:
                changed = callback.on_batch(self, batch)
                batch = batch if changed is None else changed
            n = self.samples_of(batch)
            values = self.training_step(batch)
            if not math.isfinite(values["loss"]):
                raise TrainingError(self._broken(f"the loss is {values['loss']}"))
            self._samples += n
            for name, value in values.items():
                self._sums[name] = self._sums.get(name, 0.0) + n * float(value)
            self._seconds = before + time.perf_counter() - began
            progress.step(values["loss"], n, {k: v / self._samples for k, v in self._sums.items()})
            if self._waiting[0] == 0:
                self._after_step(values["loss"])
        if self._waiting[0]:
            self._update_waiting()
            self._after_step(values["loss"])

    def _after_step(self, loss):
        self.step += 1
        for callback in self.callbacks:
            callback.on_step(self, loss)
        self._save_if_due()
        self._leave_if_asked()

    def _finish_epoch(self, val, progress):
        if self._samples == 0:
            raise ValueError(
                "Trainer.fit: the loader gave no batches; is the data empty, or a batch with drop_last larger than it?"
            )
        record = {"epoch": self.epoch + 1, "step": self.step, **self._rates()}
        record.update({name: total / self._samples for name, total in self._sums.items()})
        began = time.perf_counter()
        if val is not None:
            self._call("on_evaluate_start")
            try:
                record.update({f"val_{name}": value for name, value in self.evaluate(val).items()})
            finally:
                self._call("on_evaluate_end")
        record["seconds"] = round(self._seconds + time.perf_counter() - began, 3)
        if self.schedule_every == "epoch":
            self._schedule(record)
        self.epoch += 1
        self._sums, self._samples, self._seconds = {}, 0, 0.0
        for callback in self.callbacks:
            callback.on_epoch_end(self, record)
        self.history.add(record)
        progress.end_epoch(record)

    def _update(self, optimizer):
        """Clip, and let the optimizer use the gradients that are there."""
        for callback in self.callbacks:
            callback.on_backward(self)
        if self.clip_norm is not None:
            clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.clip_norm)
        optimizer.step()
        if self.schedule_every == "step":
            self._schedule(None, optimizer)

    def _update_waiting(self):
        """A step with the gradients of several batches: their sums over samples become means."""
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.array[...] /= self._waiting[1]
        self._waiting = [0, 0]
        self._update(self.optimizer)

    def _schedule(self, record, optimizer=None):
        """A step of the schedules; of those of one optimizer, if it is given."""
        named = self.scheduler if isinstance(self.scheduler, dict) else {"": self.scheduler}
        for scheduler in named.values():
            if scheduler is None or (optimizer is not None and scheduler.optimizer is not optimizer):
                continue
            if record is not None and "metrics" in inspect.signature(scheduler.step).parameters:  # it looks at a number
                if self.schedule_monitor not in record:
                    raise KeyError(
                        f"Trainer: no {self.schedule_monitor!r} in the record; there are {', '.join(record)}"
                    )
                scheduler.step(record[self.schedule_monitor])
            else:
                scheduler.step()

    def _rates(self):
        if not isinstance(self.optimizer, dict):
            return {"lr": self.optimizer.param_groups[0]["lr"]}
        return {f"lr_{name}": optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizer.items()}

    def _measure(self, output, target):
        with no_grad():
            return {name: float(function(output, target)) for name, function in self.metrics.items()}

    def _judge(self, loader):
        """(batch, forward of it) for all batches, in evaluation mode and without gradients."""
        was_training = self.model.training
        self.model.eval()
        try:
            with no_grad():
                for batch in loader:
                    yield batch, self.forward(batch)
        finally:
            if was_training:
                self._train_mode()

    def _train_mode(self):
        self.model.train()
        for module in self.frozen:
            module.eval()

    def _call(self, what):
        for callback in self.callbacks:
            getattr(callback, what)(self)

    # ------------------------------------------------------------------------------------------- checkpoints and endings

    @property
    def _folder(self):
        return self.out / "checkpoints"

    def _start(self, resume):
        self.epoch = self.step = 0
        self.stop = False
        self._sums, self._samples, self._seconds = {}, 0, 0.0
        self._waiting = [0, 0]
        self._saved = (0, time.monotonic())  # step and time of the last checkpoint
        records = state.restore(self, self._folder) if resume else None
        if records is None and self.out is not None and not resume:
            state.set_aside(self._folder)
        self.history.start(records or 0)

    def _save(self):
        for name, t in self.model.state_dict().items():
            if t.dtype.kind == "f" and not np.isfinite(t.array).all():
                raise TrainingError(self._broken(f"{name} is not finite"))
        state.save(self, self._folder)
        self._saved = (self.step, time.monotonic())

    def _save_if_due(self):
        if self.out is None:
            return
        step, moment = self._saved
        by_steps = self.checkpoint_steps is not None and self.step - step >= self.checkpoint_steps
        by_time = self.checkpoint_seconds is not None and time.monotonic() - moment >= self.checkpoint_seconds
        if by_steps or by_time:
            self._save()

    def _finite(self, loss):
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(self._broken(f"the loss is {value}"))
        return value

    def _broken(self, what):
        """The message of an error that ends the run."""
        rate = next(iter(self._rates().values()))
        found = checkpoints(self._folder)[:1] if self.out is not None else []
        kept = f"; the last good checkpoint is {found[0]}" if found else ""
        return (
            f"{what} at step {self.step + 1} (epoch {self.epoch + 1}, lr {rate:g}){kept}; "
            "hint: a smaller lr, clip_norm=1.0, or look for inf and nan in the data"
        )

    def _leave_if_asked(self):
        if self._signals.asked is None:
            return
        self._save()
        message = (
            f"interrupted at step {self.step}; saved in {self._folder}; go on with resume=True (fastdl train: --resume)"
        )
        if self.progress:
            print(message, file=sys.stderr)
        raise Interrupted(message)
