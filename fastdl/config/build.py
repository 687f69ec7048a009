"""From settings to a run: data, model, loss, optimizer and loop are made and checked before the first step."""

import dataclasses
import difflib
import inspect
import json
import re
import time
import types
from pathlib import Path

import numpy as np

from fastdl import data, metrics, models, nn, optim
from fastdl._history import can_plot
from fastdl.autograd import no_grad
from fastdl.config.schema import Config, ConfigError
from fastdl.data import DataLoader, TensorDataset
from fastdl.io import save
from fastdl.metrics import confusion
from fastdl.random import manual_seed
from fastdl.train import EarlyStopping, EMAWeights, GradientNorm, Trainer, plot_confusion


def _named(module, name, key, what):
    thing = getattr(module, name, None)
    if not callable(thing) or isinstance(thing, types.ModuleType):
        names = [n for n in getattr(module, "__all__", dir(module)) if not n.startswith("_") and n != name]
        near = difflib.get_close_matches(name, names, 3) or difflib.get_close_matches(name.lower(), names, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(f"{key}: {what} has no {name!r}{hint}")
    return thing


def _call(thing, section, *leading, **arguments):
    """thing(*leading, **arguments); an argument that it does not take, or refuses, is named with its key."""
    parameters = inspect.signature(thing).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in arguments:
            if name not in parameters:
                raise _unknown(thing, section, name)
    for name, value in arguments.items():
        if isinstance(value, list):
            arguments[name] = tuple(value)
    try:
        return thing(*leading, **arguments)
    except (ValueError, TypeError) as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))  # of one that takes **options
        raise (_unknown(thing, section, unknown[1]) if unknown else ConfigError(f"[{section}]: {error}")) from None


def _unknown(thing, section, name):
    names = [n for n, p in inspect.signature(thing).parameters.items() if p.kind is not p.VAR_KEYWORD]
    near = difflib.get_close_matches(name, names, 1)
    known = f"did you mean {section}.{near[0]}?" if near else f"it takes {', '.join(names)}"
    return ConfigError(f"unknown key {section}.{name}: {thing.__name__} does not take it; {known}")


def _data(config):
    """(training part, part to choose by or None, test part) as TensorDatasets."""
    make = _named(data, config.data.name, "data.name", "fastdl.data")
    parts = _call(make, "data", **config.data.arguments)
    if not (isinstance(parts, data.Split) and all(isinstance(p, TensorDataset) for p in parts)):
        raise ConfigError(
            f"data.name: {config.data.name} is no pair of TensorDatasets; write a recipe in Python for it"
        )
    train, test = parts
    val = None
    if config.data.validation:
        chosen = np.random.default_rng(config.seed).permutation(len(train))
        n = round(config.data.validation * len(train))
        val, train = (TensorDataset(*(t.array[i] for t in train.tensors)) for i in (chosen[:n], chosen[n:]))
    for name, part in (("training", train), ("validation", val), ("test", test)):
        if part is not None and len(part) == 0:
            raise ConfigError(f"data: the {name} part of {config.data.name} is empty; lower or raise data.validation")
    if config.data.batch_size > len(train):
        raise ConfigError(
            f"data.batch_size is {config.data.batch_size}, but there are {len(train)} training samples; "
            f"set data.batch_size to at most {len(train)}"
        )
    return train, val, test


