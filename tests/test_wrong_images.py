"""What image models say to input that is wrong: the words name the model, what it got, and what to do; nothing becomes NaN."""

import numpy as np
import pytest

import fastdl as fd
import fastdl_cli
from fastdl import models, nn
from fastdl.autograd import Tensor
from fastdl.data import SceneMaker
from fastdl.io.safetensors import load_file, read_metadata, save_file
from fastdl.recipes import _vision_bundle as bundle
from fastdl.recipes._regions import fine_tune, fit_heads, train_fast_rcnn

Image = pytest.importorskip("PIL.Image")


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def with_shapes(make):
    with nn.init_empty():
        return make().eval()


@pytest.mark.parametrize(
    ("make", "shape", "words"),
    [
        (models.fcn8s, (1, 1, 40, 40), r"FCN: expected images \(N, 3, H, W\).*a grey image: repeat it"),
        (models.fcn8s, (3, 40, 40), r"FCN: .*x\.unsqueeze\(0\)"),
        (models.fcn_resnet50, (1, 1, 40, 40), "a grey image: repeat it"),
        (models.fasterrcnn_resnet50_fpn, (1, 1, 40, 40), r"floats \(3, H, W\).*grey image colour"),
        (lambda: models.yolo_small(in_channels=3), (1, 1, 64, 64), "YOLOv1: .*a grey image: repeat it"),
        (models.yolo_small, (1, 3, 64, 64), "in_channels=3"),
        (models.fcn_small, (1, 1, 5, 5), "FCN: images of 5 x 5 are too small: at least 8 x 8"),
        (models.fasterrcnn_small, (1, 1, 3, 9), "3 x 9 are too small"),
        (models.lenet5, (1, 1, 64, 64), "LeNet5: images must be 28 x 28; got"),
        (models.lenet5, (1, 3, 28, 28), r"LeNet5: expected images \(N, 1, H, W\)"),
        (models.lenet5, (28, 28), r"LeNet5: expected images \(N, 1, H, W\)"),
    ],
)
def test_shapes(make, shape, words):
    with pytest.raises(ValueError, match=words):
        with_shapes(make)(fd.zeros(*shape))


def test_bytes_are_no_inputs():
    with pytest.raises(ValueError, match=r"floats; got uint8; hint: x\.float\(\) / 255"):
        with_shapes(models.fcn_small)(Tensor(np.zeros((1, 1, 16, 16), np.uint8)))


@pytest.mark.parametrize("make", [models.yolo_small, models.fcn_small, models.lenet5, models.alexnet, models.vit_b_16])
def test_arrays_and_lists_are_no_batches(make):
    net = with_shapes(make)
    call = net.detect if make is models.yolo_small else net
    with pytest.raises(
        ValueError, match=r"as a Tensor; got an array of shape \(1, 1, 64, 64\); hint: fastdl\.tensor\(x\)"
    ):
        call(np.zeros((1, 1, 64, 64), np.float32))
    with pytest.raises(ValueError, match=r"as a Tensor; got a list of 2; hint: fastdl\.stack\(x\)"):
        call([fd.zeros(1, 64, 64)] * 2)
    if make is models.lenet5:
        with pytest.raises(ValueError, match="as a Tensor"):
            call(np.zeros((1, 1, 28, 28), np.float32))


def test_a_detector_of_no_images_finds_nothing():
    for call in (models.yolo_small().eval().detect, models.fasterrcnn_small().eval()):
        assert call([]) == [] and call(fd.zeros(0, 1, 64, 64)) == []


def test_boxes_beyond_the_image_and_proposals_that_are_missing():
    x, away = fd.zeros(1, 1, 64, 64), boxes([-90, -90, -50, -50], [100, 100, 120, 130])
    for net in (models.rcnn_small().eval(), models.sppnet_small().eval()):
        (found,) = net.detect(x, [away])
        assert len(found["boxes"]) == 0
        with pytest.raises(ValueError, match="2 images and proposals for 1"):
            net.detect(fd.zeros(2, 1, 64, 64), [away])
    (found,) = models.fastrcnn_small().eval()(x, [away])
    assert len(found["boxes"]) == 0
    with pytest.raises(ValueError, match="heads=20"):
        with_shapes(lambda: models.sppnet_small(heads=0)).detect(x, [away])


def test_targets_of_yolo():
    loss, out = models.YOLOv1Loss(2, 2, 3, 100), fd.zeros(1, 2, 2, 13)
    with pytest.raises(ValueError, match="boxes of image 0 must be finite"):
        loss(out, [{"boxes": [[0, 0, np.nan, 4]], "labels": [0]}])
    with pytest.raises(ValueError, match=r"boxes of image 0 must have shape \(N, 4\)"):
        loss(out, [{"boxes": [[0, 0, 4]], "labels": [0]}])


