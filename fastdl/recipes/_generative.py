"""The run of every generative recipe: train, keep the run and save a grid of samples after each quarter, judge in the end, say
what is wrong.

A recipe module has EPOCHS, SETTINGS (defaults), build(settings) -> model, learn(model, epochs, seed, settings, keep) -> log,
pictures(model, n, seed, settings) -> images in 0..1, judge(model, seed, settings) -> (metrics, baselines), and
`run = _generative.runner(__name__)`. With several data sets it has their names in DATA (fastdl train NAME --data ...), finds the
chosen one in settings["data"], and EPOCHS has a number for each.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from fastdl.io import load, save
from fastdl.io.checkpoint import load_latest, save_checkpoint
from fastdl.random import fork_rng, manual_seed
from fastdl.recipes._samples import save_grid

PARTS = 4  # grids of samples that a run saves


class Keep:
    """Keeps a Training in `folder` after each quarter, and puts it back: a run that goes on ends with the same bits.

    resume: go on from what the folder holds. saw(training) is called after each quarter.
    """

    def __init__(self, folder, resume=False, saw=None):
        self.folder, self.resume, self.saw = folder, resume, saw

    def restore(self, training):
        """Put the training back to where the last kept quarter ended."""
        found = load_latest(self.folder) if self.resume else None
        if found is not None:
            training.model.load_state_dict(found["model"])
            training.load_state_dict(found["state"])
            training.stopped = training.stopped and training.step >= training.steps

    def after(self, training):
        """Keep it where a quarter ends."""
        if training.step in {max(1, round(training.steps * (k + 1) / PARTS)) for k in range(PARTS)}:
            save_checkpoint(self.folder, training.step, training.model.state_dict(), {}, training.state_dict(), keep=1)
            if self.saw is not None:
                modes = [(m, m.training) for m in training.model.modules()]
                with fork_rng():
                    self.saw(training)
                for module, mode in modes:
                    module.training = mode


def runner(module_name):
    """The `run` of a recipe module."""
    name = module_name.rpartition(".")[2]

    def run(
        out=f"runs/{name}",
        epochs: int | None = None,
        seed: int = 0,
        resume: bool = False,
        progress: bool = True,
        **settings,
    ) -> dict:
        """Train, judge, write weights, history and grids of samples to `out`. settings: see SETTINGS."""
        return train(sys.modules[module_name], name, out, epochs, seed, resume, progress, settings)

    return run


def beside(x, change, n, seed):
    """n images in 0..1: rows of eight of x (N, C, H, W) in -1..1 drawn by seed, each above what change makes of it."""
    chosen = x[np.random.default_rng(seed).permutation(len(x))[: max(1, n // 2)]]
    moved = change(chosen)
    rows = [np.concatenate([chosen[i : i + 8], moved[i : i + 8]]) for i in range(0, len(chosen), 8)]
    return (np.concatenate(rows) + 1) / 2


def settings_of(module, name, given) -> dict:
    """The recipe's settings with what was given; ValueError for what it does not have."""
    unknown = given.keys() - module.SETTINGS.keys()
    if unknown:
        takes = ", ".join(module.SETTINGS)
        raise ValueError(f"{name}: there is no setting {', '.join(sorted(unknown))}; there are {takes}")
    sets = getattr(module, "DATA", ())
    settings = {**module.SETTINGS, **given}
    if sets and settings["data"] not in sets:
        raise ValueError(f"{name}: data must be one of {', '.join(sets)}; got {settings['data']!r}")
    return settings


def train(module, name, out, epochs, seed, resume, progress, settings) -> dict:
    """What `run` of a generative recipe does; see the top of this file.

    resume: go on from the last finished quarter kept in `out`, bit for bit as if the run had not been cut.
    """
    settings = settings_of(module, name, settings)
    if epochs is None:
        epochs = module.EPOCHS[settings["data"]] if isinstance(module.EPOCHS, dict) else module.EPOCHS
    if epochs < 1:
        raise ValueError(f"{name}: epochs must be at least 1; got {epochs}")
    began, out = time.perf_counter(), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    weights, state, history = out / f"{name}.safetensors", out / "state.json", out / "history.jsonl"
    if resume:
        if not state.exists():
            raise FileNotFoundError(f"{name}: nothing to resume in {out}; hint: leave --resume out")
        kept = json.loads(state.read_text())
        if kept["settings"] != json.loads(json.dumps(settings)) or kept["seed"] != seed:
            raise ValueError(f"{name}: the run in {out} had other settings: seed {kept['seed']}, {kept['settings']}")
    files = []

    def write(model, log):
        history.write_text("".join(json.dumps(record) + "\n" for record in log))
        save(model, weights)
        state.write_text(json.dumps({"seed": seed, "settings": settings}))

    def saw(training):
        quarter = round(PARTS * training.step / training.steps)
        images = module.pictures(training.model, 64, 1, settings)
        picture = save_grid(images, out / f"samples_{quarter}.png")
        files.extend([picture] if picture else [])
        write(training.model, training.log)
        if progress:
            last = training.log[-1] if training.log else {}
            words = ", ".join(f"{k} {v:.4g}" for k, v in last.items() if isinstance(v, float))
            print(f"quarter {quarter} of {PARTS}, {epochs} epochs: {words}", file=sys.stderr, flush=True)

    manual_seed(seed)
    model = module.build(settings)
    log = module.learn(model, epochs, seed, settings, Keep(out / "checkpoints", resume, saw))
    write(model, log)
    metrics, baselines = module.judge(model, seed, settings)
    warnings = metrics.pop("warnings", [])
    if progress:
        for text in warnings:
            print(f"warning: {text}", file=sys.stderr)
    return {
        "metrics": metrics,
        "baselines": baselines,
        "warnings": warnings,
        "seconds": time.perf_counter() - began,
        "files": [str(weights), str(history), *files],
    }


def trained(module, name, folder):
    """(model, settings) of a finished (or part of a) run in `folder`."""
    folder = Path(folder)
    weights, state = folder / f"{name}.safetensors", folder / "state.json"
    if not weights.exists() or not state.exists():
        raise FileNotFoundError(f"there is no trained {name} in {folder}; hint: fastdl train {name} --out {folder}")
    settings = json.loads(state.read_text())["settings"]
    model = module.build(settings)
    model.load_state_dict(load(weights))
    model.eval()
    return model, settings
