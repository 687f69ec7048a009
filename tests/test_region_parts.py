"""Selective search, SVM, ridge, region heads: definitions checked by hand and against plain loops."""

from importlib import import_module

import numpy as np
import pytest

from fastdl import detection as D
from fastdl.data import SceneMaker, photos, tables
from fastdl.detection import _loops

S = import_module("fastdl.detection.selective_search")  # the package has a function of that name


def test_segmentation_of_two_halves_and_small_regions():
    image = np.zeros((12, 20))
    image[:, 9:] = 200
    labels = D.graph_segmentation(image, k=20, sigma=0, min_size=1)
    assert labels.shape == (12, 20) and len(np.unique(labels)) == 2
    assert (labels[:, :9] == labels[0, 0]).all() and (labels[:, 9:] == labels[0, 9]).all()
    image[5, 3] = 100  # one pixel is below min_size
    assert len(np.unique(D.graph_segmentation(image, k=20, sigma=0, min_size=1))) == 3
    assert len(np.unique(D.graph_segmentation(image, k=20, sigma=0, min_size=4))) == 2


def test_larger_k_gives_larger_regions():
    image = photos()["coffee"][100:200:2, 100:220:2]
    counts = [D.graph_segmentation(image, k=k, min_size=5).max() + 1 for k in (20, 100, 500)]
    assert counts[0] > counts[1] > counts[2] > 1


def by_definition(labels, histograms, colours, use_colour, use_texture):
    """All boxes of the hierarchy: every similarity computed anew from the pixels of the regions, after every merge."""
    H, W = labels.shape
    regions = {r: labels == r for r in range(labels.max() + 1)}
    weight = {r: m.sum() for r, m in regions.items()}
    rows = {r: histograms[r] for r in regions}

    def box(m):
        y, x = np.nonzero(m)
        return x.min(), y.min(), x.max() + 1, y.max() + 1

    def touch(a, b):
        wide = np.pad(a, 1)
        near = wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
        return (near & b).any()

    def alike(i, j):
        h = np.minimum(rows[i], rows[j])
        s = (h[:colours].sum() if use_colour else 0) + (h[colours:].sum() if use_texture else 0)
        x1, y1, x2, y2 = box(regions[i] | regions[j])
        both = (regions[i] | regions[j]).sum()
        return s + (1 - both / (H * W)) + (1 - ((x2 - x1) * (y2 - y1) - both) / (H * W))

    out = [box(regions[r]) for r in regions]
    while len(regions) > 1:
        pairs = [(i, j) for i in regions for j in regions if i < j and touch(regions[i], regions[j])]
        i, j = max(pairs, key=lambda p: alike(*p))
        rows[i] = (weight[i] * rows[i] + weight[j] * rows[j]) / (weight[i] + weight[j])
        weight[i] += weight[j]
        regions[i] = regions[i] | regions.pop(j)
        out.append(box(regions[i]))
    return np.array(out)


@pytest.mark.parametrize("use_colour", [True, False])
def test_grouping_is_that_of_the_definition(use_colour):
    image = photos()["coffee"][100:180:2, 140:236:2].astype(float)
    labels = S._segments(image, 30, 0.8, 15)
    assert 8 < labels.max() < 60
    colour = S.region_histograms(image, labels, 25, 256.0)
    texture = S.region_histograms(S._textures(image), labels, 10, 200.0)
    joined = np.concatenate([colour, texture], 1)
    got = S.hierarchy(joined, colour.shape[1], *S._regions(labels), labels.size, use_colour)
    want = by_definition(labels, joined, colour.shape[1], use_colour, True)
    np.testing.assert_array_equal(got, want)


def test_merged_histograms_equal_recomputed_ones():
    rng = np.random.default_rng(0)
    values, labels = rng.uniform(0, 255, (9, 11, 2)), rng.integers(0, 3, (9, 11))
    h, n = S.region_histograms(values, labels, 25, 256.0), np.bincount(labels.ravel())
    union = S.region_histograms(values, np.where(labels == 2, 1, labels), 25, 256.0)
    np.testing.assert_allclose((n[1] * h[1] + n[2] * h[2]) / (n[1] + n[2]), union[1])
    np.testing.assert_allclose(h.sum(1), 2 / 2)