def test_pixels_that_are_all_ignored_give_no_loss_and_no_nan():
    scores = fd.randn(1, 3, 4, 4)
    scores.requires_grad = True
    value = models.fcn.loss({"out": scores, "aux": scores * 2}, Tensor(np.full((1, 4, 4), 255)))
    value.backward()
    assert value.item() == 0 and not scores.grad.numpy().any()


def test_training_on_scenes_without_objects():
    scenes = SceneMaker("digits", "train", 64, objects=(0, 0)).draw(4)
    stats, proposals = scenes.statistics(), [boxes([4, 4, 30, 30], [20, 8, 50, 44])] * 4
    net = models.rcnn_small()
    fine_tune(net, scenes, stats, proposals, steps=2, images=4)
    fit_heads(net, scenes, stats, proposals)
    found = net.detect(Tensor(scenes.inputs(*stats)), proposals)
    assert all(np.isfinite(p.array).all() for p in net.parameters())
    assert all((d["scores"] <= -0.99).all() for d in found)  # no class was ever seen: all SVMs say -1
    net = models.fastrcnn_small(seed=0)
    before = {k: v.array.copy() for k, v in net.named_parameters()}
    train_fast_rcnn(net, scenes, stats, proposals, steps=2, images=2)
    assert all(np.isfinite(p.array).all() for p in net.parameters()) and before


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights of a colour YOLO (untrained), a grey picture, and damaged copies of both."""
    folder = tmp_path_factory.mktemp("files")
    maker = SceneMaker("emoji", "train", 64)
    net = models.yolo_small(in_channels=3)
    bundle.save("yolo", net, folder / "colour.safetensors", maker, (np.full(3, 0.5), np.full(3, 0.2)))
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(folder / "grey.png")
    whole = (folder / "colour.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "noise.safetensors").write_bytes(bytes(range(256)) * 8)
    (folder / "empty.safetensors").write_bytes(b"")
    tensors, about = load_file(folder / "colour.safetensors"), read_metadata(folder / "colour.safetensors")
    save_file(tensors, folder / "bare.safetensors")
    save_file(tensors, folder / "torn.safetensors", {**about, "scenes": about["scenes"][:-9]})
    del tensors["head.bias"]
    save_file(tensors, folder / "less.safetensors", about)
    return folder


def test_a_grey_picture_for_a_colour_network_is_shown_in_grey(files, capsys):
    args = ["detect", str(files / "colour.safetensors"), str(files / "grey.png"), "--json"]
    assert fastdl_cli.main(args) == 0 and capsys.readouterr().out.startswith("[")


@pytest.mark.parametrize("name", ["cut", "noise", "empty", "bare", "torn", "less"])
def test_damaged_weights_end_with_a_message(files, capsys, name):
    assert fastdl_cli.main(["detect", str(files / f"{name}.safetensors"), str(files / "grey.png")]) == 2
    said = capsys.readouterr()
    assert f"{name}.safetensors" in said.err and "Traceback" not in said.err and not said.out
    assert len(said.err.strip().splitlines()) <= 4


def test_a_model_of_another_recipe_or_one_that_does_not_come_along(files, capsys):
    assert fastdl_cli.main(["segment", str(files / "colour.safetensors"), str(files / "grey.png")]) == 2
    assert "fastdl train fcn" in capsys.readouterr().err
    assert fastdl_cli.main(["predict", str(files / "colour.safetensors"), str(files / "grey.png")]) == 2
    assert "holds no weights of LeNet-5" in capsys.readouterr().err
    assert fastdl_cli.main(["detect", "faster_rcnn", str(files / "grey.png")]) == 2
    assert "make them: fastdl train faster_rcnn" in capsys.readouterr().err


def test_names_that_are_no_model_and_two_pictures(files, capsys):
    for command, args, words in (
        ("detect", ["resnet50", "grey.png"], "resnet50 is neither a file of weights nor yolo or faster_rcnn"),
        ("segment", ["yolo", "grey.png"], "yolo is neither a file of weights nor fcn"),
        ("detect", ["grey.png", "grey.png"], "is a picture where weights were expected"),
    ):
        args = [str(files / a) if a.endswith(".png") else a for a in args]
        assert fastdl_cli.main([command, *args]) == 2
        said = capsys.readouterr()
        assert words in said.err and not said.out
