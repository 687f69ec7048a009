"""Lecture 3: augmentation, Mixup and CutMix on 500 digits, each against the same network without it."""

import numpy as np

from fastdl.data import CutMix, Mixup, cutmix
from fastdl.data import transforms as T
from fastdl.gates import Claim, gate
from fastdl.gates._small import accuracy, digit_cnn, few_digits, fit, outputs


def _runs(seed, smoke):
    """(seed, x_test, y_test, train) of each repetition, three seeds; one, and a smaller network, in the short version.

    train(transform=None, mix=None) gives a network, always from the same first weights."""
    for s in range(seed, seed + (1 if smoke else 3)):
        x, y, x_test, y_test = few_digits(300 if smoke else 500, s)

        def train(s=s, x=x, y=y, **how):
            return fit(digit_cnn(s, (6, 16) if smoke else (16, 32)), x, y, 40, s, **how)

        yield s, x_test, y_test, train


class _Turned(T.RandomRotation):
    """Half a turn with probability a half: what makes a 6 of a 9."""

    def __init__(self):
        super().__init__(0)

    def matrix(self, size, N, rng):
        zero = np.zeros((N, 2))
        return T.affine_matrix(size, 180.0 * rng.integers(0, 2, N), zero, np.ones(N), zero), size


@gate(entry=34, name="augmentation")
def augmentation(seed=0, smoke=False):
    """A CNN on 500 digits of MNIST 5k with random affine maps, judged on the test part against none; half turns, which break
    the labels 6 and 9; boxes moved by transforms against the boxes of moved masks."""
    affine = T.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), 5)
    rows = []
    for _, x_test, y_test, train in _runs(seed, smoke):
        plain, augmented, turned = (train(transform=t) for t in (None, affine, _Turned()))
        confused = (y_test == 6) | (y_test == 9)
        scores = [accuracy(m, x_test, y_test) for m in (plain, augmented)]
        scores += [accuracy(m, x_test[confused], y_test[confused]) for m in (plain, turned)]
        rows.append(scores)
    plain, augmented, sixes, broken = np.mean(rows, 0)
    return [
        Claim(
            "points of accuracy gained by affine maps (mean of the seeds)",
            augmented - plain,
            ">=",
            0.0 if smoke else 1.0,
            ("accuracy without, %", plain),
        ),
        Claim("accuracy on 6 and 9 after training with half turns, %", broken, "<", sixes, ("without", sixes)),
        Claim("least IoU of moved boxes with the boxes of moved masks", _box_iou(seed, 4 if smoke else 32), ">=", 0.98),
    ]


def _box_iou(seed, n):
    """Rectangles in images of 320 x 400 under every geometric transform."""
    rng = np.random.default_rng(seed)
    H, W = 320, 400
    masks, boxes = np.zeros((n, H, W), np.uint8), []
    for mask in masks:
        x, y, w, h = rng.integers(100, 160), rng.integers(80, 120), rng.integers(110, 150), rng.integers(90, 120)
        mask[y : y + h, x : x + w] = 1
        boxes.append(np.array([[x, y, x + w, y + h]]))
    images = masks[:, None].astype(np.float32)
    transforms = [
        T.RandomHorizontalFlip(1.0),
        T.RandomVerticalFlip(1.0),
        T.RandomCrop((300, 380), 10),
        T.RandomResizedCrop((320, 400), scale=(0.6, 1.0)),
        T.Resize((512, 480)),
        T.RandomAffine(0, (0.1, 0.1), (0.9, 1.2)),
        T.RandomAffine(20, (0.1, 0.1), (0.9, 1.2), shear=10),
    ]
    worst = 1.0
    for transform in transforms:
        _, moved, moved_masks = transform(images, boxes=boxes, masks=masks, rng=rng)
        for box, mask in zip(moved, moved_masks, strict=True):
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            truth = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
            low, high = np.maximum(box[0, :2], truth[:2]), np.minimum(box[0, 2:], truth[2:])
            both = np.prod(np.maximum(high - low, 0))
            area = np.prod(box[0, 2:] - box[0, :2]) + np.prod(truth[2:] - truth[:2])
            worst = min(worst, float(both / (area - both)))
    return worst


def _softmax(out):
    p = np.exp(out - out.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def _distance_from_half(model, x, y, seed):
    """The mean |p - 1/2| of both labels' probabilities on even blends of two test images of different classes."""
    partner = np.random.default_rng(seed).permutation(len(x))
    different = y != y[partner]
    p = _softmax(outputs(model, (0.5 * x + 0.5 * x[partner])[different]))
    rows = np.arange(len(p))
    return float(np.mean([np.abs(p[rows, labels[different]] - 0.5) for labels in (y, y[partner])]))


@gate(entry=37, name="mixup")
def mixup_digits(seed=0, smoke=False):
    """Mixup on 500 digits of MNIST 5k, judged on the test part against none: accuracy, and how near to half and half the
    probabilities of even blends of two test images are."""
    rows = []
    for s, x_test, y_test, train in _runs(seed, smoke):
        models = [train(mix=mix) for mix in (None, Mixup(10, 0.4))]
        scores = [accuracy(m, x_test, y_test) for m in models]
        rows.append(scores + [_distance_from_half(m, x_test, y_test, s) for m in models])
    plain, mixed, far, near = np.mean(rows, 0)
    return [
        Claim(
            "test accuracy, % (mean of the seeds)",
            mixed,
            ">=",
            plain - (2.0 if smoke else 0.0),
            ("without Mixup", plain),
        ),
        Claim("mean distance of blends' probabilities from 1/2", near, "<", far, ("without Mixup", far)),
    ]


@gate(entry=38, name="cutmix")
def cutmix_digits(seed=0, smoke=False):
    """CutMix on 500 digits of MNIST 5k, judged on the test part against none: accuracy on whole digits and on digits one half of
    which is covered; the share of the labels against the pixels that are kept."""
    rng = np.random.default_rng(seed)
    images = np.arange(16, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 28, 28), np.float32)
    errors = []
    for _ in range(50):
        mixed, (first, second, share) = cutmix(images, np.arange(16), rng=rng)
        moved = first != second
        errors.append(np.abs((mixed == images).mean((1, 2, 3)) - share)[moved].max(initial=0))
    rows = []
    for _, x_test, y_test, train in _runs(seed, smoke):
        right, lower = x_test.copy(), x_test.copy()
        right[..., 14:], lower[..., 14:, :] = 0, 0
        for mix in (None, CutMix(10)):
            model = train(mix=mix)
            covered = (accuracy(model, right, y_test) + accuracy(model, lower, y_test)) / 2
            rows.append((accuracy(model, x_test, y_test), covered))
    (plain, plain_half), (mixed, mixed_half) = (np.mean(rows[i::2], 0) for i in (0, 1))
    return [
        Claim("largest difference of the labels' share from the pixels kept", max(errors), "<", 1e-6),
        Claim(
            "test accuracy, % (mean of the seeds)",
            mixed,
            ">=",
            plain - (4.0 if smoke else 0.0),
            ("without CutMix", plain),
        ),
        Claim(
            "points of accuracy gained on half-covered digits",
            mixed_half - plain_half,
            ">=",
            1.0 if smoke else 3.0,
            ("accuracy without CutMix, %", plain_half),
        ),
    ]
