"""What may happen beside training. A callback's state, if it has any, is part of every checkpoint."""

import math

from fastdl.io import save
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
