"""Average precision and segmentation scores: worked by hand, and beside pycocotools."""

import contextlib
import io

import numpy as np
import pytest

from fastdl import metrics as M


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


A, B, C = [0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]


def test_average_precision_by_hand():
    """Right, duplicate (wrong), right: precisions 1, 1/2, 2/3 at recalls 1/3, 1/3, 2/3 of three truths."""
    detections = [(boxes(A, A, B), np.array([0.9, 0.8, 0.7]))]
    truths = [(boxes(A, B, C), None)]
    recall, precision = M.precision_recall(detections, truths)
    np.testing.assert_allclose(recall, [1 / 3, 1 / 3, 2 / 3])
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3])
    assert M.average_precision(detections, truths) == pytest.approx(1 / 3 + 2 / 9)
    assert M.average_precision(detections, truths, method="voc11") == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)


def test_difficult_truths_count_neither_way():
    detections = [(boxes(A, B), np.array([0.9, 0.8]))]
    assert M.average_precision(detections, [(boxes(A, B), np.array([1, 0]))]) == 1
    assert M.average_precision(detections, [(boxes(A), np.array([0]))]) == 1  # B wrong, but after the last truth
    assert M.average_precision([(boxes(B, A), np.array([0.9, 0.8]))], [(boxes(A), None)]) == 0.5
    assert np.isnan(M.average_precision(detections, [(boxes(A), np.array([1]))]))


def test_scores_of_all_images_are_ranked_together():
    detections = [(boxes(A), np.array([0.3])), (boxes(B), np.array([0.9]))]
    truths = [(boxes(A), None), (boxes(A), None)]
    assert M.average_precision(detections, truths) == pytest.approx(0.25)


def test_mean_over_the_classes_that_are_true():
    detection = {"boxes": boxes(A, B, C), "scores": np.array([0.9, 0.8, 0.7]), "labels": np.array([1, 2, 7])}
    truth = {"boxes": boxes(A, C), "labels": np.array([1, 2])}
    got = M.mean_average_precision([detection], [truth])
    assert got == {"map": 0.5, "per_class": {1: 1.0, 2: 0.0}}


def test_no_truth_and_no_detection():
    nothing = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int)}
    found = {**nothing, "scores": np.zeros(0)}
    assert np.isnan(M.mean_average_precision([found], [nothing])["map"])
    assert M.mean_average_precision([found], [{"boxes": boxes(A), "labels": np.array([3])}])["map"] == 0
    assert M.coco_evaluate([found], [nothing])["map"] == -1
    with pytest.raises(ValueError, match="for 1 images and truths for 2"):
        M.mean_average_precision([found], [nothing, nothing])
    with pytest.raises(ValueError, match="equal length"):
        M.mean_average_precision([found], [{"boxes": boxes(A), "labels": np.zeros(2, int)}])
    with pytest.raises(ValueError, match="method must be"):
        M.average_precision([(boxes(A), np.ones(1))], [(boxes(A), None)], method="voc12")


def some_images(rng, n=12, classes=3):
    detections, truths = [], []
    for _ in range(n):
        G = rng.integers(0, 6)
        corner = rng.uniform(0, 200, (G, 2))
        truth = np.concatenate([corner, corner + rng.uniform(8, 150, (G, 2))], 1)
        D = rng.integers(0, 12)
        noisy = (
            truth[rng.integers(0, G, D)] + rng.normal(0, 6, (D, 4))
            if G
            else rng.uniform(0, 50, (D, 4)) + [0, 0, 60, 60]
        )
        noisy[:, 2:] = np.maximum(noisy[:, 2:], noisy[:, :2] + 1)
        truths.append(
            {"boxes": truth, "labels": rng.integers(1, classes + 1, G), "iscrowd": rng.integers(0, 5, G) == 0}
        )
        detections.append({"boxes": noisy, "scores": rng.random(D), "labels": rng.integers(1, classes + 1, D)})
    return detections, truths


@pytest.mark.parametrize("seed", range(4))
def test_coco_numbers_are_those_of_pycocotools(seed):
    COCO = pytest.importorskip("pycocotools.coco").COCO
    from pycocotools.cocoeval import COCOeval

    detections, truths = some_images(np.random.default_rng(seed))

    def xywh(b):
        return [float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1])]

    annotations, results = [], []
    for i, (d, t) in enumerate(zip(detections, truths)):
        for b, c, crowd in zip(t["boxes"], t["labels"], t["iscrowd"]):
            box = xywh(b)
            annotations.append({"id": len(annotations) + 1, "image_id": i, "category_id": int(c), "bbox": box,
                                "area": box[2] * box[3], "iscrowd": int(crowd)})  # fmt: skip
        for b, c, s in zip(d["boxes"], d["labels"], d["scores"]):
            results.append({"image_id": i, "category_id": int(c), "bbox": xywh(b), "score": float(s)})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": i} for i in range(len(truths))], "annotations": annotations,
                        "categories": [{"id": c} for c in (1, 2, 3)]}  # fmt: skip
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.evaluate(), judge.accumulate(), judge.summarize()
    for t in truths:
        t["boxes"] = t["boxes"].astype(np.float64)
    got = M.coco_evaluate(detections, truths)
    np.testing.assert_allclose(list(got.values()), judge.stats, atol=1e-9)


def test_segmentation_by_hand():
    """Truth and prediction of 3 x 3 pixels, classes 0, 1, 2 of four (3 never occurs)."""
    truth = np.array([[0, 0, 1], [0, 1, 1], [2, 2, 255]])
    guess = np.array([[0, 1, 1], [0, 1, 0], [2, 1, 3]])
    score = M.SegmentationScore(4, ignore_index=255)
    score.update(guess, truth)
    assert score.pixel_accuracy() == pytest.approx(5 / 8)
    np.testing.assert_allclose(score.iou()[:3], [2 / 4, 2 / 5, 1 / 2])
    assert np.isnan(score.iou()[3])
    assert score.mean_iou() == pytest.approx((0.5 + 0.4 + 0.5) / 3)
    assert score.mean_accuracy() == pytest.approx((2 / 3 + 2 / 3 + 1 / 2) / 3)
    assert score.frequency_weighted_iou() == pytest.approx((3 * 0.5 + 3 * 0.4 + 2 * 0.5) / 8)
    scores = np.eye(4)[guess].transpose(2, 0, 1)[None]  # (1, 4, 3, 3)
    assert M.mean_iou(scores, truth[None], 4, 255) == score.mean_iou()
    assert M.pixel_accuracy(guess, truth, 4, 255) == score.pixel_accuracy()


def test_segmentation_errors():
    with pytest.raises(ValueError, match="differ in shape"):
        M.pixel_accuracy(np.zeros((2, 2), int), np.zeros((3, 2), int), 2)
    with pytest.raises(ValueError, match="no pixel"):
        M.mean_iou(np.zeros(2, int), np.full(2, 9), 2, 9)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        M.mean_iou(np.zeros(2, int), np.full(2, 9), 2)


def test_colours_of_voc():
    assert M.colour_map()[[0, 1, 2, 3, 15, 20]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [192, 128, 128], [0, 64, 128],
    ]  # fmt: skip
