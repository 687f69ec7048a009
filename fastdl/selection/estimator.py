"""fit and predict around a network: what cross-validation, ensembles and sweeps call.

Everything in fastdl.selection takes a `make_model(**settings)` that returns a new model each time it is called: either a
Module, which is trained by an Estimator with its defaults, or anything with fit(x, y) and predict(x). A model is made anew for
every fold and every member, so nothing learned in one can leak into another.
"""

import inspect
import math

import numpy as np

from fastdl import nn, optim
from fastdl.autograd import Tensor, no_grad
from fastdl.nn import functional as F
from fastdl.random import fork_rng, manual_seed

OPTIMIZERS = {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD}


def as_array(x) -> np.ndarray:
    return x.array if isinstance(x, Tensor) else np.asarray(x)


def checked_pair(x, y, name):
    """x and y as arrays of equal length that is not 0."""
    x, y = as_array(x), as_array(y)
    if not x.ndim or not y.ndim or len(x) != len(y) or not len(x):
        raise ValueError(f"{name}: x {x.shape} and y {y.shape} need the same number of items, at least one")
    return x, y


class Estimator:
    """A module with the way it is trained.

    module      the network; its present weights are the start
    loss        None: cross-entropy for integer y, mean squared error for floating y; or function(output, target) -> scalar
    optimizer   adam, adamw or sgd, or function(parameters) -> Optimizer (then lr, momentum, weight_decay are not used)
    epochs, batch_size, lr, momentum, weight_decay
    schedule    None, or "cosine": lr falls to 0 over the whole training
    tol         stop after an epoch whose mean training loss is below it
    seed        of the order of the items and of dropout; None: the global generator
    callback    function(estimator, epoch) -> True to stop

    Example
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    >>> model = Estimator(nn.Linear(1, 1), lr=0.1, epochs=60).fit(x, 2 * x)
    >>> bool(model.score(x, 2 * x) > 0.99)
    True
    """

    def __init__(
        self,
        module,
        loss=None,
        optimizer="adam",
        lr=1e-3,
        epochs=30,
        batch_size=32,
        momentum=0.0,
        weight_decay=0.0,
        schedule=None,
        tol=0.0,
        seed: int | None = 0,
        callback=None,
    ):
        if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
            raise ValueError(f"Estimator: optimizer must be one of {', '.join(OPTIMIZERS)}; got {optimizer!r}")
        if schedule not in (None, "cosine"):
            raise ValueError(f"Estimator: schedule must be None or 'cosine'; got {schedule!r}")
        if epochs < 1 or batch_size < 1:
            raise ValueError(f"Estimator: epochs and batch_size must be at least 1; got {epochs} and {batch_size}")
        if not lr > 0:
            raise ValueError(f"Estimator: lr must be positive; got {lr}")
        self.module, self.loss, self.optimizer, self.lr, self.epochs = module, loss, optimizer, lr, epochs
        self.batch_size, self.momentum, self.weight_decay = batch_size, momentum, weight_decay
        self.schedule, self.tol, self.seed, self.callback = schedule, tol, seed, callback
        self.history: list[float] = []  # mean training loss of each epoch

    def fit(self, x, y, sample_weight=None):
        """Train on x (N, ...) and y (N, ...); sample_weight (N,) multiplies the loss of each item, mean 1 or not."""
        x, y = checked_pair(x, y, "Estimator.fit")
        dtype = self._dtype()
        x, y = _ready(x, dtype), y.astype(np.int64 if y.dtype.kind in "iub" else dtype)
        if sample_weight is not None:
            sample_weight = as_array(sample_weight).astype(dtype)
            if sample_weight.shape != (len(x),) or sample_weight.min() < 0:
                raise ValueError(
                    f"Estimator.fit: sample_weight must be {(len(x),)}, not negative; got {sample_weight.shape}"
                )
            if self.loss is not None:
                raise ValueError("Estimator.fit: sample_weight goes with the built-in losses; leave loss out")
        optimizer = self._optimizer()
        self.integer_targets = y.dtype.kind == "i"
        self.history = []
        steps = self.epochs * math.ceil(len(x) / self.batch_size)
        with fork_rng():
            if self.seed is not None:
                manual_seed(self.seed)
            rng = np.random.default_rng(self.seed)
            self.module.train()
            done = 0
            for epoch in range(self.epochs):
                total = 0.0
                order = rng.permutation(len(x))
                for i in range(0, len(x), self.batch_size):
                    pick = order[i : i + self.batch_size]
                    if self.schedule:
                        for group in optimizer.param_groups:
                            group["lr"] = self.lr * 0.5 * (1 + math.cos(math.pi * done / steps))
                    loss = self._loss(x[pick], y[pick], None if sample_weight is None else sample_weight[pick])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    total += loss.item() * len(pick)
                    done += 1
                self.history.append(total / len(x))
                if not math.isfinite(total):
                    raise FloatingPointError(
                        f"Estimator.fit: the loss is {total} in epoch {epoch + 1}; hint: a smaller lr than {self.lr:g}, "
                        "or scale the inputs"
                    )
                if self.history[-1] < self.tol or (self.callback is not None and self.callback(self, epoch)):
                    break
        self.module.eval()
        return self

    def _dtype(self):
        """The floating type of the first parameter: what the network computes in."""
        return next((p.array.dtype for p in self.module.parameters()), np.dtype(np.float32))

    def _optimizer(self):
        if callable(self.optimizer):
            return self.optimizer(self.module.parameters())
        settings = {"lr": self.lr, "weight_decay": self.weight_decay}
        if self.optimizer == "sgd":
            settings["momentum"] = self.momentum
        return OPTIMIZERS[self.optimizer](self.module.parameters(), **settings)

    def _loss(self, x, y, weight=None):
        output, target = self.module(Tensor(x)), Tensor(y)
        if self.loss is not None:
            return self.loss(output, target)
        if y.dtype.kind == "i":
            if weight is None:
                return F.cross_entropy(output, target)
            return (F.cross_entropy(output, target, reduction="none") * Tensor(weight)).mean()
        output = _match(output, target)
        if weight is None:
            return F.mse_loss(output, target)
        error = ((output - target) ** 2).flatten(1).mean(1) if target.ndim > 1 else (output - target) ** 2
        return (error * Tensor(weight)).mean()

    def decision_function(self, x, chunk: int = 1024) -> np.ndarray:
        """The outputs of the network in evaluation mode, (N, ...)."""
        x = _ready(as_array(x), self._dtype())
        was_training = self.module.training
        self.module.eval()
        try:
            with no_grad():
                parts = [self.module(Tensor(x[i : i + chunk])).array for i in range(0, len(x), chunk)]
        finally:
            self.module.train(was_training)
        return np.concatenate(parts)

    def predict_proba(self, x) -> np.ndarray:
        """Probabilities (N, C) float64: softmax of the outputs."""
        z = self.decision_function(x).astype(np.float64)
        z = np.exp(z - z.max(1, keepdims=True))
        return z / z.sum(1, keepdims=True)

    def predict(self, x) -> np.ndarray:
        """Classes (N,) after training with integer targets, else numbers of the shape of the targets."""
        output = self.decision_function(x)
        if getattr(self, "integer_targets", output.ndim == 2 and output.shape[1] > 1):
            return output.argmax(1)
        return output[:, 0] if output.ndim == 2 and output.shape[1] == 1 else output

    def score(self, x, y) -> float:
        """Accuracy for integer y, r2 for floating y."""
        return score(self, x, y)


