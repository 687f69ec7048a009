"""Checkpoints: one folder each, complete or not there, checked by sha256 before they are used.

    <root>/step-000000120/model.safetensors   weights and buffers
                          optim.safetensors   the optimizer's tensors
                          state.json          everything else, and the sha256 of all three

A checkpoint is written into a hidden folder, flushed to disk, and renamed; whoever is killed on the way leaves the
older checkpoints as they were. A newest checkpoint that is damaged nevertheless (a torn disk) is passed over with a
warning.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from pathlib import Path

from fastdl.io.safetensors import load_file, save_file
from fastdl.io.tree import flatten, unflatten

__all__ = ["CheckpointError", "checkpoints", "load_checkpoint", "load_latest", "save_checkpoint"]

log = logging.getLogger("fastdl")
_FORMAT = 1
_NAME = re.compile(r"step-(\d{9,})")


class CheckpointError(RuntimeError):
    """A checkpoint is missing or damaged."""


def save_checkpoint(root, step: int, model: dict, optimizer: dict, state: dict, keep: int = 2) -> Path:
    """Write a checkpoint of this step; returns its folder. The newest `keep` checkpoints stay.

    model: a state_dict; optimizer, state: nested dicts of tensors, numbers and text (tensors of `state` go to optim).
    """
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(".unfinished-*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    folder = root / f"step-{step:09d}"
    work = root / f".unfinished-{folder.name}-{os.getpid()}"
    work.mkdir()
    try:
        structure, arrays = flatten({"optimizer": optimizer, "state": state})
        save_file(model, work / "model.safetensors")
        save_file(arrays, work / "optim.safetensors")
        content = {
            "format": _FORMAT,
            "step": step,
            "sha256": {name: _sha256(work / name) for name in ("model.safetensors", "optim.safetensors")},
            **structure,
        }
        content["sha256"]["state.json"] = _digest(content)
        with open(work / "state.json", "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        _sync(work)
        if folder.exists():  # the same step again: the older one goes away in one rename
            os.rename(folder, root / f".unfinished-old-{os.getpid()}")
        os.rename(work, folder)
        _sync(root)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    for old in [root / f".unfinished-old-{os.getpid()}", *checkpoints(root)[keep:]]:
        if old.exists():
            hidden = root / f".unfinished-{old.name}-removed"
            os.rename(old, hidden)
            shutil.rmtree(hidden, ignore_errors=True)
    return folder


def checkpoints(root) -> list[Path]:
    """The checkpoint folders under root, newest first."""
    found = [p for p in Path(root).glob("step-*") if _NAME.fullmatch(p.name)]
    return sorted(found, key=lambda p: int(_NAME.fullmatch(p.name)[1]), reverse=True)


def load_checkpoint(folder) -> dict:
    """{"step", "model": {name: ndarray}, "optimizer", "state"} of one checkpoint folder; CheckpointError if damaged."""
    folder = Path(folder)
    try:
        content = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        sums = dict(content["sha256"])
        if content["format"] != _FORMAT:
            raise CheckpointError(f"{folder}: format {content['format']}, this version of fastdl reads {_FORMAT}")
        if sums.pop("state.json") != _digest(content):
            raise CheckpointError(f"{folder}: state.json is damaged (its sha256 differs)")
        for name in ("model.safetensors", "optim.safetensors"):
            if _sha256(folder / name) != sums[name]:
                raise CheckpointError(f"{folder}: {name} is damaged or cut off (its sha256 differs)")
        nested = unflatten(
            {"optimizer": content["optimizer"], "state": content["state"]}, load_file(folder / "optim.safetensors")
        )
        return {"step": content["step"], "model": load_file(folder / "model.safetensors"), **nested}
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: {Path(error.filename).name} is missing") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: not a checkpoint, or damaged ({type(error).__name__}: {error})") from None


def load_latest(root) -> dict | None:
    """The newest sound checkpoint under root; None if there is none at all, CheckpointError if all are damaged."""
    found = checkpoints(root)
    reasons = []
    for folder in found:
        try:
            return load_checkpoint(folder)
        except CheckpointError as error:
            log.warning("%s; trying the one before", error)
            reasons.append(str(error))
    if reasons:
        raise CheckpointError("no checkpoint can be used: " + "; ".join(reasons))
    return None


def _digest(content):
    """sha256 over everything in state.json but this number itself."""
    sums = {name: value for name, value in content["sha256"].items() if name != "state.json"}
    return hashlib.sha256(json.dumps({**content, "sha256": sums}, sort_keys=True).encode()).hexdigest()


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder):
    """Flush the names in a folder to disk, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
