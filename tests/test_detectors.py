"""R-CNN, SPPNet, Fast and Faster R-CNN: published counts, names, parity with torchvision, scenes without objects, errors."""

import bisect
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from _torchvision import load as load_torchvision

import fastdl as fd
from fastdl import detection as D
from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.data import SceneMaker
from fastdl.models import fast_rcnn, faster_rcnn, rcnn, sppnet
from fastdl.recipes._regions import fine_tune
from fastdl.testing import fill_hashed, hashed, hashed_weights, keys_hash

STORED = json.loads((Path(__file__).parent / "data" / "vision_reference.json").read_text())["fasterrcnn_resnet50_fpn"]


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_published_counts():
    with nn.init_empty():
        assert count(sppnet.sppnet_zf5()) == 77_037_672
        assert count(fast_rcnn.fastrcnn_vgg16()) == 134_690_729
        assert count(faster_rcnn.fasterrcnn_vgg16()) == 137_078_239
        assert count(faster_rcnn.fasterrcnn_vgg16().rpn) == 2_387_510
        assert count(faster_rcnn.fasterrcnn_resnet50_fpn()) == 41_755_286
        assert count(faster_rcnn.fasterrcnn_resnet50_fpn(trainable_norm=True)) == 41_808_406
        regions = rcnn.rcnn_alexnet()
        assert regions.backbone.alexnet.classifier[6].weight.shape == (21, 4096)
        assert regions.heads.svm[0].weight.shape == (1, 4096) and regions.heads.bbox[0].weight.shape == (
            4,
            9216,
        )  # fc7, pool5
        assert sppnet.sppnet_zf5(heads=2).heads.bbox[1].weight.shape == (4, 12_800)


def test_names():
    with nn.init_empty():
        assert keys_hash(faster_rcnn.fasterrcnn_resnet50_fpn().state_dict()) == STORED["keys"]
        fast = {k.rpartition(".")[0] for k in fast_rcnn.fastrcnn_vgg16().state_dict()}
    assert {k for k in fast if not k.startswith("features")} == {"fc6", "fc7", "cls_score", "bbox_pred"}
    heads = {k for k in rcnn.rcnn_small(2).state_dict() if k.startswith("heads")}
    assert {"heads.svm.1.weight", "heads.bbox.0.bias", "heads.scale"} <= heads


def close(got, want, tolerance=1e-4):
    got, want = np.asarray(got), np.asarray(want)
    np.testing.assert_allclose(got.reshape(want.shape), want, rtol=tolerance, atol=tolerance * np.abs(want).max())


def test_resnet50_fpn_gives_the_stored_numbers():
    """torchvision's backbone, RPN head and box heads with the same hashed weights (tests/data/make_vision_reference.py)."""
    with nn.init_empty():
        net = faster_rcnn.fasterrcnn_resnet50_fpn()
    fill_hashed(net).eval()
    with fd.no_grad():
        maps = net.maps(fd.tensor(hashed("x", (1, 3, 64, 96))))
        heads = [net.rpn.head(m) for m in maps]
        scores, boxes = net.roi_heads.box_predictor(net.roi_heads.box_head(fd.tensor(hashed("pooled", (2, 256, 7, 7)))))
    for i, (m, (logits, offsets)) in enumerate(zip(maps, heads)):
        close(m.numpy()[0, ::64, ::2, ::3], np.array(STORED["maps"][i]).reshape(m.numpy()[0, ::64, ::2, ::3].shape))
        close(logits.numpy()[0, :, ::2, ::3].ravel(), STORED["logits"][i])
        close(offsets.numpy()[0, ::5, ::2, ::3].ravel(), STORED["offsets"][i])
    close(scores.numpy()[:, ::7].ravel(), STORED["scores"])
    close(boxes.numpy()[:, ::31].ravel(), STORED["boxes"])


def torch_nms(monkeypatch):
    """Our NMS for theirs, whose C operator may not load; and their RoIAlign in Python without a minute of compiling it."""
    import torch
    from torchvision.ops import boxes

    module = import_module("torchvision.ops.roi_align")
    plain = getattr(module._roi_align, "__wrapped__", module._roi_align)
    monkeypatch.setattr(module, "_roi_align", plain)
    monkeypatch.setattr(boxes, "nms", lambda b, s, t: torch.tensor(D.nms(b.detach().numpy(), s.detach().numpy(), t)))


