"""Boxes, anchors, matching, sampling: worked by hand, and beside torchvision's Python parts."""

import numpy as np
import pytest
from _torchvision import load as load_torchvision

import fastdl as fd
from fastdl import detection as D

RNG = np.random.default_rng(0)


def random_boxes(n, rng=RNG, size=100, least=2):
    a = rng.uniform(0, size * 0.7, (n, 2))
    return np.concatenate([a, a + rng.uniform(least, size * 0.5, (n, 2))], 1).astype(np.float32)


def test_formats_areas_and_overlaps():
    boxes = np.array([[0, 0, 4, 4], [2, 0, 6, 4], [4, 4, 5, 5]], np.float32)
    assert D.box_area(boxes).tolist() == [16, 16, 1]
    np.testing.assert_allclose(D.box_iou(boxes, boxes)[0], [1, 1 / 3, 0])
    np.testing.assert_allclose(D.box_ioa(boxes, boxes)[0], [1, 0.5, 0])
    assert D.box_convert(boxes, "xyxy", "cxcywh")[1].tolist() == [4, 2, 4, 4]
    for fmt in ("xywh", "cxcywh"):
        np.testing.assert_allclose(D.box_convert(D.box_convert(boxes, "xyxy", fmt), fmt, "xyxy"), boxes)
    assert D.box_iou(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0]]  # empty boxes: no 0 / 0
    assert isinstance(D.box_iou(fd.tensor(boxes), fd.tensor(boxes)), fd.Tensor)
    assert D.clip_boxes_to_image(np.array([[-5, -5, 50, 7.0]]), (10, 20)).tolist() == [[0, 0, 20, 7]]
    assert D.remove_small_boxes(boxes, 2).tolist() == [0, 1]
    assert D.box_iou([], boxes).shape == (0, 3)
    with pytest.raises(ValueError, match=r"must have shape \(N, 4\)"):
        D.box_area(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="formats are"):
        D.box_convert(boxes, "xyxy", "yxyx")


def test_suppression():
    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 4.2], [10, 10, 12, 12], [0, 0, 4, 4], [1, 1, 9, 9]], np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.95, 0.1], np.float32)
    assert D.nms(boxes, scores, 0.5).tolist() == [3, 2, 4]
    assert D.batched_nms(boxes, scores, np.array([0, 0, 0, 1, 0]), 0.5).tolist() == [3, 0, 2, 4]
    kept, new = D.soft_nms(boxes, scores, sigma=0.5)
    assert kept[0] == 3 and sorted(kept) == [0, 1, 2, 3, 4] and kept[1] == 2
    seen = D.box_iou(boxes[[3, 1, 4]], boxes[:1])[:, 0]  # the boxes chosen before the first
    np.testing.assert_allclose(new[list(kept).index(0)], 0.9 * np.exp(-2 * seen**2).prod(), rtol=1e-5)
    assert D.batched_nms(np.zeros((0, 4)), np.zeros(0), np.zeros(0), 0.5).tolist() == []


def test_many_boxes_are_suppressed_as_by_definition():
    boxes, scores = random_boxes(300), RNG.random(300).astype(np.float32)
    kept, order = [], np.argsort(-scores)
    iou = D.box_iou(boxes.astype(np.float64), boxes.astype(np.float64))
    for i in order:
        if all(iou[i, j] <= 0.4 for j in kept):
            kept.append(i)
    assert D.nms(boxes, scores, 0.4).tolist() == kept


def test_coding_round_trip_and_clamp():
    coder = D.BoxCoder((10, 10, 5, 5))
    boxes, references = random_boxes(50), random_boxes(50)
    t = coder.encode(boxes, references)
    np.testing.assert_allclose(coder.decode(t, references), boxes, atol=1e-4)
    wild = coder.decode(np.full((1, 4), 1e4, np.float32), references[:1])
    assert np.isfinite(wild).all()
    assert coder.decode(np.zeros((50, 12), np.float32), references).shape == (50, 3, 4)
    with pytest.raises(ValueError, match="positive width and height"):
        coder.encode(np.zeros((1, 4)), references[:1])
    with pytest.raises(ValueError, match="do not fit"):
        coder.decode(np.zeros((3, 4)), references)


