"""Lecture 6, first half: a class for every pixel (entries 63 to 67)."""

import numpy as np

from fastdl.autograd import Tensor, no_grad
from fastdl.data import MosaicMaker, SceneMaker, mnist5k
from fastdl.gates import Claim, gate
from fastdl.metrics import SegmentationScore
from fastdl.models.convolutionalize import convolutionalize
from fastdl.models.fcn import fcn_small
from fastdl.models.fcn import loss as pixel_loss
from fastdl.models.simple_cnn import SimpleCNN
from fastdl.nn import functional as F
from fastdl.optim import Adam
from fastdl.recipes._scenes import background_scores, fit, judge_masks, statistics, test_scenes


@gate(entry=63, name="segmentation_score")
def segmentation_score(seed=0, smoke=False):
    """Thresholding held-out scenes of digits on textures: why mean IoU is judged, and not pixel accuracy."""
    scenes = test_scenes(SceneMaker("digits", "train", 64), 100)
    accuracy, nothing = background_scores(scenes)
    truth = SegmentationScore(2)
    truth.update((scenes.images[:, 0] > 170).astype(np.int64), (scenes.masks > 0).astype(np.int64))
    return [
        Claim("pixel accuracy of calling all of it background", accuracy, ">=", 0.90),
        Claim("mean IoU of the same", nothing, "<=", 0.10),
        Claim("IoU of digits (any) found by a threshold", float(truth.iou()[1]), "<=", 0.90),
    ]


def _fcn(skips, seed, smoke):
    maker = SceneMaker("digits", "train", 64)
    stats, test = statistics(maker), test_scenes(maker, 60 if smoke else 300)
    net = fcn_small(skips=skips)
    one = lambda m, x, s: pixel_loss(m(x), Tensor(s.masks.astype(np.int64)))  # noqa: E731
    if smoke:
        fit(net, one, maker, stats, 1, scenes=400, seed=seed)
    else:
        fit(net, one, maker, stats, 5, seed=seed)
    return judge_masks(net, test, stats), test


@gate(entry=64, name="fcn_scenes")
def fcn_scenes(seed=0, smoke=False):
    """FCN with two skips (stride 2) and with none (stride 8) on scenes of MNIST digits on textures, judged on held-out scenes."""
    fine, test = _fcn(2, seed, smoke)
    baseline = ("all background", background_scores(test)[1])
    if smoke:
        return [Claim("IoU of the background, 25 steps", float(fine.iou()[0]), ">=", 0.5, ("nothing right", 0.0)),
                Claim("pixels counted", float(fine.counts.sum()), "==", float(test.masks.size))]  # fmt: skip
    coarse, _ = _fcn(0, seed, smoke)
    return [
        Claim("mean IoU, stride 2", fine.mean_iou(), ">=", 0.55, baseline),
        Claim("gain over stride 8", fine.mean_iou() - coarse.mean_iou(), ">=", 0.10, ("stride 8", coarse.mean_iou())),
    ]