class Standardized:
    """A model whose inputs get mean 0 and standard deviation 1 in every column; both are taken from what it is fitted on.

    Wrapping the scaler and the model into one is what keeps test data out of the scaler in every fold.
    """

    def __init__(self, model, target: bool = False):
        """target: scale floating y too, and scale predictions back."""
        self.model, self.target = as_estimator(model), target

    def fit(self, x, y, **settings):
        x, y = checked_pair(x, y, "Standardized.fit")
        self.mean, self.std = x.mean(0), x.std(0)
        self.std = np.where(self.std > 0, self.std, 1)
        self.y_mean, self.y_std = (y.mean(0), y.std(0)) if self.target else (0.0, 1.0)
        self.model.fit((x - self.mean) / self.std, (y - self.y_mean) / self.y_std if self.target else y, **settings)
        return self

    def predict(self, x):
        result = self.model.predict((as_array(x) - self.mean) / self.std)
        return result * np.reshape(self.y_std, -1) + np.reshape(self.y_mean, -1) if self.target else result

    def predict_proba(self, x):
        return self.model.predict_proba((as_array(x) - self.mean) / self.std)


def _ready(x, dtype):
    return np.ascontiguousarray(x, dtype) if x.dtype.kind in "fub" else x


def _match(output, target):
    """Outputs (N, 1) beside targets (N,) are reshaped; a silent broadcast to (N, N) would be a wrong loss."""
    if output.shape != target.shape and output.numel() == target.numel():
        return output.reshape(target.shape)
    if output.shape != target.shape:
        raise ValueError(f"Estimator: outputs {tuple(output.shape)} and targets {tuple(target.shape)} do not fit")
    return output


def as_estimator(model):
    """`model` itself if it has fit and predict; an Estimator with default settings around a Module."""
    if isinstance(model, nn.Module):
        return Estimator(model)
    if not (hasattr(model, "fit") and hasattr(model, "predict")):
        raise TypeError(f"a model must be a Module or have fit and predict; got {type(model).__name__}")
    return model


def new_model(make_model, seed: int | None = None, **settings):
    """A new model by make_model(**settings), its initial weights drawn from `seed`; `seed` is passed on if it is asked for."""
    try:
        wants_seed = not inspect.isclass(make_model) and "seed" in inspect.signature(make_model).parameters
    except (TypeError, ValueError):  # built-ins have no signature
        wants_seed = False
    with fork_rng():
        if seed is not None:
            manual_seed(seed)
            if wants_seed and "seed" not in settings:
                settings["seed"] = seed
        model = as_estimator(make_model(**settings))
    inner = model.model if isinstance(model, Standardized) else model
    if seed is not None and isinstance(inner, Estimator):
        inner.seed = seed  # the order of the items and dropout differ between members too
    return model


def score(model, x, y) -> float:
    """Accuracy for integer y, r2 for floating y."""
    y, predicted = as_array(y), as_array(model.predict(x))
    if y.dtype.kind in "iub":
        return float((predicted == y).mean())
    from fastdl.metrics import r2

    return r2(predicted.reshape(y.shape), y)