def small_pair():
    """torchvision's FasterRCNN on a small backbone, and ours with the same weights."""
    import torch
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    body = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, 2, 1), torch.nn.ReLU()
    )
    body.out_channels = 16
    theirs = FasterRCNN(
        body, 5, min_size=96, max_size=160, rpn_anchor_generator=AnchorGenerator(((16, 24),), ((0.5, 1.0, 2.0),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 5, 2), box_head=None, rpn_post_nms_top_n_test=40, rpn_pre_nms_top_n_test=200,
        box_score_thresh=0.15,
    )  # fmt: skip
    body2 = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
    rpn = D.RegionProposalNetwork(
        D.AnchorGenerator(((16, 24),), ((0.5, 1.0, 2.0),)), D.RPNHead(16, 6), before=(2000, 200), after=(2000, 40)
    )
    heads = D.RoIHeads(D.RoIPooler((1 / 8,), 5), D.TwoMLPHead(16 * 25, 1024), D.FastRCNNPredictor(1024, 5), score=0.15)
    mine = faster_rcnn.FasterRCNN(body2, rpn, heads, 5, D.ImageTransform(96, 160))
    weights = hashed_weights({k: tuple(v.shape) for k, v in mine.state_dict().items()})
    weights = {k: v / (40 if k.startswith("rpn.head.bbox_pred") else 1) for k, v in weights.items()}
    mine.load_state_dict(weights)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in weights.items()})
    return mine, theirs


def test_detections_are_torchvisions(monkeypatch):
    load_torchvision()
    import torch

    torch_nms(monkeypatch)
    mine, theirs = small_pair()
    mine.eval(), theirs.eval()
    image = hashed("a", (3, 72, 80)) / 2 + 0.5
    with fd.no_grad(), torch.no_grad():
        batch, sizes = mine.transform([image])
        images, _ = theirs.transform([torch.tensor(image)])
        close(batch.array, images.tensors.numpy())
        assert sizes == images.image_sizes
        maps, others = mine.maps(batch), theirs.backbone(images.tensors)
        proposals, _ = mine.rpn(maps, batch.shape[2:], None, sizes)
        theirs_proposals, _ = theirs.rpn(images, {"0": others})
        np.testing.assert_allclose(proposals[0][:20], theirs_proposals[0][:20].numpy(), atol=2e-3)
        got, _ = mine.roi_heads(maps, proposals, sizes)  # the same proposals for both: no ties to be broken
        want, _ = theirs.roi_heads({"0": others}, [torch.tensor(p) for p in proposals], images.image_sizes)
    assert len(want[0]["scores"]) >= 4
    assert got[0]["labels"].tolist() == want[0]["labels"].tolist()
    close(got[0]["scores"], want[0]["scores"].numpy())
    np.testing.assert_allclose(got[0]["boxes"], want[0]["boxes"].numpy(), atol=2e-3)


def test_losses_and_gradients_are_torchvisions(monkeypatch):
    """With every anchor and region sampled, so that nothing is random."""
    load_torchvision()
    import torch

    torch_nms(monkeypatch)
    mine, theirs = small_pair()
    for s in (mine.rpn.sampler, mine.roi_heads.sampler.sampler):
        s.size, s.positive = 10**6, 0.5
    for s in (theirs.rpn.fg_bg_sampler, theirs.roi_heads.fg_bg_sampler):
        s.batch_size_per_image, s.positive_fraction = 10**6, 0.5
    images = [hashed("a", (3, 96, 128)) / 2 + 0.5, hashed("b", (3, 96, 128)) / 2 + 0.5]
    targets = [
        {"boxes": np.array([[10, 12, 40, 44], [60, 20, 90, 52]], np.float32), "labels": np.array([1, 3])},
        {"boxes": np.zeros((0, 4), np.float32), "labels": np.zeros(0, np.int64)},
    ]
    mine.train(), theirs.train()
    got = mine(images, targets)
    want = theirs([torch.tensor(i) for i in images], [{k: torch.tensor(v) for k, v in t.items()} for t in targets])
    for name, value in want.items():
        assert got[name].item() == pytest.approx(value.item(), rel=1e-4), name
    sum(got.values()).backward()
    sum(want.values()).backward()
    grads = dict(mine.named_parameters())
    for name, p in theirs.named_parameters():
        g, w = grads[name].grad.numpy(), p.grad.numpy()
        assert np.linalg.norm(g - w) <= 1e-3 * np.linalg.norm(w) + 1e-7, name


