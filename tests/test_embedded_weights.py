"""The small trained networks that come with fastdl: light, readable, and as good as their page says, on what they never saw."""

import json

import numpy as np
import pytest

import fastdl_cli
from fastdl.autograd import Tensor, no_grad
from fastdl.data import SceneMaker, mnist5k
from fastdl.io.safetensors import load_file
from fastdl.models import LeNet5
from fastdl.recipes import _scenes, lenet
from fastdl.recipes import _vision_bundle as bundle

Image = pytest.importorskip("PIL.Image")


def test_they_are_light_and_described():
    files = sorted(bundle.EMBEDDED.glob("*.safetensors"))
    text = (bundle.EMBEDDED / "WEIGHTS.md").read_text()
    assert files and all(f.stat().st_size < 300_000 for f in files)
    assert all(f"fastdl train {f.stem}" in text for f in files)


def test_lenet_reads_digits(tmp_path, capsys):
    net = LeNet5()
    net.load_state_dict(load_file(lenet.WEIGHTS))
    x, y = (t.array for t in mnist5k().test.tensors)
    with no_grad():
        guess = net.eval()(Tensor(x)).array.argmax(1)
    assert (guess == y).mean() >= 0.97  # WEIGHTS.md: 0.974
    which = int(np.flatnonzero(guess == y)[0])
    Image.fromarray((255 * x[which, 0]).astype(np.uint8)).save(tmp_path / "digit.png")
    assert fastdl_cli.main(["predict", str(tmp_path / "digit.png")]) == 0
    assert capsys.readouterr().out.split()[0] == str(y[which])


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A held-out scene of 64 x 64 and its file."""
    drawn = SceneMaker("digits", "test", 64).draw(1, seed=7)
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    Image.fromarray(drawn.images[0, 0]).save(path)
    return drawn, path


def judged(name):
    """(model, statistics, 60 held-out scenes) of the weights of a recipe."""
    _, model, about = bundle.load(name, (name,))
    stats = tuple(np.array(about[k], np.float32)[:, None, None] for k in ("mean", "std"))
    return model, stats, _scenes.test_scenes(SceneMaker("digits", "train", about["size"]), 60)


def test_yolo_detects(scene, capsys, tmp_path):
    model, stats, scenes = judged("yolo")
    assert _scenes.judge_boxes(model.detect, scenes, stats)["map"] >= 0.85  # of 300 scenes: WEIGHTS.md
    drawn, path = scene
    assert fastdl_cli.main(["detect", str(path), "--json", "--out", str(tmp_path / "boxes.png")]) == 0
    found = {row["class"] for row in json.loads(capsys.readouterr().out)}
    assert found & {drawn.classes[c] for c in drawn.labels[0]} and (tmp_path / "boxes.png").exists()


def test_fcn_segments(scene, capsys, tmp_path):
    model, stats, scenes = judged("fcn")
    nothing = _scenes.background_scores(scenes)[1]
    assert _scenes.judge_masks(model, scenes, stats).mean_iou() >= 0.5 > nothing  # of 300 scenes: WEIGHTS.md
    drawn, path = scene
    assert fastdl_cli.main(["segment", str(path), "--json", "--out", str(tmp_path / "mask.png")]) == 0
    shares = json.loads(capsys.readouterr().out)
    assert shares["background"] > 0.5 and any(drawn.classes[c] in shares for c in drawn.labels[0])
