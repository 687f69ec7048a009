"""Lecture 6, second half: where is what (entries 69 to 79), on scenes of MNIST digits on textures."""

import copy
import functools
import time

import numpy as np

import fastdl
from fastdl.autograd import Tensor, no_grad
from fastdl.data import SceneMaker, mnist5k, tables
from fastdl.detection import BoxCoder, LinearSVM, OneVsRestSVM, box_iou, ridge
from fastdl.detection.roi_heads import detections
from fastdl.gates import Claim, gate
from fastdl.metrics import mean_average_precision
from fastdl.models.fast_rcnn import fastrcnn_small
from fastdl.models.faster_rcnn import fasterrcnn_small
from fastdl.models.rcnn import rcnn_small
from fastdl.models.sppnet import sppnet_small
from fastdl.models.yolo import yolo_small
from fastdl.recipes._regions import fine_tune, fit_heads, judge, propose, recall, train_fast_rcnn
from fastdl.recipes._scenes import batches, fit, judge_boxes, statistics, test_scenes
from fastdl.recipes.yolo import loss as yolo_loss
from fastdl.recipes.yolo import pretrain

SIZE = 96


def _maker():
    return SceneMaker("digits", "train", SIZE)


@functools.cache
def _proposed(seed, smoke):
    """(maker's statistics, train scenes, their proposals, test scenes, theirs)."""
    maker = _maker()
    train, test = maker.draw(20 if smoke else 300, seed=seed), test_scenes(maker, 20 if smoke else 100)
    return statistics(maker, 100), train, propose(train), test, propose(test)


@functools.cache
def _rcnn(seed, smoke):
    stats, train, proposals, *_ = _proposed(seed, smoke)
    net = rcnn_small()
    fine_tune(net, train, stats, proposals, 15 if smoke else 300, seed=seed)
    fit_heads(net, train, stats, proposals, seed)
    return net


@functools.cache
def _sppnet(seed, smoke):
    stats, train, proposals, *_ = _proposed(seed, smoke)
    net = sppnet_small(features=copy.deepcopy(_rcnn(seed, smoke).backbone.features))
    net.features.requires_grad_(False)
    fine_tune(net, train, stats, proposals, 15 if smoke else 400, each=16, seed=seed, background=0.1, frozen=True)
    fit_heads(net, train, stats, proposals, seed)
    return net


@functools.cache
def _fast(seed, smoke):
    stats, train, proposals, *_ = _proposed(seed, smoke)
    net = fastrcnn_small(features=copy.deepcopy(_rcnn(seed, smoke).backbone.features), seed=seed)
    net.features.requires_grad_(True)
    train_fast_rcnn(net, train, stats, proposals, 10 if smoke else 400, images=8, seed=seed)
    return net.eval()


def sliding_baseline(scenes, shape=(20, 20), step=6):
    """mAP of windows of the mean size, each named by its nearest of 500 train digits and scored by the distance to it."""
    x, y = (t.array for t in mnist5k().train.tensors)
    grid = np.linspace(4, 24, 10).astype(int)
    x, y = x[::8, 0][:, grid][:, :, grid].reshape(-1, 100), y[::8]
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
    h, w = shape
    tops = [(r, c) for r in range(0, SIZE - h + 1, step) for c in range(0, SIZE - w + 1, step)]
    rows, columns = np.linspace(0, h - 1, 10).astype(int), np.linspace(0, w - 1, 10).astype(int)
    boxes = np.array([[c, r, c + w, r + h] for r, c in tops], np.float32)
    found = []
    for image in scenes.images[:, 0] / 255.0:
        v = np.stack([image[r : r + h, c : c + w][rows][:, columns].ravel() for r, c in tops])
        v = v - v.min(1, keepdims=True)
        alike = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-6)) @ x.T
        found.append({"boxes": boxes, "scores": alike.max(1), "labels": y[alike.argmax(1)]})
    return mean_average_precision(found, scenes.targets())["map"]


