"""Composed scenes: boxes and masks are exact, the parts share nothing, the seed decides."""

import numpy as np
import pytest

from fastdl.data import SceneMaker
from fastdl.data import scenes as module


@pytest.mark.parametrize(
    ("kind", "part"), [("digits", "train"), ("digits", "test"), ("emoji", "train"), ("emoji", "test")]
)
def test_boxes_are_tight_around_the_masks(kind, part):
    size = 96 if kind == "emoji" else 64
    scenes = SceneMaker(kind, part, size=size, objects=(0, 3)).draw(60, seed=1)
    assert scenes.images.shape == (60, 3 if kind == "emoji" else 1, size, size)
    counts = [len(b) for b in scenes.boxes]
    assert min(counts) == 0 and max(counts) == 3
    for k in range(60):
        for number, (box, label) in enumerate(zip(scenes.boxes[k], scenes.labels[k]), 1):
            y, x = np.nonzero(scenes.instances[k] == number)
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert set(scenes.masks[k][y, x]) == {label + 1}
        assert scenes.instances[k].max() == counts[k]
        np.testing.assert_array_equal(scenes.masks[k] > 0, scenes.instances[k] > 0)


def test_objects_do_not_touch_and_are_where_the_mask_says():
    scenes = SceneMaker("digits", "test", objects=(3, 3)).draw(50, seed=3)
    empty = SceneMaker("digits", "test", objects=(0, 0)).draw(50, seed=3)
    for boxes in scenes.boxes:
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert (a[:2] > b[2:]).any() or (a[2:] < b[:2]).any()
    same = scenes.images[:, 0] == empty.images[:, 0]  # the background is drawn first: equal seeds give equal ones
    assert same[scenes.masks == 0].all()
    assert (scenes.images[:, 0][scenes.masks > 0] >= module.INK).all()


def test_the_seed_decides():
    maker = SceneMaker("emoji", "train", size=96)
    a, b, c = maker.draw(5, seed=1), maker.draw(5, seed=1), maker.draw(5, seed=2)
    np.testing.assert_array_equal(a.images, b.images)
    assert (a.images != c.images).any()
    assert [x.tolist() for x in a.boxes] == [x.tolist() for x in b.boxes]


def test_nothing_is_shared_between_the_parts():
    for kind in ("digits", "emoji"):
        parts = [module._sprites(kind, part)[0] for part in ("train", "test")]
        train, test = ({p.tobytes() for p in part} for part in parts)
        assert not train & test
        assert all(module._sprites(kind, part)[2].min() > 0 for part in ("train", "test"))
    top, bottom = (module.photo_halves(("chelsea",), part, 3)[0] for part in ("train", "test"))
    np.testing.assert_array_equal(np.concatenate([top, bottom]), module.photos()["chelsea"])


def test_views_of_scenes():
    scenes = SceneMaker(objects=(1, 2)).draw(10, seed=0)
    mean, std = scenes.statistics()
    x = scenes.inputs(mean, std)
    assert x.dtype == np.float32 and abs(x.mean()) < 1e-4 and abs(x.std() - 1) < 1e-4
    few = scenes[[3, 1]]
    np.testing.assert_array_equal(few.images[1], scenes.images[1])
    assert few.targets(first=1)[0]["labels"].tolist() == (scenes.labels[3] + 1).tolist() and len(scenes[2:6]) == 4
    plain = SceneMaker(background="plain").draw(2)
    assert len(np.unique(plain.images[plain.masks[:, None] == 0])) == 1


def test_errors():
    with pytest.raises(ValueError, match="digits or emoji"):
        SceneMaker("letters")
    with pytest.raises(ValueError, match="extent"):
        SceneMaker(size=16)
    with pytest.raises(ValueError, match="half of chelsea"):
        SceneMaker("emoji", "train", size=200).draw(1)


def test_mosaics_hold_every_texture_once_and_share_nothing_between_the_parts():
    from fastdl.data import MosaicMaker

    some = MosaicMaker("train", 40).draw(30, seed=3)
    assert some.images.shape == (30, 1, 40, 40) and some.images.dtype == some.masks.dtype == np.uint8
    assert all(set(np.unique(m)) <= {1, 2, 3} for m in some.masks) and len(some.classes) == 3
    assert np.mean([len(np.unique(m)) for m in some.masks]) > 2.5  # a point near another may own little
    again, other = MosaicMaker("train", 40).draw(30, seed=3), MosaicMaker("test", 40).draw(30, seed=3)
    np.testing.assert_array_equal(some.images, again.images)
    assert (some.images != other.images).any() and some.targets()[0]["boxes"].shape == (0, 4)
    means = [[i[0][m == c].mean() for i, m in zip(some.images, some.masks) if (m == c).sum() > 60] for c in (1, 2, 3)]
    assert max(abs(np.mean(a) - np.mean(b)) for a in means for b in means) < np.mean([np.std(m) for m in means])
    for wrong in ({"part": "val"}, {"size": 4}, {"size": 4000}):
        with pytest.raises(ValueError, match="MosaicMaker: part must be"):
            MosaicMaker(**wrong)