def test_levels_of_a_pyramid_are_torchvisions():
    load_torchvision()
    import torch
    from torchvision.ops.poolers import LevelMapper

    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 300, (200, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(4, 700, (200, 2))], 1).astype(np.float32)
    want = LevelMapper(2, 5)([torch.tensor(boxes)]).numpy()
    np.testing.assert_array_equal(D.RoIPooler((1 / 4, 1 / 8, 1 / 16, 1 / 32)).levels(boxes), want)


def test_pooler_takes_each_box_from_its_level():
    maps = [fd.randn(2, 3, 64, 64), fd.randn(2, 3, 32, 32)]
    pooler = D.RoIPooler((1 / 8, 1 / 16), 3)
    boxes = [np.array([[0, 0, 40, 40], [0, 0, 500, 500]], np.float32), np.array([[100, 100, 400, 480]], np.float32)]
    out = pooler(maps, boxes).numpy()
    rows = np.concatenate([np.concatenate([np.full((len(b), 1), i), b], 1) for i, b in enumerate(boxes)]).astype(
        np.float32
    )
    for k, level in enumerate(pooler.levels(rows[:, 1:])):
        want = D.roi_heads.roi_align(maps[level], rows[k : k + 1], 3, 1 / (8 * 2**level), 2).numpy()
        np.testing.assert_allclose(out[k : k + 1], want, rtol=1e-6)
    assert pooler(maps, [np.zeros((0, 4))] * 2).shape == (0, 3, 3, 3)


def nothing(n=1):
    return [{"boxes": np.zeros((0, 4), np.float32), "labels": np.zeros(0, np.int64)} for _ in range(n)]


@pytest.mark.parametrize("kind", ["faster", "fast"])
def test_training_on_scenes_without_objects_stays_finite(kind):
    scenes = SceneMaker("digits", "train", 64, objects=(0, 0)).draw(2)
    x, target = Tensor(scenes.inputs()), scenes.targets(1)
    if kind == "faster":
        net = faster_rcnn.fasterrcnn_small(seed=0)
        losses = net(x, target)
    else:
        net = fast_rcnn.fastrcnn_small(seed=0)
        losses = net(x, [np.array([[4, 4, 30, 30]], np.float32), np.zeros((0, 4))], target)
    assert all(np.isfinite(v.item()) for v in losses.values())
    assert losses["loss_box_reg"].item() == 0
    sum(losses.values()).backward()
    assert all(p.grad is None or np.isfinite(p.grad.numpy()).all() for p in net.parameters())


def test_odd_targets_and_empty_lists():
    net = faster_rcnn.fasterrcnn_small(seed=0)
    x = fd.randn(1, 1, 64, 64)
    odd = [{"boxes": [[-30, -30, 20, 20], [100, 100, 140, 130], [5, 5, 5, 9]], "labels": [1, 2, 3]}]
    assert all(np.isfinite(v.item()) for v in net(x, odd).values())
    assert len(D.rpn.check_targets(odd, [(64, 64)], 11)[0]["boxes"]) == 1  # cut, outside, empty
    with pytest.raises(ValueError, match=r"labels must lie in 1\.\.10"):
        net(x, [{"boxes": [[1, 1, 9, 9]], "labels": [0]}])
    with pytest.raises(ValueError, match="1 boxes, 2 labels"):
        net(x, [{"boxes": [[1, 1, 9, 9]], "labels": [1, 2]}])
    with pytest.raises(ValueError, match="must be finite"):
        net(x, [{"boxes": [[1, 1, np.nan, 9]], "labels": [1]}])
    with pytest.raises(ValueError, match="one target dict for each of 1 images"):
        net(x)
    with pytest.raises(ValueError, match="at least one image"):
        net([], [])
    net.eval()
    assert net([]) == [] and fast_rcnn.fastrcnn_small().eval()([], []) == []
    assert rcnn.rcnn_small().eval().detect([], []) == [] and sppnet.sppnet_small().eval().detect([], []) == []
    with pytest.raises(ValueError, match="a list of images needs a transform"):
        net([np.zeros((1, 64, 64), np.float32)])
    with pytest.raises(ValueError, match=r"floats \(3, H, W\).*grey image colour"):
        D.ImageTransform()([np.zeros((1, 8, 8), np.float32)])
    with pytest.raises(ValueError, match="images and proposals for 2"):
        fast_rcnn.fastrcnn_small().eval()(x, [np.zeros((0, 4))] * 2)