def test_parity_with_torchvision():
    load_torchvision()
    import torch
    from torchvision.models.detection import _utils
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.image_list import ImageList

    boxes, references = random_boxes(40), random_boxes(40)
    theirs = _utils.BoxCoder((10.0, 10.0, 5.0, 5.0))
    mine = D.BoxCoder((10, 10, 5, 5))
    want = theirs.encode_single(torch.tensor(boxes), torch.tensor(references)).numpy()
    np.testing.assert_allclose(mine.encode(boxes, references), want, atol=1e-4)
    t = RNG.normal(0, 3, (40, 20)).astype(np.float32)
    want = theirs.decode_single(torch.tensor(t), torch.tensor(references)).numpy().reshape(40, 5, 4)
    np.testing.assert_allclose(mine.decode(t, references), want, rtol=1e-4, atol=1e-3)

    sizes, ratios = ((32,), (64, 80), (128,)), ((0.5, 1.0, 2.0),) * 3
    want = AnchorGenerator(sizes, ratios)
    maps = [torch.zeros(1, 1, 25, 30), torch.zeros(1, 1, 13, 15), torch.zeros(1, 1, 7, 8)]
    want = want(ImageList(torch.zeros(1, 3, 200, 240), [(200, 240)]), maps)[0].numpy()
    np.testing.assert_array_equal(D.AnchorGenerator(sizes, ratios)((200, 240), [m.shape[-2:] for m in maps]), want)

    iou = D.box_iou(random_boxes(6), random_boxes(80))
    for best in (False, True):
        want = _utils.Matcher(0.5, 0.3, allow_low_quality_matches=best)(torch.tensor(iou)).numpy()
        np.testing.assert_array_equal(D.Matcher(0.5, 0.3, best)(iou), want)


def test_anchors_of_one_cell():
    """py-faster-rcnn's published table for stride 16, and torchvision's convention for the same areas."""
    want = [
        [-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199], [-56, -56, 71, 71], [-120, -120, 135, 135],
        [-248, -248, 263, 263], [-36, -80, 51, 95], [-80, -168, 95, 183], [-168, -344, 183, 359],
    ]  # fmt: skip
    np.testing.assert_array_equal(D.paper_cell_anchors(), want)
    got = D.cell_anchors((128,), (0.5, 1.0, 2.0))
    np.testing.assert_array_equal(got, [[-91, -45, 91, 45], [-64, -64, 64, 64], [-45, -91, 45, 91]])
    with pytest.raises(ValueError, match="one tuple of sizes for each map"):
        D.AnchorGenerator(((8,), (16,)))((32, 32), [(4, 4)])


def test_kmeans_finds_the_sizes_that_are_there():
    rng = np.random.default_rng(0)
    sizes = np.concatenate([rng.normal(m, 1, (50, 2)) for m in ((10, 20), (40, 40), (80, 30))])
    np.testing.assert_allclose(D.kmeans_anchors(sizes, 3), [[10, 20], [40, 40], [80, 30]], atol=1)


def test_matching_by_hand():
    iou = np.array([[0.9, 0.4, 0.1, 0.0], [0.2, 0.45, 0.2, 0.0]])
    assert D.Matcher(0.5, 0.3)(iou).tolist() == [0, -2, -1, -1]
    assert D.Matcher(0.5, 0.3, best_too=True)(iou).tolist() == [0, 1, -1, -1]
    assert D.Matcher(0.5, 0.3, best_too=True)(np.zeros((0, 3))).tolist() == [-1, -1, -1]
    with pytest.raises(ValueError, match="must not be above"):
        D.Matcher(0.3, 0.5)


def test_sampler_keeps_the_share():
    rng = np.random.default_rng(0)
    labels = np.array([1] * 50 + [0] * 100 + [-1] * 50)
    positives, negatives = D.BalancedSampler(40, 0.25)(labels, rng)
    assert len(positives) == 10 and len(negatives) == 30
    assert (labels[positives] == 1).all() and (labels[negatives] == 0).all()
    positives, negatives = D.BalancedSampler(40, 0.25)(np.zeros(5), rng)
    assert len(positives) == 0 and len(negatives) == 5
