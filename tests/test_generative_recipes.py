"""Generative recipes: they train, judge, resume, and `fastdl sample` draws from what they saved."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import fastdl_cli
from fastdl.data import mnist5k
from fastdl.recipes import _adversarial, _samples, dcgan, nade, vae


def test_grid_and_reports(tmp_path):
    sheet = _samples.grid(np.ones((3, 1, 2, 2)), columns=2, gap=1)
    assert sheet.shape == (5, 5) and sheet[0, 0] == 255 and sheet[2, 0] == 128 and sheet[4, 4] == 128
    assert _samples.grid(np.zeros((2, 3, 2, 2))).shape == (2, 23, 3)
    with pytest.raises(ValueError, match="expected images"):
        _samples.grid(np.zeros((2, 2, 2, 2)))
    train, test = (part.tensors[0].array for part in mnist5k())
    real = _samples.judge_digits(test[::2], train, test[1::2])
    assert real["warnings"] == [] and real["frechet distance"] < 30 and real["classes covered"] == 10
    copies = _samples.judge_digits(train[:500] + np.float32(1e-3), train, test)
    assert any("copied training images" in w for w in copies["warnings"])
    one = np.repeat(test[:1], 200, 0)
    words = " ".join(_samples.judge_digits(one, train, test)["warnings"])
    assert "collapsed modes" in words and "repeated samples" in words
    assert _samples.gaussian_samples(train[:300], 5).shape == (5, 784)


def test_walk_shows_one_picture_a_frame(tmp_path):
    image = pytest.importorskip("PIL.Image")
    _samples.save_walk(np.linspace(0, 1, 3 * 3 * 64).reshape(3, 3, 8, 8), tmp_path / "walk.gif")
    with image.open(tmp_path / "walk.gif") as walk:
        assert walk.size == (32, 32) and walk.n_frames == 4  # there and back


def test_run_resume_and_sample(tmp_path, capsys):
    pytest.importorskip("PIL")
    out = tmp_path / "nade"
    result = nade.run(out=out, epochs=2, progress=False, hidden=16)
    assert result["metrics"]["nats an image"] < result["baselines"]["independent pixels"] + 40
    assert sum(f.endswith(".png") for f in result["files"]) == 2
    assert json.loads((out / "state.json").read_text())["settings"]["hidden"] == 16
    more = nade.run(out=out, epochs=4, resume=True, progress=False, hidden=16)
    assert more["metrics"]["nats an image"] < result["metrics"]["nats an image"]
    with pytest.raises(ValueError, match="other settings"):
        nade.run(out=out, epochs=5, resume=True, progress=False, hidden=17)
    with pytest.raises(ValueError, match="there is no setting speed"):
        nade.run(out=out, speed=3)
    picture = tmp_path / "x.png"
    assert fastdl_cli.main(["sample", "nade", "--n", "4", "--seed", "1", "--run", str(out), "--out", str(picture)]) == 0
    assert capsys.readouterr().out.strip() == str(picture) and picture.stat().st_size > 100
    first = picture.read_bytes()
    fastdl_cli.main(["sample", "nade", "--n", "4", "--seed", "1", "--run", str(out), "--out", str(picture)])
    assert picture.read_bytes() == first
    for arguments, words in (
        (["sample", "dcgan", "--run", str(tmp_path / "none")], "there is no trained dcgan"),
        (["sample", "lenet"], "no generative model"),
        (["sample", "stylegan"], "there is no recipe"),
        (["sample", "nade", "--walk", "--run", str(out)], "no walk between latents"),
    ):
        assert fastdl_cli.main(arguments) == 2
        assert words in capsys.readouterr().err


def test_vae_recipe_reports_its_samples(tmp_path):
    result = vae.run(out=tmp_path, epochs=1, progress=False, hidden=32, z=4)
    assert {"-ELBO, nats", "frechet distance", "classes covered"} <= set(result["metrics"])
    assert isinstance(result["warnings"], list) and "vae.safetensors" in result["files"][0]


@pytest.mark.slow
def test_emoji_recipe(tmp_path):
    from fastdl.recipes import cyclegan

    result = cyclegan.run(out=tmp_path, epochs=1, progress=False, ngf=4, blocks=1)
    assert "L1 to the true Twitter drawing" in result["metrics"] and sys.modules["fastdl.recipes.cyclegan"]


def test_only_the_few_emoji_are_changed_before_the_discriminator(monkeypatch):
    given = []
    monkeypatch.setattr(_adversarial, "images", lambda settings: (np.zeros((64, 3, 8, 8), np.float32), None))
    model = SimpleNamespace(fit=lambda x, **settings: given.append(settings.get("augment", ())))
    for data, augment in (("emoji", True), ("emoji", False), ("mnist", True)):
        _adversarial.learn(model, 1, 0, {**dcgan.SETTINGS, "data": data, "augment": augment}, None)
    assert given == [("colour", "shift", "cutout"), (), ()]


@pytest.mark.slow
def test_dcgan_learns_emoji(tmp_path):
    """After six of its epochs the samples are nearer to real emoji than their mean image is, and the report has its anchors."""
    result = dcgan.run(out=tmp_path, epochs=6, progress=False, data="emoji")
    metrics, baselines = result["metrics"], result["baselines"]
    assert metrics["frechet distance"] < 0.65 * baselines["the mean image, frechet distance"], (metrics, baselines)
    assert baselines["real training images, frechet distance"] < 10  # the judge's own measure
    assert metrics["nearest-training distance over held-out"] > 0.7
    assert sum(f.endswith(".png") for f in result["files"]) == 4