def test_no_proposals_give_no_detections():
    x = fd.randn(2, 1, 64, 64)
    none = [np.zeros((0, 4), np.float32), np.array([[5, 5, 40, 40]], np.float32)]
    for found in (
        fast_rcnn.fastrcnn_small().eval()(x, none), rcnn.rcnn_small().eval().detect(x, none),
        sppnet.sppnet_small().eval().detect(x, none),
    ):  # fmt: skip
        assert len(found) == 2 and len(found[0]["boxes"]) == 0
    assert rcnn.rcnn_small().eval().detect(x, [np.zeros((0, 4))] * 2)[1]["labels"].tolist() == []


def test_eval_twice_gives_the_same_bits_and_the_seed_decides_training():
    net = faster_rcnn.fasterrcnn_small(seed=3).eval()
    x = fd.randn(2, 1, 64, 64)
    a, b = net(x), net(x)
    for one, two in zip(a, b):
        np.testing.assert_array_equal(one["boxes"], two["boxes"])
    scenes = SceneMaker("digits", "train", 64).draw(2, seed=0)
    losses = []
    for _ in range(2):
        fd.manual_seed(0)
        net = faster_rcnn.fasterrcnn_small()
        losses.append([v.item() for v in net(Tensor(scenes.inputs()), scenes.targets(1)).values()])
    assert losses[0] == losses[1]


def test_warp_shows_the_region_and_its_context():
    image = np.zeros((1, 1, 40, 40), np.float32)
    image[0, 0, 10:30, 5:25] = np.arange(20)[:, None] + 1
    inside = rcnn.warp(Tensor(image), [np.array([[5, 10, 25, 30]])], 20, context=0).numpy()
    np.testing.assert_allclose(inside[0, 0], image[0, 0, 10:30, 5:25], atol=1e-4)
    around = rcnn.warp(Tensor(image), [np.array([[5, 10, 25, 30]])], 24, context=2).numpy()[0, 0]
    np.testing.assert_allclose(around[2:22, 2:22], image[0, 0, 10:30, 5:25], atol=1e-4)
    assert not around[:2].any() and not around[:, 22:].any()
    with pytest.raises(ValueError, match="context=10"):
        rcnn.warp(Tensor(image), [np.zeros((0, 4))], 20, context=10)


def test_pyramid_of_images_and_of_regions():
    spp = sppnet.SpatialPyramidPool()
    for size in ((6, 6), (13, 9), (24, 40)):
        assert spp(fd.randn(2, 4, *size)).shape == (2, 200)
    x = fd.randn(1, 4, 12, 12)
    whole = spp(x, [np.array([[0, 0, 11, 11]], np.float32)])
    np.testing.assert_allclose(whole.numpy(), spp(x).numpy(), rtol=1e-6)  # 12 cells: no bin overlaps another
    assert sppnet.to_cells([[33, 20, 100, 64]], 16, 9, 9).tolist() == [[3, 2, 6, 3]]
    cells = sppnet.to_cells([[1, 1, 2, 2], [-5, 300, 900, 301]], 16, 9, 9)  # tiny, and beyond the map
    assert (cells >= 0).all() and (cells <= 8).all() and (cells[:, 2:] >= cells[:, :2]).all()
    cell = np.array([[2, 1, 5, 3]], np.float32)  # first and last column and row
    pixels = np.concatenate([cell[:, :2] * 4, (cell[:, 2:] + 1) * 4], 1)  # the pixels that they are made of
    np.testing.assert_array_equal(sppnet.to_cells(pixels, 4, 9, 9, centre=2.0), cell)
    np.testing.assert_array_equal(sppnet.to_cells(pixels, 4, 9, 9), cell + [1, 1, 0, 0])  # of cells centred on corners
    assert sppnet.best_scale([[0, 0, 100, 100], [0, 0, 300, 300]], (600, 800)).tolist() == [4, 0]


