"""Images prepared as for ImageNet's weights: against torch's resizing and Pillow's; ten crops; names of classes."""

import json

import numpy as np
import pytest

from fastdl.data import photos
from fastdl.data import transforms as T


def by_hand(resized, crop=224):
    """Middle, 0..1, standardised, of an image (H, W, 3) whose shorter side is 256 already."""
    top, left = (round((n - crop) / 2) for n in resized.shape[:2])
    middle = resized[top : top + crop, left : left + crop] / 255.0
    return ((middle - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("name", "part"), [("coffee", np.s_[:]), ("astronaut", np.s_[:301, 3:]), ("chelsea", np.s_[:, :200])]
)
def test_preparation_is_torchs_and_pillows(name, part):
    torch, Image = pytest.importorskip("torch"), pytest.importorskip("PIL.Image")
    image = np.ascontiguousarray(photos()[name][part])
    got = T.imagenet_eval()(image.transpose(2, 0, 1)[None])
    assert got.shape == (1, 3, 224, 224) and got.dtype == np.float32
    size = tuple(int(256 * n / min(image.shape[:2])) for n in image.shape[:2])
    x = torch.tensor(image.transpose(2, 0, 1)[None].astype(np.float32))
    exact = torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
    np.testing.assert_allclose(got[0], by_hand(exact[0].numpy().transpose(1, 2, 0)), atol=1e-3)
    bytes_ = np.asarray(
        Image.fromarray(image).resize(size[::-1], Image.BILINEAR), np.float64
    )  # grey levels are rounded twice
    assert np.abs(got[0] - by_hand(bytes_)).max() < 1.5 / 255 / 0.224


def test_ten_crops_are_corners_the_middle_and_their_mirror_images():
    x = np.arange(2 * 1 * 6 * 8).reshape(2, 1, 6, 8)
    crops = T.ten_crop(x, 4).reshape(2, 10, 1, 4, 4)
    assert [int(c[0, 0, 0]) for c in crops[0]] == [0, 4, 16, 20, 10, 7, 3, 23, 19, 13]
    np.testing.assert_array_equal(crops[1, 3], x[1][:, 2:, 4:])
    np.testing.assert_array_equal(crops[0, 9, 0], x[0, 0, 1:5, 2:6][:, ::-1])
    for wrong in (x[0], x[:, :, :3]):
        with pytest.raises(ValueError, match="at least 4 x 4 are needed"):
            T.ten_crop(wrong, 4)
    with pytest.raises(ValueError, match="crop must lie in"):
        T.imagenet_eval(300)
    with pytest.raises(ValueError, match=r"expected images \(N, 3, H, W\); got shape \(1, 1, 9, 9\); a grey image"):
        T.imagenet_eval()(np.zeros((1, 1, 9, 9), np.uint8))


def test_names_of_classes(tmp_path):
    file = tmp_path / "index.json"
    for table in ({"1": ["n2", "goldfish"], "0": ["n1", "tench"]}, ["tench", "goldfish"]):
        file.write_text(json.dumps(table))
        assert T.imagenet_classes(file) == ["tench", "goldfish"]
    for wrong, words in (
        ("{", "is not JSON"),
        ('{"1": "a"}', "holds no classes"),
        ("[]", "holds no classes"),
        ("[1]", "no classes"),
    ):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=words):
            T.imagenet_classes(file)