def test_compiled_loops_agree_with_plain_python():
    source = _loops.__file__
    if source.endswith(".py"):
        pytest.skip("this install has no compiled loops")
    import importlib.util
    from pathlib import Path

    file = Path(S.__file__).with_name("_loops.py")
    if not file.exists():
        pytest.skip("no source beside the compiled module")
    spec = importlib.util.spec_from_file_location("_loops_in_python", file)
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    rng = np.random.default_rng(0)
    n, d = 30, 5
    x, y = rng.normal(size=(n, d)).astype(np.float32), rng.choice([-1.0, 1.0], n)
    results = []
    for module in (_loops, plain):
        w, alpha = np.zeros(d), np.zeros(n)
        worst = module.dual_step(x, y, (x.astype(float) ** 2).sum(1), np.arange(n), w, alpha, np.ones(n), np.zeros(n))
        results.append((worst, w, alpha))
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    a, b, w = rng.integers(0, 20, (2, 60)).astype(np.int32).tolist() + [np.sort(rng.random(60))]
    parents = []
    for module in (_loops, plain):
        parent = np.arange(20, dtype=np.int32)
        module.segment(
            np.array(a, np.int32), np.array(b, np.int32), w, 0.3, 2, parent, np.ones(20, np.int32), np.zeros(20)
        )
        parents.append(parent)
    np.testing.assert_array_equal(*parents)


def test_search_finds_what_is_there():
    scenes = SceneMaker("digits", "test", 96).draw(10, seed=5)
    best = []
    for image, boxes in zip(scenes.images, scenes.boxes):
        found = D.selective_search(image[0], "fast", most=200)
        assert len(found) <= 200 and len(np.unique(found, axis=0)) == len(found) and found.dtype == np.float32
        assert (found[:, :2] >= 0).all() and (found[:, 2:] <= 96).all() and (found[:, 2:] > found[:, :2]).all()
        best += list(D.box_iou(boxes, found).max(1))
    assert np.mean(np.array(best) >= 0.5) >= 0.85 and np.mean(best) >= 0.65
    colour = photos()["coffee"][::8, ::8]
    np.testing.assert_array_equal(D.selective_search(colour, seed=1), D.selective_search(colour, seed=1))
    assert len(D.selective_search(colour, "quality")) > len(D.selective_search(colour, "single"))
    assert len(D.selective_search(np.zeros((9, 9)))) == 1  # nothing to see: the whole image


def test_search_errors():
    for image in (np.zeros((4, 4, 2)), np.zeros((0, 4)), np.zeros(4), np.array([["a"]])):
        with pytest.raises(ValueError, match="expected an image"):
            D.selective_search(image)
    with pytest.raises(ValueError, match="not finite"):
        D.selective_search(np.full((4, 4), np.nan))
    with pytest.raises(ValueError, match="mode must be"):
        D.selective_search(np.zeros((4, 4)), "slow")


@pytest.mark.parametrize("loss", ["hinge", "squared"])
def test_svm_finds_the_optimum_of_its_objective(loss):
    data = pytest.importorskip("sklearn.svm")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4))
    y = (x @ [1, -2, 0.5, 0] + 0.3 + rng.normal(0, 0.5, 120) > 0).astype(int)
    mine = D.LinearSVM(C=0.7, loss=loss, tolerance=1e-6, passes=2000).fit(x, y)
    assert 0 <= mine.gap < 1e-4
    theirs = data.LinearSVC(
        C=0.7, loss="hinge" if loss == "hinge" else "squared_hinge", tol=1e-8, max_iter=200_000
    ).fit(x, y)
    np.testing.assert_allclose([*mine.weight, mine.bias], [*theirs.coef_[0], *theirs.intercept_], atol=2e-3)
    for shift in (0.01, -0.01):  # no better point nearby
        other = D.LinearSVM(C=0.7, loss=loss)
        other.weight, other.bias = mine.weight + shift, mine.bias
        assert other.evaluate(x, y) > mine.objective
    assert mine.evaluate(x, y) == pytest.approx(mine.objective, rel=1e-5)


