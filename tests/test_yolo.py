"""YOLO v1: published counts, the tensor, the loss worked by hand, decoding, empty scenes, errors."""

import numpy as np
import pytest

import fastdl as fd
from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.data import SceneMaker
from fastdl.models import yolo


def test_published_counts_and_names():
    with nn.init_empty():
        plain, normed, fast = yolo.yolo_v1(), yolo.yolo_v1(batch_norm=True), yolo.fast_yolo()
    assert sum(p.numel() for p in plain.parameters()) == 271_703_550
    assert sum(p.numel() for p in normed.parameters()) == 271_716_734
    state = plain.state_dict()
    assert sum(np.prod(v.shape) for k, v in state.items() if k.startswith("features")) == 60_155_968
    assert state["head.fc1.weight"].shape == (4096, 50176) and state["head.fc2.weight"].shape == (1470, 4096)
    assert sum("conv.weight" in k for k in state) == 24 and state["features.0.conv.weight"].shape == (64, 3, 7, 7)
    assert sum("conv.weight" in k for k in fast.state_dict()) == 9


def example():
    """A 2 x 2 grid, two boxes, three classes, images of 100 pixels; one object: cell (row 1, column 0), class 2."""
    target = {"boxes": [[10, 60, 40, 90]], "labels": [2]}  # centre (25, 75): x 0.5, y 0.5 in its cell; 0.3 x 0.3
    p = np.zeros((1, 2, 2, 13), np.float32)
    p[0, 1, 0, :5] = 0.5, 0.5, np.sqrt(0.3), np.sqrt(0.3), 0.8  # exact
    p[0, 1, 0, 5:10] = 0.5, 0.5, 0.9, 0.9, 0.3  # too large
    p[0, 1, 0, 10:] = 0.1, 0.2, 0.9
    p[0, 0, 1, 4] = 0.6
    return p, [target]


def test_loss_by_hand():
    p, targets = example()
    loss = yolo.YOLOv1Loss(2, 2, 3, 100)
    # responsible: the first box, IoU 1; others have no object: 0.3 in the same cell, 0.6 in another
    want = (0.8 - 1) ** 2 + 0.5 * (0.3**2 + 0.6**2) + 0.1**2 + 0.2**2 + 0.1**2
    assert loss(Tensor(p), targets).item() == pytest.approx(want, rel=1e-6)
    p[0, 1, 0, :4] += 0.1, -0.2, 0.05, 0.0  # moved: it still overlaps more
    w = (np.sqrt(0.3) + 0.05) ** 2
    mine = np.array([0.3 - w / 2, 0.65 - 0.15, 0.3 + w / 2, 0.65 + 0.15])  # corners; its centre is (0.6 / 2, 1.3 / 2)
    its = np.array([0.1, 0.6, 0.4, 0.9])
    side = np.minimum(mine[2:], its[2:]) - np.maximum(mine[:2], its[:2])
    both = side.prod()
    iou = both / (w * 0.3 + 0.09 - both)
    moved = 5 * (0.1**2 + 0.2**2 + 0.05**2) + (0.8 - iou) ** 2 + 0.5 * (0.3**2 + 0.6**2) + 0.1**2 + 0.2**2 + 0.1**2
    assert loss(Tensor(p), targets).item() == pytest.approx(moved, rel=1e-5)


def test_the_box_that_overlaps_more_is_responsible():
    p, targets = example()
    p[0, 1, 0, :5], p[0, 1, 0, 5:10] = p[0, 1, 0, 5:10].copy(), p[0, 1, 0, :5].copy()
    x = Tensor(p, requires_grad=True)
    yolo.YOLOv1Loss(2, 2, 3, 100)(x, targets).backward()
    grad = x.grad.numpy()[0, 1, 0]
    assert not grad[:4].any() and grad[9] == pytest.approx(2 * (0.8 - 1))


def test_gradient_by_differences():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.2, 0.8, (2, 2, 2, 13))
    targets = [{"boxes": [[10, 60, 40, 90], [55, 5, 95, 40]], "labels": [2, 0]}, {"boxes": [], "labels": []}]
    loss = yolo.YOLOv1Loss(2, 2, 3, 100)
    x = Tensor(p, requires_grad=True)
    loss(x, targets).backward()
    direction, eps = rng.normal(size=p.shape), 1e-5
    direction[..., 4] = direction[..., 9] = 0  # IoU targets are constants
    direction[..., :4] = direction[..., 5:9] = 0
    got = (x.grad.numpy() * direction).sum()
    want = (loss(Tensor(p + eps * direction), targets).item() - loss(Tensor(p - eps * direction), targets).item()) / (
        2 * eps
    )
    assert got == pytest.approx(want, rel=1e-4)


