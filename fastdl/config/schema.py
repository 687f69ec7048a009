"""The settings of a run: which there are, of what type, within which limits."""

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path


class ConfigError(ValueError):
    """A setting is wrong; the message names its key and the fix."""


@dataclass
class Data:
    """[data]: `name` of a set; validation: share of the training part that is held out to choose by (0: judge on test)."""

    name: str = "mnist5k"
    batch_size: int = 32
    eval_batch_size: int = 250
    validation: float = 0.0
    workers: int = 0
    drop_last: bool = False
    arguments: dict = field(default_factory=dict)


@dataclass
class Model:
    """[model]: `name` of a constructor in fastdl.models; all other keys are its arguments."""

    name: str = "lenet5"
    arguments: dict = field(default_factory=dict)


@dataclass
class Loss:
    """[loss]: `name` of a loss in fastdl.nn; all other keys are its arguments."""

    name: str = "CrossEntropyLoss"
    arguments: dict = field(default_factory=dict)


@dataclass
class Optim:
    """[optim]: `name` of a class in fastdl.optim, the learning rate; all other keys are its arguments."""

    name: str = "Adam"
    lr: float = 1e-3
    arguments: dict = field(default_factory=dict)


@dataclass
class Schedule:
    """[schedule]: `name` of a class in fastdl.optim.lr_scheduler (empty: none); all other keys are its arguments."""

    name: str = ""
    every: str = "epoch"
    arguments: dict = field(default_factory=dict)


@dataclass
class Fit:
    """[fit]: how the loop runs. early_stopping: epochs of patience (0: off); ema: decay of averaged weights (0: off)."""

    clip_norm: float = 0.0
    accumulate: int = 1
    early_stopping: int = 0
    monitor: str = "val_loss"
    ema: float = 0.0
    gradient_norms: bool = False
    checkpoint_seconds: float = 60.0


@dataclass
class Config:
    """One run. See the top of this file for the TOML form."""

    seed: int = 0
    epochs: int = 10
    out: str = "runs/config"
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    schedule: Schedule = field(default_factory=Schedule)
    fit: Fit = field(default_factory=Fit)


# What a number may be: key -> (test, the words for it).
_LIMITS = {
    "seed": (lambda v: v >= 0, "at least 0"),
    "epochs": (lambda v: v >= 1, "at least 1"),
    "data.batch_size": (lambda v: v >= 1, "at least 1"),
    "data.eval_batch_size": (lambda v: v >= 1, "at least 1"),
    "data.validation": (lambda v: 0 <= v < 1, "a share from 0 to below 1"),
    "data.workers": (lambda v: v >= 0, "at least 0"),
    "optim.lr": (lambda v: v > 0, "above 0; try 0.001"),
    "schedule.every": (lambda v: v in ("epoch", "step"), "'epoch' or 'step'"),
    "fit.clip_norm": (lambda v: v >= 0, "at least 0 (0: no clipping)"),
    "fit.accumulate": (lambda v: v >= 1, "at least 1"),
    "fit.early_stopping": (lambda v: v >= 0, "at least 0 (0: off)"),
    "fit.ema": (lambda v: 0 <= v < 1, "from 0 (off) to below 1"),
    "fit.checkpoint_seconds": (lambda v: v > 0, "above 0"),
}


def load(path, changes=()) -> Config:
    """The Config of a TOML file. changes: "key.key=value" texts, values in TOML's spelling (text may go without quotes)."""
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    for change in changes:
        _apply(table, change)
    return parse(table)


def parse(table: dict) -> Config:
    """The Config of a nested dict, as a TOML file gives it; ConfigError for keys and values that cannot be."""
    config = _fill(Config, table, "")
    for key, (good, words) in _LIMITS.items():
        value = config
        for part in key.split("."):
            value = getattr(value, part)
        if not good(value):
            raise ConfigError(f"{key} must be {words}; got {value!r}")
    return config


def read_change(text: str) -> tuple[str, object]:
    """("optim.lr", 0.01) of "optim.lr=0.01": a value in TOML's spelling, or a word without quotes."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"--set {text!r}: write key=value, e.g. optim.lr=0.01")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value.strip()


def _apply(table, change):
    key, value = read_change(change)
    *folders, last = key.split(".")
    for folder in folders:
        table = table.setdefault(folder, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {change!r}: {folder} is a value, not a table")
    table[last] = value


def _fill(kind, table, prefix):
    """An instance of a dataclass from a dict. Unknown keys go to its `arguments` if it has them, else they are refused."""
    if not isinstance(table, dict):
        raise ConfigError(f"{prefix.rstrip('.')} must be a table, [{prefix.rstrip('.')}]; got {table!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    takes_more = "arguments" in fields
    given, more = {}, {}
    for key, value in table.items():
        if key not in fields and takes_more:
            more[key] = value
        elif key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else f"; there are {', '.join(fields)}"
            raise ConfigError(f"unknown key {prefix}{key}{hint}")
        elif dataclasses.is_dataclass(fields[key].type):
            given[key] = _fill(fields[key].type, value, f"{prefix}{key}.")
        else:
            given[key] = _typed(fields[key].type, value, prefix + key)
    if more:
        given["arguments"] = {**given.get("arguments", {}), **more}
    return kind(**given)


def _typed(kind, value, key):
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        words = {
            int: "a whole number",
            float: "a number",
            str: "text in quotes",
            bool: "true or false",
            dict: "a table",
        }
        raise ConfigError(f"{key} must be {words[kind]}; got {value!r}")
    return value