def test_mined_negatives_are_as_good_as_all():
    rng = np.random.default_rng(0)
    up, down = rng.normal(1.0, 1, (60, 6)), rng.normal(-0.3, 1, (3000, 6))
    x, y = np.concatenate([up, down]), np.arange(3060) < 60
    full = D.LinearSVM(C=0.1, tolerance=1e-4, passes=1000).fit(x, y)
    mined = D.mine(up, down, start=100, most=300, C=0.1, tolerance=1e-4, passes=1000)
    assert mined.evaluate(x, y) <= 1.01 * full.objective


def test_svm_on_real_tables():
    train, test = tables.breast_cancer()
    (x, y), (u, v) = ([np.asarray(t.array) for t in part.tensors] for part in (train, test))
    mean, std = x.mean(0), x.std(0)
    svm = D.LinearSVM(C=0.1, passes=1000).fit((x - mean) / std, y)
    assert ((svm.decision((u - mean) / std) > 0) == (v > 0)).mean() >= 0.95 and svm.gap < 1e-3


def test_svm_errors():
    with pytest.raises(ValueError, match="hinge or squared"):
        D.LinearSVM(loss="log")
    with pytest.raises(ValueError, match=r"x must be \(N, D\)"):
        D.LinearSVM().fit(np.zeros((3, 2)), [0, 1, 2])


def test_ridge_is_the_closed_form():
    rng = np.random.default_rng(0)
    for n in (40, 6):  # more and fewer samples than features
        x, t = rng.normal(size=(n, 10)), rng.normal(size=(n, 4))
        w, b = D.ridge(x, t, 3.0)
        u = np.concatenate([x, np.ones((n, 1))], 1)
        punished = np.diag([3.0] * 10 + [0.0])
        want = np.linalg.solve(u.T @ u + punished, u.T @ t)
        np.testing.assert_allclose(np.concatenate([w, b[None]]), want, atol=1e-8)
    with pytest.raises(ValueError, match="N > 0"):
        D.ridge(np.zeros((0, 3)), np.zeros((0, 4)))


def test_region_heads_learn_scores_and_boxes():
    """Features that say what a region shows and how far it is off: the heads find the class and mend the box."""
    rng = np.random.default_rng(0)
    features, boxes, targets = [], [], []
    for _ in range(60):
        a = rng.uniform(5, 60, 2)
        truth, label = np.array([*a, *(a + 25)], np.float32), int(rng.integers(2))
        shift = np.concatenate([np.zeros((1, 2)), rng.uniform(-6, 6, (9, 2)), rng.uniform(26, 35, (10, 2))])
        region = truth + np.tile(shift, 2)
        seen = np.zeros((20, 5))
        seen[:10, label] = 1
        seen[:10, 2:4] = shift[:10] / 25
        seen[:, 4] = 1
        (
            features.append(seen),
            boxes.append(region.astype(np.float32)),
            targets.append({"boxes": truth[None], "labels": np.array([label])}),
        )
    heads = D.RegionClassifier(5, 2, C=1.0, ridge_strength=1e-3).fit(features, boxes, targets)
    heads.fit_boxes(features, boxes, targets)
    found = heads.detect(features[0][1:10], boxes[0][1:10], (100, 100))
    assert (
        found["labels"][0] == targets[0]["labels"][0]
        and D.box_iou(found["boxes"][:1], targets[0]["boxes"])[0, 0] > 0.95
    )
    assert sorted(heads.state_dict())[:4] == ["bbox.0.bias", "bbox.0.weight", "bbox.1.bias", "bbox.1.weight"]
    assert len(heads.detect(np.zeros((0, 5)), np.zeros((0, 4)), (9, 9))["boxes"]) == 0
    with pytest.raises(ValueError, match="no regions"):
        heads.fit([np.zeros((0, 5))], [np.zeros((0, 4))], [targets[0]])