def _check_labels(config, model, parts):
    """One sample through the model: does it take the data, and has it an output for every label?"""
    x = parts[0].take(np.arange(1))[:-1]
    model.eval()
    try:
        with no_grad():
            scores = model(*x)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"model.name: {config.model.name} does not take data of shape {tuple(x[0].shape[1:])} ({error})"
        ) from None
    model.train()
    if not config.loss.name.startswith(("CrossEntropy", "NLL")):
        return scores.shape
    ignored = config.loss.arguments.get("ignore_index", -100)
    for part in parts:
        labels = part.tensors[-1].array
        labels = labels[labels != ignored]
        if labels.dtype.kind not in "iu":
            raise ConfigError(
                f"data.name: {config.data.name} has targets of {labels.dtype}, {config.loss.name} needs classes"
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < scores.shape[1]:
            raise ConfigError(
                f"model: {config.model.name} has {scores.shape[1]} outputs, the labels of {config.data.name} lie in "
                f"{labels.min()}..{labels.max()}; set the model's number of classes to {labels.max() + 1}"
            )
    return scores.shape


def build(config: Config, progress: bool = True):
    """(Trainer, training loader, validation loader, test loader) of a Config; everything is checked before this returns."""
    manual_seed(config.seed)
    train, val, test = _data(config)
    model = _call(_named(models, config.model.name, "model.name", "fastdl.models"), "model", **config.model.arguments)
    loss = _call(_named(nn, config.loss.name, "loss.name", "fastdl.nn"), "loss", **config.loss.arguments)
    _check_labels(config, model, [p for p in (train, val, test) if p is not None])
    make = _named(optim, config.optim.name, "optim.name", "fastdl.optim")
    optimizer = _call(make, "optim", model.parameters(), lr=config.optim.lr, **config.optim.arguments)
    scheduler = None
    if config.schedule.name:
        by_step = config.schedule.every == "step"
        make = _named(optim.lr_scheduler, config.schedule.name, "schedule.name", "fastdl.optim.lr_scheduler")
        steps = -(-len(train) // (config.data.batch_size * config.fit.accumulate)) if by_step else 1
        lengths = {
            name: config.epochs * steps  # of the whole run, where the schedule asks for it and the file does not say
            for name in inspect.signature(make).parameters
            if name in ("T_max", "total_steps") and name not in config.schedule.arguments
        }
        scheduler = _call(make, "schedule", optimizer, **lengths, **config.schedule.arguments)
    callbacks = []
    if config.fit.ema:
        callbacks.append(EMAWeights(config.fit.ema))
    if config.fit.gradient_norms:
        callbacks.append(GradientNorm())
    if config.fit.early_stopping:
        if val is None:
            raise ConfigError(
                "fit.early_stopping needs data to choose by that is not the test part; set data.validation = 0.1"
            )
        mode = "max" if "accuracy" in config.fit.monitor else "min"
        callbacks.append(EarlyStopping(config.fit.monitor, config.fit.early_stopping, mode=mode, restore_best=True))
    classify = config.loss.name.startswith(("CrossEntropy", "NLL"))
    trainer = Trainer(
        model, loss, optimizer, scheduler=scheduler, schedule_every=config.schedule.every,
        metrics={"accuracy": metrics.accuracy} if classify else {}, callbacks=callbacks, out=config.out,
        checkpoint_seconds=config.fit.checkpoint_seconds, clip_norm=config.fit.clip_norm or None,
        accumulate=config.fit.accumulate, progress=progress,
    )  # fmt: skip
    batch = {"batch_size": config.data.eval_batch_size, "num_workers": config.data.workers}
    learn = DataLoader(
        train, batch_size=config.data.batch_size, shuffle=True, seed=config.seed, num_workers=config.data.workers,
        drop_last=config.data.drop_last,
    )  # fmt: skip
    return trainer, learn, DataLoader(test if val is None else val, **batch), DataLoader(test, **batch)


def run(config: Config, resume: bool = False, progress: bool = True) -> dict:
    """Train and judge on the test part; returns {"metrics", "baselines", "seconds", "files"}, as a recipe does."""
    began = time.perf_counter()
    trainer, learn, judge, test = build(config, progress)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1, default=str) + "\n")
    trainer.fit(learn, judge, config.epochs, resume=resume)
    result = trainer.evaluate(test)
    save(trainer.model, out / "model.safetensors")
    files = [out / name for name in ("model.safetensors", "config.json", "history.jsonl", "history.png")]
    baselines = {}
    labels = learn.dataset.tensors[-1].array
    if "accuracy" in result:
        scores, truth = trainer.predict(test)
        classes = scores.shape[1]
        if truth.ndim == 1 and can_plot():
            plot_confusion(confusion(scores.argmax(1), truth, classes), out / "confusion.png", title=config.model.name)
            files.append(out / "confusion.png")
        most = np.bincount(labels.reshape(-1)[labels.reshape(-1) >= 0]).argmax()
        baselines["most frequent class"] = float((truth == most).mean())
    return {
        "metrics": {f"test {name}": result[name] for name in sorted(result, key=lambda name: name == "loss")},
        "baselines": baselines,
        "seconds": time.perf_counter() - began,
        "files": [str(file) for file in files if file.exists()],
    }