@gate(entry=70, name="selective_search")
def selective_search(seed=0, smoke=False):
    """Selective search, at most 150 boxes, on held-out scenes: how many digits it finds, beside as many random boxes."""
    scenes = test_scenes(_maker(), 20 if smoke else 100)
    found, overlap = recall(propose(scenes), scenes)
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, SIZE - 12, (len(scenes), 150, 2))
    boxes = np.concatenate([corner, np.minimum(corner + rng.uniform(10, 34, corner.shape), SIZE)], 2)
    chance, mean = recall(list(boxes), scenes)
    return [
        Claim("recall at IoU 0.5", found, ">=", 0.85, ("150 random boxes", chance)),
        Claim("mean best overlap", overlap, ">=", 0.65, ("150 random boxes", mean)),
    ]


@gate(entry=71, name="linear_svm")
def linear_svm(seed=0, smoke=False):
    """Linear SVMs by dual coordinate descent: breast_cancer (two classes) and 8x8 digits (one against the rest)."""
    from fastdl.data import digits

    (x, y), (u, v) = ([t.array for t in part.tensors] for part in tables.breast_cancer())
    mean, std = x.mean(0), x.std(0)
    svm = LinearSVM(C=0.1, passes=1000, seed=seed).fit((x - mean) / std, y)
    right = float(((svm.decision((u - mean) / std) > 0) == (v > 0)).mean())
    commoner = float(max(np.mean(v > 0), np.mean(v <= 0)))
    (x, y), (u, v) = ([t.array for t in part.tensors] for part in digits())
    # five folds of the training part: C = .05 .942, .1 .950, .2 .953, .5 .958, 1 .957
    many = OneVsRestSVM(C=0.5, passes=100, seed=seed).fit(x.reshape(len(x), -1), y)
    commonest = float(np.bincount(v).max() / len(v))
    digits_right = float((many.predict(u.reshape(len(u), -1)) == v).mean())
    return [
        Claim("test accuracy, breast_cancer", right, ">=", 0.95, ("always the commoner class", commoner)),
        Claim("relative duality gap", svm.gap, "<=", 1e-3),
        Claim("test accuracy, digits 8x8", digits_right, ">=", 0.95, ("the commonest class", commonest)),
    ]  # fmt: skip


@gate(entry=72, name="box_regression")
def box_regression(seed=0, smoke=False):
    """Ridge regression from the pixels around a jittered box to where its digit is, judged by the IoU on held-out scenes."""
    from fastdl.models.rcnn import warp

    rng, coder = np.random.default_rng(seed), BoxCoder()

    def jittered(scenes, each):
        moved, truth, owner = [], [], []
        for i, boxes in enumerate(scenes.boxes):
            for b in np.repeat(boxes, each, 0):
                size = b[2:] - b[:2]
                shift, scale = rng.normal(0, 0.12, 2) * size, np.exp(rng.normal(0, 0.15, 2))
                centre = (b[:2] + b[2:]) / 2 + shift
                (
                    moved.append([*(centre - size * scale / 2), *(centre + size * scale / 2)]),
                    truth.append(b),
                    owner.append(i),
                )
        moved, truth, owner = np.array(moved, np.float32), np.array(truth), np.array(owner)
        x = warp(Tensor(scenes.inputs()), [moved[owner == i] for i in range(len(scenes))], 16, 4).array
        return x.reshape(len(x), -1), moved, truth

    scenes = _maker().draw(100 if smoke else 800, seed=seed), test_scenes(_maker(), 50 if smoke else 150)
    x, boxes, truth = jittered(scenes[0], 6)
    w, b = ridge(np.concatenate([x, np.maximum(x - 0.5, 0)], 1), coder.encode(truth, boxes), 30.0)
    x, boxes, truth = jittered(scenes[1], 2)
    better = coder.decode((np.concatenate([x, np.maximum(x - 0.5, 0)], 1) @ w + b).astype(np.float32), boxes)
    before, after = (float(np.mean(np.diag(box_iou(p, truth)))) for p in (boxes, better))
    return [Claim("mean IoU after regression", after, ">=", before + 0.03 if smoke else 0.75, ("before it", before))]


def softmax_detections(net, x, proposals):
    """What R-CNN finds by the scores that fine-tuning ended with, in place of its SVMs; boxes as proposed, labels from 1."""
    scores = net(x, proposals)
    offsets = Tensor(np.zeros((len(scores), 4 * scores.shape[1]), np.float32))
    sizes = [tuple(x.shape[2:])] * len(proposals)
    return detections(scores, offsets, proposals, sizes, BoxCoder(), score=0.01, iou=0.3)


