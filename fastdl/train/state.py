"""What a checkpoint of a run holds, and how a run is put back to where it was.

Weights and buffers, optimizers, schedules, the random generator, the position of the loaders, the callbacks and the sums of
the running epoch: a run that was killed and resumed ends with the same bits as one that was not.
"""

import logging
import os
import shutil
import time

from fastdl import random
from fastdl.io.checkpoint import checkpoints, load_latest, save_checkpoint

log = logging.getLogger("fastdl")


def save(trainer, folder) -> None:
    """Write a checkpoint of the present step."""
    state = {
        "epoch": trainer.epoch,
        "stop": trainer.stop,
        "sums": trainer._sums,
        "samples": trainer._samples,
        "seconds": trainer._seconds,
        "records": len(trainer.history.records),
        "loaders": {name: _state_of(loader) for name, loader in trainer._loaders.items()},
        "scheduler": _states(trainer.scheduler),
        "rng": random.get_rng_state(),
        "callbacks": [callback.state_dict() for callback in trainer.callbacks],
    }
    optimizer = _states(trainer.optimizer)
    save_checkpoint(folder, trainer.step, trainer.model.state_dict(), optimizer, state, keep=trainer.keep)


def restore(trainer, folder) -> int | None:
    """Put the run back to the newest sound checkpoint; returns how many records of the history it has, None without one."""
    found = load_latest(folder)
    if found is None:
        return None
    state = found["state"]
    if len(state["callbacks"]) != len(trainer.callbacks):
        raise ValueError(
            f"Trainer: the checkpoint has {len(state['callbacks'])} callbacks, this run {len(trainer.callbacks)}; "
            "resume with the same"
        )
    _compare("optimizer", trainer.optimizer, found["optimizer"])
    _compare("scheduler", trainer.scheduler, state["scheduler"])
    trainer.model.load_state_dict(found["model"])
    _load(trainer.optimizer, found["optimizer"])
    if trainer.scheduler is not None:
        _load(trainer.scheduler, state["scheduler"])
    for name, loader in trainer._loaders.items():
        if hasattr(loader, "load_state_dict") and state["loaders"][name] is not None:
            loader.load_state_dict(state["loaders"][name])
    for callback, values in zip(trainer.callbacks, state["callbacks"], strict=True):
        callback.load_state_dict(values)
    random.set_rng_state(state["rng"])
    trainer.step, trainer.epoch, trainer.stop = found["step"], state["epoch"], state["stop"]
    trainer._sums, trainer._samples = dict(state["sums"]), state["samples"]
    trainer._seconds = state["seconds"]
    trainer._saved = (trainer.step, time.monotonic())
    log.info("resumed at step %d, epoch %d", trainer.step, trainer.epoch + 1)
    return state["records"]


def set_aside(folder) -> None:
    """Checkpoints of an earlier run in the same folder become checkpoints.old."""
    if checkpoints(folder):
        aside = folder.with_name(folder.name + ".old")
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, aside)


def _state_of(thing):
    return thing.state_dict() if hasattr(thing, "state_dict") else None


def _states(one_or_named):
    """The state of one object, or {"named": {name: state}} of several."""
    if isinstance(one_or_named, dict):
        return {"named": {name: thing.state_dict() for name, thing in one_or_named.items()}}
    return _state_of(one_or_named)


def _compare(what, one_or_named, state):
    """Raise ValueError where the run and the checkpoint have not the same objects."""
    mine = set(one_or_named) if isinstance(one_or_named, dict) else one_or_named is not None
    theirs = set(state["named"]) if state and "named" in state else state is not None
    if mine != theirs:
        raise ValueError(f"Trainer: the checkpoint has another {what} than this run; resume with the same")


def _load(one_or_named, state):
    if isinstance(one_or_named, dict):
        for name, thing in one_or_named.items():
            thing.load_state_dict(state["named"][name])
    else:
        one_or_named.load_state_dict(state)
