"""The run of every generative recipe: train in parts, save a grid of samples after each, judge in the end, say what is wrong.

A recipe module has EPOCHS, SETTINGS (defaults), build(settings) -> model, learn(model, epochs, seed, settings) -> log,
pictures(model, n, seed) -> images in 0..1, judge(model, seed) -> (metrics, baselines).
"""

import json
import sys
import time
from pathlib import Path

from fastdl.io import load, save
from fastdl.random import manual_seed
from fastdl.recipes._samples import save_grid

PARTS = 4  # grids of samples that a run saves


def run(module, name, out, epochs, seed, resume, progress, settings) -> dict:
    """What `run` of a generative recipe does; see the top of this file.

    resume: go on from the weights of the last finished part in `out`; the optimizers start anew there.
    """
    epochs = module.EPOCHS if epochs is None else epochs
    if epochs < 1:
        raise ValueError(f"{name}: epochs must be at least 1; got {epochs}")
    unknown = settings.keys() - module.SETTINGS.keys()
    if unknown:
        takes = ", ".join(module.SETTINGS)
        raise ValueError(f"{name}: there is no setting {', '.join(sorted(unknown))}; there are {takes}")
    settings = {**module.SETTINGS, **settings}
    began, out = time.perf_counter(), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    weights, state, history = out / f"{name}.safetensors", out / "state.json", out / "history.jsonl"
    manual_seed(seed)
    model = module.build(settings)
    done, files = 0, []
    if resume:
        if not weights.exists() or not state.exists():
            raise FileNotFoundError(f"{name}: nothing to resume in {out}; hint: leave --resume out")
        kept = json.loads(state.read_text())
        if kept["settings"] != json.loads(json.dumps(settings)):
            raise ValueError(f"{name}: the run in {out} had other settings: {kept['settings']}")
        model.load_state_dict(load(weights))
        done = kept["epochs"]
    elif history.exists():
        history.unlink()
    bounds = sorted({max(1, round(epochs * (k + 1) / PARTS)) for k in range(PARTS)})
    for end in [b for b in bounds if b > done]:
        log = module.learn(model, end - done, seed + done, settings)
        with history.open("a") as file:
            for record in log:
                file.write(json.dumps({"until epoch": end, **record}) + "\n")
        done = end
        picture = save_grid(module.pictures(model, 64, 1), out / f"samples_{done:03d}.png")
        files += [picture] if picture else []
        save(model, weights)
        state.write_text(json.dumps({"epochs": done, "settings": settings}))
        if progress:
            last = ", ".join(f"{k} {v:.4g}" for k, v in log[-1].items() if isinstance(v, float)) if log else ""
            print(f"epoch {done}/{epochs}: {last}", file=sys.stderr, flush=True)
    metrics, baselines = module.judge(model, seed)
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
    """The model of a finished (or part of a) run in `folder`."""
    folder = Path(folder)
    weights, state = folder / f"{name}.safetensors", folder / "state.json"
    if not weights.exists() or not state.exists():
        raise FileNotFoundError(f"there is no trained {name} in {folder}; hint: fastdl train {name} --out {folder}")
    model = module.build(json.loads(state.read_text())["settings"])
    model.load_state_dict(load(weights))
    model.eval()
    return model