@gate(entry=69, name="rcnn")
def rcnn(seed=0, smoke=False):
    """R-CNN: selective search, a CNN on every warped region, an SVM and a box regression a class, on held-out scenes."""
    stats, _, _, test, proposals = _proposed(seed, smoke)
    net = _rcnn(seed, smoke)
    full = judge(net.detect, test, stats, proposals)["map"]
    if smoke:
        scores = np.concatenate([net.heads.scores(np.zeros((1, 128)))[0], [0.0]])
        return [Claim("mAP@0.5, 15 steps", full, ">=", 0.005, ("a network that says nothing", 0.0)),
                Claim("scores are finite", float(np.isfinite(scores).mean()), "==", 1.0)]  # fmt: skip
    exact = judge(net.detect, test, stats, proposals, iou=0.75)["map"]
    plain, loose = (
        judge(lambda x, p: net.detect(x, p, regress=False), test, stats, proposals, iou=iou)["map"]
        for iou in (0.75, 0.5)
    )
    softmax = judge(lambda x, p: softmax_detections(net, x, p), test, stats, proposals, 1)["map"]
    return [
        Claim("mAP@0.5", full, ">=", 0.70, ("sliding window, nearest digit", sliding_baseline(test))),
        Claim("mAP@0.5 of the SVMs, without box regression", loose, ">=", 0.50, ("softmax in their place", softmax)),
        Claim("gain of box regression, mAP@0.75", exact - plain, ">=", 0.0, ("without it", plain)),
    ]


def seconds_of(function, x, proposals, repeats=3):
    """CPU seconds an image, the least of some runs."""
    best = np.inf
    with no_grad():
        for _ in range(repeats):
            began = time.process_time()
            function(x, proposals)
            best = min(best, time.process_time() - began)
    return best / len(proposals)


def multiply_adds(slow, fast, regions=150):
    """R-CNN's multiply-adds for an image over SPPNet's: what the seconds are about, and the same on every machine."""
    each = fastdl.summary(slow.backbone, (1, 1, slow.size, slow.size)).total_macs
    side = round(SIZE * fast.scale)
    once = fastdl.summary(fast.features, (1, 1, side, side)).total_macs
    dense = sum(layer.in_features * layer.out_features for layer in (fast.fc6, fast.fc7))
    return regions * each / (once + regions * dense)


@gate(entry=73, name="sppnet")
def sppnet(seed=0, smoke=False):
    """SPPNet with R-CNN's convolutions, run once an image and frozen: mAP and seconds an image beside R-CNN's, same regions."""
    stats, _, _, test, proposals = _proposed(seed, smoke)
    slow, net = _rcnn(seed, smoke), _sppnet(seed, smoke)
    x = Tensor(test[:5].inputs(*stats))
    ratio = seconds_of(slow.embed, x, proposals[:5]) / seconds_of(net.embed, x, proposals[:5])
    claims = [
        Claim("R-CNN's multiply-adds an image / SPPNet's, 150 regions", multiply_adds(slow, net), ">=", 5.0),
        Claim("R-CNN's seconds an image / SPPNet's, without proposals", ratio, ">=", 2.0 if smoke else 3.5),
    ]
    if smoke:
        return claims
    mine, its = (judge(n.detect, test, stats, proposals)["map"] for n in (net, slow))
    return [
        *claims,
        Claim("mAP@0.5", mine, ">=", 0.55, ("R-CNN", its)),
        Claim("R-CNN's mAP less SPPNet's", its - mine, "<=", 0.08, ("R-CNN", its)),
    ]


@gate(entry=74, name="fast_rcnn")
def fast_rcnn(seed=0, smoke=False):
    """Fast R-CNN, trained end to end from R-CNN's convolutions on the same regions: mAP beside SPPNet's."""
    stats, _, _, test, proposals = _proposed(seed, smoke)
    net = _fast(seed, smoke)
    moved = max(
        float(np.abs(a.array - b.array).max())
        for a, b in zip(net.features.parameters(), _rcnn(seed, smoke).backbone.features.parameters())
    )
    claims = [Claim("largest change of a convolution's weight in training", moved, ">", 1e-3)]
    if smoke:
        return claims
    value = judge(net, test, stats, proposals, 1)["map"]
    other = judge(_sppnet(seed, smoke).detect, test, stats, proposals)["map"]
    return [
        *claims,
        Claim("mAP@0.5", value, ">=", 0.60, ("SPPNet", other)),
        Claim("gain over SPPNet", value - other, ">=", 0.0, ("SPPNet", other)),
    ]


