"""`fastdl train yolo` in little, and `fastdl detect` and `segment` on what it wrote; files that are none."""

import json

import numpy as np
import pytest

import fastdl_cli
from fastdl.data import SceneMaker
from fastdl.models import fasterrcnn_small
from fastdl.recipes import _vision_bundle as bundle
from fastdl.recipes import faster_rcnn, fcn, yolo

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def short_pretraining(monkeypatch):
    real = yolo.pretrain
    monkeypatch.setattr(yolo, "pretrain", lambda *args, **named: real(*args, steps=2, batch=8, **named))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    small = {"epochs": 1, "scenes": 24, "test": 12, "progress": False}
    results = {
        "yolo": yolo.run(out / "yolo", **small), "fcn": fcn.run(out / "fcn", **small, kind="emoji"),
        "faster_rcnn": faster_rcnn.run(out / "faster_rcnn", **small),
    }  # fmt: skip
    scene = SceneMaker("digits", "test", 96).draw(1, seed=0).images[0, 0]
    Image.fromarray(scene).save(out / "scene.png")
    return out, results


def test_recipes_write_weights_history_and_pictures(trained):
    out, results = trained
    for name, result in results.items():
        assert (out / name / f"{name}.safetensors").exists() and (out / name / "history.jsonl").exists()
        assert (out / name / "scene0.png").exists()
        assert all(np.isfinite(v) for v in [*result["metrics"].values(), *result["baselines"].values()])
    assert "mean IoU of all background" in results["fcn"]["baselines"]
    with pytest.raises(ValueError, match="no setting colour"):
        yolo.run(out / "x", colour=1)


def test_yolo_with_dense_layers_is_read_back_as_such(tmp_path):
    settings = {"scenes": 16, "test": 8, "size": 64, "width": 0.5, "half": True}
    result = yolo.run(tmp_path, epochs=1, progress=False, head="fc", **settings)
    _, model, about = bundle.load(tmp_path / "yolo.safetensors", ("yolo",))
    assert (about["head"], about["width"], model.config.S) == ("fc", 0.5, 4) and model.config.head == "fc"
    assert model.features[0].conv.weight.shape[0] == 8 and np.isfinite(result["metrics"]["mAP@0.5"])
    with pytest.raises(ValueError, match="head must be"):
        yolo.run(tmp_path, head="dense")
    with pytest.raises(ValueError, match="no setting head"):
        fcn.run(tmp_path, head="fc")
    numbers = [{"width": 9}, {"width": "wide"}, {"half": 2}, {"size": 10}, {"epochs": 0}, {"batch": 1.5}]
    for wrong in [*numbers, {"batch": 0}, {"scenes": 0}, {"test": 0}]:
        with pytest.raises(ValueError, match=f"fcn: {next(iter(wrong))} must be"):
            fcn.run(tmp_path, **wrong)


def test_alternating_training_shares_fixed_convolutions(monkeypatch):
    seen = []
    net, real = fasterrcnn_small(seed=0), faster_rcnn.fit

    def watched(model, *args, **options):
        before = {k: v.array.copy() for k, v in model.state_dict().items()}
        real(model, *args, **options)
        changed = {k.split(".")[0] for k, v in model.state_dict().items() if (v.array != before[k]).any()}
        seen.append((model is net, changed))

    monkeypatch.setattr(faster_rcnn, "fit", watched)
    faster_rcnn.alternate(net, SceneMaker("digits", "train", 64), (0.3, 0.3), 1, 8, batch=4, seed=0)
    assert seen == [
        (False, {"backbone", "rpn"}),
        (True, {"backbone", "roi_heads"}),
        (True, {"rpn"}),
        (True, {"roi_heads"}),
    ]
    assert all(p.requires_grad for p in net.parameters())
    with pytest.raises(ValueError, match="joint"):
        faster_rcnn.run("x", scheme="turns")


@pytest.mark.parametrize("name", ["yolo", "faster_rcnn"])
def test_detect_prints_and_draws(trained, capsys, name):
    out, _ = trained
    picture = out / f"{name}.png"
    code = fastdl_cli.main(
        [
            "detect",
            str(out / name / f"{name}.safetensors"),
            str(out / "scene.png"),
            "--score",
            "0",
            "--json",
            "--out",
            str(picture),
        ]
    )
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    assert found and all(
        row["class"] in "0123456789" and min(row["box"]) >= 0 and max(row["box"]) <= 96 for row in found
    )
    scores = [row["score"] for row in found]
    assert scores == sorted(scores, reverse=True) and Image.open(picture).size == (288, 288)


def test_segment_names_shares_of_the_whole(trained, capsys):
    out, _ = trained
    args = [
        "segment",
        str(out / "fcn" / "fcn.safetensors"),
        str(out / "scene.png"),
        "--json",
        "--out",
        str(out / "m.png"),
    ]
    assert fastdl_cli.main(args) == 0
    assert sum(json.loads(capsys.readouterr().out).values()) == pytest.approx(1, abs=1e-4)
    assert (out / "m.png").exists()


def test_files_that_are_none(trained, capsys, tmp_path):
    out, _ = trained
    weights, scene = str(out / "yolo" / "yolo.safetensors"), str(out / "scene.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes((out / "scene.png").read_bytes()[:200])
    tiny = tmp_path / "tiny.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tiny)
    text = tmp_path / "text.png"
    text.write_text("no image")
    for args, words in (
        ([weights, str(broken)], "damaged or cut off"), ([weights, str(text)], "not an image"), ([scene, scene], ""),
        ([weights, str(tmp_path / "none.png")], "No such file"), ([weights, str(tiny)], "at least 16 x 16"),
        ([str(out / "fcn" / "fcn.safetensors"), scene], "fastdl train yolo"),
    ):  # fmt: skip
        assert fastdl_cli.main(["detect", *args]) == 2
        assert words in capsys.readouterr().err
    assert fastdl_cli.main(["detect", weights, scene, "--score", "7"]) == 2


@pytest.mark.parametrize(("name", "part"), [("rcnn_small", "backbone"), ("fastrcnn_small", "features")])
def test_summary_of_detectors_of_given_regions_says_what_to_do(capsys, name, part):
    assert fastdl_cli.main(["summary", name, "--input", "1,1,96,96"]) == 2
    said = capsys.readouterr().err
    assert f"fastdl.summary(fastdl.models.{name}().{part}, shape)" in said