def _nearest_grey(train, test, side=9):
    """Mean IoU of naming each pixel by the mean and deviation of the window around it: the class whose own are nearest."""

    def windows(scenes):
        x = np.pad(scenes.images[:, 0].astype(np.float32), ((0, 0), *((side // 2,) * 2,) * 2), mode="reflect")
        around = np.lib.stride_tricks.sliding_window_view(x, (side, side), (1, 2))
        return np.stack([around.mean((3, 4)), around.std((3, 4))], -1)

    seen = windows(train)
    spread = seen.reshape(-1, 2).std(0)
    centres = np.stack([seen[train.masks == c + 1].mean(0) for c in range(len(train.classes))])
    score = SegmentationScore(len(train.classes) + 1)
    score.update((((windows(test)[..., None, :] - centres) / spread) ** 2).sum(-1).argmin(-1) + 1, test.masks)
    return score.mean_iou()


@gate(entry=64, name="fcn_textures")
def fcn_textures(seed=0, smoke=False):
    """FCN on mosaics of brick, grass and gravel: learned on the top halves of the photographs, judged on the bottom halves."""
    maker, net = MosaicMaker("train", 64), fcn_small(num_classes=4)
    stats, test = statistics(maker), MosaicMaker("test", 64).draw(40 if smoke else 200, seed=10_000)

    def loss(model, x, scenes):
        return pixel_loss(model(x), Tensor(scenes.masks.astype(np.int64)))

    fit(net, loss, maker, stats, 1 if smoke else 2, scenes=640 if smoke else 1000, seed=seed)
    value, grey = judge_masks(net, test, stats).mean_iou(), _nearest_grey(maker.draw(50, seed=1), test)
    return [Claim("mean IoU", value, ">=", 0.4 if smoke else 0.80, ("nearest brightness and contrast", grey))]


@gate(entry=66, name="heatmap")
def heatmap(seed=0, smoke=False):
    """A classifier of 28x28 digits, its dense layers made convolutions, slid over scenes of 64x64."""
    train, _ = mnist5k()
    x, y = (t.array for t in train.tensors)
    net, rng = SimpleCNN(1, 10), np.random.default_rng(seed)
    steps = 60 if smoke else 400
    optimizer = Adam(net.parameters(), lr=2e-3)
    for _ in range(steps):
        pick = rng.integers(len(x), size=64)
        shift = rng.integers(-3, 4, 2)
        optimizer.zero_grad()
        F.cross_entropy(net(Tensor(np.roll(x[pick], shift, (2, 3)))), Tensor(y[pick])).backward()
        optimizer.step()
    slide = convolutionalize(net).eval()
    hits, chance = {}, 0.0
    for background in ("plain", None):
        dim = 0.0 if background else 0.4
        maker = SceneMaker("digits", "test", 64, (1, 1), (26, 30), background, dim)
        scenes = maker.draw(100 if smoke else 300, seed=seed)
        with no_grad():
            maps = slide(Tensor(scenes.inputs())).array  # (N, 10, h, w): a cell sees 28 x 28 pixels, cells are 4 apart
        inside = []
        for heat, box, label in zip(maps, scenes.boxes, scenes.labels):
            row, column = np.unravel_index(heat[label[0]].argmax(), heat.shape[1:])
            centre = np.array([column, row]) * 4 + 14
            inside.append(bool((centre >= box[0, :2]).all() and (centre <= box[0, 2:]).all()))
        hits[background or "textures"] = float(np.mean(inside))
        areas = [(b[0, 2:] - b[0, :2]).prod() for b in scenes.boxes]
        chance = float(np.mean(areas)) / 64**2
    any_place = ("any place", chance)
    return [
        Claim("hottest place in the digit's box, plain background", hits["plain"], ">=", 0.6 if smoke else 0.9, any_place),
        Claim("the same on textures", hits["textures"], ">=", 0.3 if smoke else 0.8, any_place),
    ]  # fmt: skip


@gate(entry=67, name="deconvolution")
def deconvolution(seed=0, smoke=False):
    """A deconvolution is the adjoint of the convolution with the same filters, and not its inverse: on a photograph."""
    from fastdl.data import photos

    image = Tensor(photos()["coffee"][:128, :128].transpose(2, 0, 1)[None].astype(np.float32) / 255)
    w = Tensor(np.random.default_rng(seed).normal(size=(8, 3, 4, 4)).astype(np.float32) / 7)
    down = F.conv2d(image, w, stride=2, padding=1)
    z = Tensor(np.random.default_rng(seed + 1).normal(size=down.shape).astype(np.float32))
    up = F.conv_transpose2d(z, w, stride=2, padding=1)
    left, right = (
        float((down.array * z.array).sum(dtype=np.float64)),
        float((image.array * up.array).sum(dtype=np.float64)),
    )
    scale = float(np.linalg.norm(down.array) * np.linalg.norm(z.array))
    back = F.conv_transpose2d(down, w, stride=2, padding=1)
    return [
        Claim("<conv x, z> - <x, deconv z>, relative", abs(left - right) / scale, "<=", 1e-6),
        Claim(
            "relative distance of deconv(conv(x)) from x",
            float(np.linalg.norm(back.array - image.array) / np.linalg.norm(image.array)),
            ">=",
            0.1,
        ),
    ]