@functools.cache
def _faster(seed, smoke):
    maker = _maker()
    stats, net = statistics(maker, 100), fasterrcnn_small(seed=seed)
    one = lambda m, x, s: sum(m(x, s.targets(1)).values())  # noqa: E731
    fit(net, one, maker, stats, 1 if smoke else 5, scenes=120 if smoke else 1200, batch=4 if smoke else 8, seed=seed)
    return stats, net.eval(), test_scenes(maker, 20 if smoke else 100)


@gate(entry=76, name="faster_rcnn")
def faster_rcnn(seed=0, smoke=False):
    """Faster R-CNN (stride 4, nine anchors), proposals and detection trained together: mAP at IoU 0.5 on held-out scenes."""
    stats, net, test = _faster(seed, smoke)
    if smoke:
        with no_grad():
            sizes = {
                len(d["boxes"]) == len(d["scores"]) == len(d["labels"]) for x in batches(test, stats) for d in net(x)
            }
        return [Claim("detections come with scores and labels", float(sizes == {True}), "==", 1.0)]
    return [
        Claim(
            "mAP@0.5",
            judge_boxes(net, test, stats, 1)["map"],
            ">=",
            0.70,
            ("sliding window, nearest digit", sliding_baseline(test)),
        )
    ]


@gate(entry=77, name="region_proposals")
def region_proposals(seed=0, smoke=False):
    """The region proposal network of Faster R-CNN: recall of its 50 best boxes, beside 50 of selective search."""
    stats, net, test = _faster(seed, smoke)
    with no_grad():
        proposals = [p for x in batches(test, stats) for p in net.proposals(x)]
    found, overlap = recall(proposals, test)
    other, mean = recall(propose(test, 50), test)
    bounds = (0.2, 0.2) if smoke else (0.95, 0.6)
    return [
        Claim("recall at IoU 0.5, 50 proposals", found, ">=", bounds[0], ("selective search", other)),
        Claim("mean best overlap", overlap, ">=", bounds[1], ("selective search", mean)),
    ]


@gate(entry=79, name="yolo")
def yolo(seed=0, smoke=False):
    """YOLO v1 with a convolutional head (8 x 8 cells, two boxes) on scenes of 64 x 64: mAP at IoU 0.5 on held-out scenes."""
    maker = SceneMaker("digits", "train", 64)
    stats, test, net = statistics(maker, 100), test_scenes(maker, 40 if smoke else 300), yolo_small()
    before = judge_boxes(net.eval().detect, test, stats)["map"]
    scenes = 500 if smoke else 2500
    fit(net.train(), yolo_loss(maker), maker, stats, 1 if smoke else 5, scenes=scenes, seed=seed)
    after = judge_boxes(net.eval().detect, test, stats)["map"]
    return [Claim("mAP@0.5", after, ">=", 0.002 if smoke else 0.85, ("untrained", before))]


@gate(entry=79, name="yolo_dense_head")
def yolo_dense_head(seed=0, smoke=False):
    """YOLO v1 with the paper's dense layers (4 x 4 cells), its features trained to classify digits before: mAP at IoU 0.5."""
    maker = SceneMaker("digits", "train", 64)
    stats, test, net = statistics(maker), test_scenes(maker, 20 if smoke else 300), yolo_small(head="fc")
    before = judge_boxes(net.eval().detect, test, stats)["map"]
    knows = pretrain(net, maker, stats, 30 if smoke else 200, seed=seed)
    claims = [
        Claim(
            "accuracy of the features, last tenth of pre-training", knows, ">=", 0.3 if smoke else 0.9, ("chance", 0.1)
        )
    ]
    fit(
        net.train(),
        yolo_loss(maker),
        maker,
        stats,
        1 if smoke else 6,
        scenes=100 if smoke else 2500,
        lr=1e-3,
        seed=seed,
    )
    after = judge_boxes(net.eval().detect, test, stats)["map"]
    if smoke:
        return [*claims, Claim("mAP@0.5 is a number", float(np.isfinite(after)), "==", 1.0)]
    return [*claims, Claim("mAP@0.5", after, ">=", 0.35, ("untrained", before))]
