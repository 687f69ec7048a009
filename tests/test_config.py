"""A run from a TOML file: what it may say, and that a wrong setting is named before training."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

import fastdl
import fastdl_cli
from fastdl import config, data, models, nn
from fastdl.data import Split, TensorDataset

GOOD = """
seed = 1
epochs = 2

[data]
name = "digits"
batch_size = 64
validation = 0.2

[model]
name = "tiny"
width = 16

[optim]
name = "Adam"
lr = 0.01
betas = [0.9, 0.99]

[schedule]
name = "CosineAnnealingLR"
every = "step"

[fit]
clip_norm = 5.0
early_stopping = 3
ema = 0.9
gradient_norms = true
"""


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A small network and a bad data set beside the real ones."""

    def tiny(width: int = 8, classes: int = 10):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))

    def nothing():
        x, y = np.zeros((0, 1, 8, 8), np.float32), np.zeros(0, np.int64)
        return Split(TensorDataset(x, y), TensorDataset(x, y))

    monkeypatch.setattr(models, "tiny", tiny, raising=False)
    monkeypatch.setattr(data, "nothing", nothing, raising=False)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(GOOD)
    return path


def test_file_and_changes(file):
    c = config.load(file, ["optim.lr=0.5", "model.width=32", "data.name=mnist5k", "out='x y'", "fit.ema=0"])
    assert c.optim.lr == 0.5 and c.model.arguments == {"width": 32} and c.data.name == "mnist5k" and c.out == "x y"
    assert c.fit.ema == 0.0 and isinstance(c.fit.ema, float) and c.epochs == 2
    assert config.parse({}) == config.Config()


def test_run_learns_and_writes(file, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["train", str(file), "--out", str(out), "--epochs", "12", "--set", "optim.lr=0.02"]
    assert fastdl_cli.main(words) == 0
    text = capsys.readouterr().out
    accuracy = float(text.split("test accuracy ")[1].split("%")[0])
    assert accuracy > 80 and "baseline: most frequent class 0.1" in text and str(out / "model.safetensors") in text
    written = json.loads((out / "config.json").read_text())
    assert written["optim"]["lr"] == 0.02 and written["epochs"] == 12 and written["seed"] == 1
    records = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert len(records) == 12 and {"val_accuracy", "grad_norm", "lr"} <= set(records[-1])
    assert records[-1]["lr"] == pytest.approx(0, abs=1e-6)  # the schedule's length is that of the run
    model = models.tiny(16)
    model.load_state_dict(fastdl.load(out / "model.safetensors"))


def test_resumed_run_has_the_same_bits(file, tmp_path, monkeypatch):
    for module in ("fastdl.config.build", "fastdl.train.trainer"):
        monkeypatch.setattr(importlib.import_module(module), "can_plot", lambda: False)

    def weights(out, *changes, resume=False):
        c = config.load(file, [f"out='{out}'", "schedule.T_max=50", *changes])
        config.run(c, resume=resume, progress=False)
        return fastdl.load(out / "model.safetensors")

    whole = weights(tmp_path / "whole", "epochs=4")
    weights(tmp_path / "half", "epochs=2")
    again = weights(tmp_path / "half", "epochs=4", resume=True)
    assert all((whole[name].array == again[name].array).all() for name in whole)


@pytest.mark.parametrize(
    "change, message",
    [
        ("optim.lrr=0.1", "unknown key optim.lrr: Adam does not take it; did you mean optim.lr"),
        ("epoch=3", "unknown key epoch; did you mean epochs"),
        ("fit.speed=3", "unknown key fit.speed; there are clip_norm, accumulate"),
        ("optim.lr=-0.1", "optim.lr must be above 0; try 0.001; got -0.1"),
        ("optim.lr=fast", "optim.lr must be a number; got 'fast'"),
        ("optim.betas=[0.9, 1.5]", r"\[optim\]: Adam: betas must lie in \[0, 1\)"),
        ("optim.weight_decay=-1", r"\[optim\]: Adam: weight_decay must be at least 0"),
        ("optim.name=Adan", "optim.name: fastdl.optim has no 'Adan'; did you mean Adam"),
        ("epochs=0", "epochs must be at least 1; got 0"),
        ("epochs=1.5", "epochs must be a whole number; got 1.5"),
        ("epochs=true", "epochs must be a whole number; got True"),
        ("data=3", r"data must be a table, \[data\]; got 3"),
        ("data.batch_size=0", "data.batch_size must be at least 1; got 0"),
        ("data.batch_size=5000", "data.batch_size is 5000, but there are 1150 training samples; set .* at most 1150"),
        ("data.name=nothing", "the training part of nothing is empty"),
        ("data.validation=1.0", "data.validation must be a share from 0 to below 1; got 1.0"),
        ("data.validation=0.0001", "the validation part of digits is empty"),
        ("data.validation=0", "early_stopping needs data to choose by that is not the test part; set data.validation"),
        ("data.name=mnist", r"\[data\]: mnist\(\) missing 1 required positional argument: 'folder'"),
        ("data.name=kjv", "data.name: kjv is no pair of TensorDatasets"),
        ("data.name=mnist5k", r"model.name: tiny does not take data of shape \(1, 28, 28\)"),
        ("model.classes=7", "tiny has 7 outputs, the labels of digits lie in 0..9; set .* classes to 10"),
        ("model.layers=7", "unknown key model.layers: tiny does not take it; it takes width, classes"),
        ("model.name=tini", "model.name: fastdl.models has no 'tini'"),
        ("loss.name=CrossEntropy", "loss.name: fastdl.nn has no 'CrossEntropy'; did you mean CrossEntropyLoss"),
        ("schedule.every=batch", "schedule.every must be 'epoch' or 'step'; got 'batch'"),
        ("schedule.gamma=2", "unknown key schedule.gamma: CosineAnnealingLR does not take it"),
        ("optim", "--set 'optim': write key=value"),
        ("epochs.x=3", "--set 'epochs.x=3': epochs is a value, not a table"),
    ],
)
def test_wrong_settings_are_named_before_training(file, capsys, tmp_path, change, message):
    with pytest.raises(config.ConfigError, match=message):
        config.build(config.load(file, [f"out='{tmp_path / 'o'}'", change]), progress=False)
    assert fastdl_cli.main(["train", str(file), "--out", str(tmp_path / "o"), "--set", change]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fastdl train: ") and err.count("\n") == 1
    assert not (tmp_path / "o" / "history.jsonl").exists()


def test_file_that_is_not_toml(tmp_path, capsys):
    (tmp_path / "x.toml").write_text("epochs = = 3")
    assert fastdl_cli.main(["train", str(tmp_path / "x.toml")]) == 2
    assert "not TOML" in capsys.readouterr().err
    assert fastdl_cli.main(["train", str(tmp_path / "none.toml")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_settings_of_a_recipe(capsys, tmp_path):
    assert fastdl_cli.main(["train", "lenet", "--out", str(tmp_path), "--set", "speed=3"]) == 2
    assert "the recipe lenet has no setting 'speed'; it takes" in capsys.readouterr().err


def test_the_example_in_the_documents_can_run(tmp_path):
    example = Path(__file__).parents[1] / "docs" / "lenet.toml"
    trainer, learn, _, _ = config.build(config.load(example, [f"out='{tmp_path}'"]), progress=False)
    assert type(trainer.model).__name__ == "LeNet5" and len(learn.dataset) == 3600
    assert trainer.scheduler.T_max == 12 * len(learn)