def test_sppnet_freezes_convolutions_for_regions_and_takes_images_of_any_size():
    net = sppnet.sppnet_small(in_channels=1)
    net(fd.randn(1, 1, 64, 64), [np.array([[5, 5, 40, 40]])]).sum().backward()
    assert all(p.grad is None for p in net.features.parameters()) and net.fc6.weight.grad is not None
    assert net(fd.randn(2, 1, 40, 56)).shape == net(fd.randn(2, 1, 24, 24)).shape == (2, 11)


@pytest.mark.parametrize(("make", "centre"), [(lambda: sppnet.sppnet_small(), 2.0), (sppnet.sppnet_zf5, 6.5)])
def test_sppnet_knows_where_its_cells_look(make, centre):
    """The middle of what moves a cell, in a network of positive weights without biases."""
    net = make().eval()
    assert net.centre == centre
    features, size = net.features, 14 * net.stride
    for layer in features.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.array[...] = 1 / layer.weight.array[0].size
            if layer.bias is not None:
                layer.bias.array[...] = 0

    def moved(columns):
        x = np.zeros((1, net.in_channels, net.stride * 9, size), np.float32)
        x[..., columns] = 1
        with fd.no_grad():
            return features(Tensor(x)).array[0, 0, 4, 7] > 1e-5  # rounding of fast algorithms is far below

    first = bisect.bisect_left(range(1, size), True, key=lambda k: moved(slice(0, k)))
    last = size - 1 - bisect.bisect_left(range(1, size), True, key=lambda k: moved(slice(size - k, size)))
    assert 0 < first < last < size - 1
    assert (first + last + 1) / 2 == centre + 7 * net.stride


def test_sppnet_takes_the_windows_of_an_enlarged_image():
    fd.manual_seed(0)
    twice, once = sppnet.sppnet_small(scale=2.0).eval(), sppnet.sppnet_small(scale=1.0).eval()
    once.load_state_dict({k: v.numpy() for k, v in twice.state_dict().items()})
    x, boxes = np.random.default_rng(0).random((1, 1, 24, 32), np.float32), np.array([[3, 4, 20, 19], [0, 0, 32, 24]])
    large = fd.nn.functional.interpolate(Tensor(x), size=(48, 64), mode="bilinear", align_corners=False)
    with fd.no_grad():
        np.testing.assert_array_equal(twice(Tensor(x), [boxes]).numpy(), once(large, [2 * boxes]).numpy())
        np.testing.assert_array_equal(twice(Tensor(x)).numpy(), once(large).numpy())


def test_frozen_fine_tuning_leaves_the_convolutions_alone_and_is_the_same_as_running_them_each_time():
    scenes = SceneMaker("digits", "train", 64).draw(6, seed=0)
    proposals = [b + 2 for b in scenes.boxes]
    fd.manual_seed(0)
    net = sppnet.sppnet_small()
    net.features.requires_grad_(False)
    net(Tensor(scenes.inputs()))  # batch norms that have seen something
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    fine_tune(net, scenes, (0.3, 0.2), proposals, 3, images=4, frozen=True)
    for name, value in net.state_dict().items():
        assert np.array_equal(value.numpy(), before[name]) == name.startswith(("features.", "heads.")), name
    net.eval()
    x = Tensor(scenes.inputs(0.3, 0.2))
    with fd.no_grad():
        np.testing.assert_array_equal(net.score(net.maps(x), proposals).numpy(), net(x, proposals).numpy())


def test_fast_rcnn_learns_background_from_parts_of_objects():
    sampler = fast_rcnn.fastrcnn_small(seed=0).sampler
    truth = np.array([[20, 20, 50, 50]], np.float32)
    proposals = np.array([[60, 60, 90, 90], [20, 20, 32, 50], [48, 48, 60, 60], [21, 20, 50, 50]], np.float32)
    boxes, labels, _ = sampler(proposals, {"boxes": truth, "labels": np.array([3])})
    background = boxes[labels == 0]
    np.testing.assert_array_equal(background, proposals[1:2])  # not the texture, not the corner that hardly touches
    assert (labels > 0).sum() == 2  # the near one and the truth itself