def test_encoding_of_two_objects_in_a_cell_and_of_odd_boxes():
    boxes = [[10, 10, 30, 30], [0, 0, 48, 48], [-20, 60, 30, 120], [70, 70, 70, 90]]
    want = yolo.encode([{"boxes": boxes, "labels": [0, 1, 2, 0]}], 2, 3, 100)
    assert want["object"].sum() == 2  # the larger of the first two; the box beyond the image, cut; none without area
    assert want["class"][0, 0, 0] == 1 and want["class"][0, 1, 0] == 2
    np.testing.assert_allclose(want["box"][0, 1, 0], [0.3, 0.6, np.sqrt(0.3), np.sqrt(0.4)], rtol=1e-6)
    with pytest.raises(ValueError, match=r"labels in 0\.\.2"):
        yolo.encode([{"boxes": boxes[:1], "labels": [3]}], 2, 3, 100)


def test_decoding_inverts_encoding():
    boxes = np.array([[10, 60, 40, 90], [55, 5, 95, 40]], np.float32)
    want = yolo.encode([{"boxes": boxes, "labels": [2, 0]}], 2, 3, 100)
    p = np.zeros((1, 2, 2, 13), np.float32)
    p[..., :4] = want["box"]
    p[..., 4] = want["object"]
    p[..., 10:] = np.eye(3)[want["class"]] * want["object"][..., None]
    (found,) = yolo.decode(p, 2, 100)
    order = np.argsort(found["labels"])
    np.testing.assert_allclose(found["boxes"][order], boxes[[1, 0]], atol=1e-4)
    assert found["labels"][order].tolist() == [0, 2] and found["scores"].tolist() == [1, 1]
    p[..., 2:4] = -0.5  # negative roots: no box, no error
    assert len(yolo.decode(p, 2, 100)[0]["boxes"]) == 0


def test_scenes_without_objects_give_a_finite_loss_and_empty_lists_work():
    net = yolo.yolo_small()
    out = net(fd.randn(2, 1, 64, 64))
    assert out.shape == (2, 8, 8, 20)
    loss = yolo.YOLOv1Loss(8, 2, 10, 64)(out, [{"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int)}] * 2)
    loss.backward()
    assert np.isfinite(loss.item()) and all(np.isfinite(p.grad.numpy()).all() for p in net.parameters())
    assert net.detect(fd.zeros(0, 1, 64, 64)) == []
    assert yolo.yolo_small(head="fc", hidden=32)(fd.randn(1, 1, 64, 64)).shape == (1, 4, 4, 20)


def test_errors():
    net = yolo.yolo_small()
    with pytest.raises(ValueError, match="images must be 64 x 64"):
        net(fd.randn(1, 1, 96, 96))
    with pytest.raises(ValueError, match=r"expected images \(N, 1, H, W\)"):
        net(fd.randn(1, 3, 64, 64))
    with pytest.raises(ValueError, match="S=8"):
        yolo.yolo_small(S=7)
    with pytest.raises(ValueError, match="head must be"):
        yolo.yolo_small(head="mlp")
    with pytest.raises(ValueError, match="expected a prediction"):
        yolo.YOLOv1Loss(8, 2, 10, 64)(fd.zeros(1, 8, 8, 20), [])


def test_cells_of_convolutions_detect_in_images_of_any_size():
    """The shipped weights, which have seen 64 x 64 only: as sure in larger and smaller scenes; in what was cut off, nothing."""
    from fastdl.metrics import mean_average_precision
    from fastdl.recipes import _vision_bundle as bundle

    _, net, about = bundle.load("yolo", ("yolo",))
    stats = [np.array(about[key], np.float32)[:, None, None] for key in ("mean", "std")]
    for size in (50, 104):
        scenes = SceneMaker("digits", "test", size).draw(25, seed=1)
        x = scenes.inputs(*stats)
        with fd.no_grad():
            found = net.detect(Tensor(x))
            assert mean_average_precision(found, scenes.targets())["map"] >= 0.85
            wide = net.detect(Tensor(x[:, :, : size // 2]))
        for d in wide:
            assert (d["boxes"] >= 0).all() and (d["boxes"] <= [size, size // 2, size, size // 2]).all()
            assert (d["boxes"][:, 2:] > d["boxes"][:, :2]).all() and len(d["boxes"]) == len(d["scores"]) == len(
                d["labels"]
            )
    with pytest.raises(ValueError, match="YOLOv1: expected images"):
        net.detect(fd.zeros(1, 3, 96, 96))