class Watcher(nn.Module):
    """Scores that know nothing; keeps the regions that it is shown."""

    def __init__(self):
        super().__init__()
        self.bias, self.seen = nn.Parameter(fd.zeros(11)), []

    def forward(self, x, boxes):
        self.seen += boxes
        return fd.zeros(sum(map(len, boxes)), 11) + self.bias


@pytest.mark.parametrize(("background", "texture"), [(0.0, True), (0.1, False)])
def test_fine_tuning_of_regions_takes_background_from_an_overlap_on(background, texture):
    scenes = SceneMaker("digits", "train", 64, objects=(1, 1)).draw(4, seed=0)
    truth = [b[0] for b in scenes.boxes]
    part = [np.concatenate([b[:2], (b[:2] + b[2:]) / 2]) for b in truth]  # a quarter of the object
    far = [np.array([0, 0, 9, 9]) if b[:2].min() > 9 else np.array([55, 55, 64, 64]) for b in truth]
    watcher = Watcher()
    fine_tune(watcher, scenes, (0.3, 0.2), [np.stack(p) for p in zip(part, far)], 3, images=4, background=background)
    lone = [tuple(r) for rows in watcher.seen for r in rows.astype(int) if tuple(r) in {tuple(f) for f in far}]
    assert bool(lone) == texture and len(watcher.seen) == 12


def test_fast_rcnn_trains_its_convolutions_and_truncates_its_dense_layers():
    net = fast_rcnn.fastrcnn_small(seed=0)
    scenes = SceneMaker("digits", "train", 64).draw(2, seed=0)
    proposals = [b + 2 for b in scenes.boxes]
    sum(net(Tensor(scenes.inputs()), proposals, scenes.targets(1)).values()).backward()
    assert all(np.abs(p.grad.numpy()).max() > 0 for p in net.features.parameters())
    net.eval()
    x = Tensor(scenes.inputs())
    with fd.no_grad():
        before = net.predict(x, proposals)[0].numpy()
        np.testing.assert_allclose(net.truncate(128, 128).predict(x, proposals)[0].numpy(), before, atol=1e-4)
    assert net.fc6[0].weight.shape == (128, 64 * 7 * 7)
    with pytest.raises(ValueError, match="rank must lie in"):
        fast_rcnn.truncated(nn.Linear(3, 4), 5)


@pytest.mark.parametrize(("scale", "box"), [(1.0, [7, 7, 15, 15]), (0.5, [14, 14, 30, 30])])
def test_fast_rcnn_pools_the_cells_that_a_box_touches(scale, box):
    """Cells of 4 x 4 (enlarged) pixels: a box from 7 to 15 touches cells 1, 2 and 3, as a bright cell at a time shows."""
    net = fast_rcnn.FastRCNN(nn.AvgPool2d(4), 1, 4, 2, 1, 3, 0.0, in_channels=1, centre=2.0, scale=scale).eval()
    seen, net.fc6 = [], nn.Identity()
    net.fc7 = net.cls_score = net.bbox_pred = nn.Identity()
    side = round(32 / scale)
    for cell in range(8):
        x = np.zeros((1, 1, side, side), np.float32)
        x[..., round(4 * cell / scale) : round(4 * cell / scale + 4 / scale), :] = 1
        seen.append(net.predict(Tensor(x), [np.array([box], np.float32)])[0].item() > 0.9)
    assert np.flatnonzero(seen).tolist() == [1, 2, 3]


def test_box_regressions_look_at_maps_and_svms_at_the_dense_layer():
    scenes = SceneMaker("digits", "train", 64).draw(3, seed=0)
    proposals = [np.concatenate([b, b + 2]) for b in scenes.boxes]
    for net in (rcnn.rcnn_small(), sppnet.sppnet_small()):
        rows, maps = net.eval().describe(Tensor(scenes.inputs()), proposals)
        assert (
            rows.shape == (sum(map(len, proposals)), 128) and maps.shape[1] == net.heads.bbox[0].weight.shape[1] > 3000
        )
        np.testing.assert_array_equal(net.embed(Tensor(scenes.inputs()), proposals).array, rows.array)
        assert all(t.shape[0] == 0 for t in net.describe(fd.zeros(1, 1, 64, 64), [np.zeros((0, 4))]))
