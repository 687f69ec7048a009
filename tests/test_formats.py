"""Readers of the original formats: CIFAR binary, image folders, Pascal VOC XML, COCO JSON, plain text."""

import json

import numpy as np
import pytest

from fastdl.data import (
    Characters,
    COCODetection,
    DataLoader,
    ImageFolder,
    VOCDetection,
    Windows,
    cifar10,
    cifar100,
    decode_rle,
    read_cifar,
    read_image,
    read_text,
    read_voc,
    text_windows,
)

RNG = np.random.default_rng(0)


# --------------------------------------------------------------------------------------------------------------- CIFAR


def records(n, labels, classes):
    y = RNG.integers(0, classes, (n, labels), np.uint8)
    x = RNG.integers(0, 256, (n, 3072), np.uint8)
    return y, x, np.concatenate([y, x], 1).tobytes()


def test_cifar10(tmp_path):
    inner = tmp_path / "cifar-10-batches-bin"
    inner.mkdir()
    parts = {f"data_batch_{i}.bin": records(3, 1, 10) for i in range(1, 6)} | {"test_batch.bin": records(2, 1, 10)}
    for name, (_, _, data) in parts.items():
        (inner / name).write_bytes(data)
    for folder in (tmp_path, inner):
        train, test = cifar10(folder)
        assert len(train) == 15 and len(test) == 2
        y, x, _ = parts["data_batch_2.bin"]
        image, label = train[3]
        assert label.item() == y[0, 0] and image.shape == (3, 32, 32)
        assert image.array[1, 2, 5] == np.float32(x[0, 1024 + 2 * 32 + 5]) / np.float32(255)  # planes R, G, B


def test_cifar100_has_two_labels(tmp_path):
    y, _, data = records(4, 2, 20)
    (tmp_path / "train.bin").write_bytes(data)
    (tmp_path / "test.bin").write_bytes(data[: 2 * 3074])
    assert cifar100(tmp_path).train.tensors[1].tolist() == y[:, 1].tolist()
    assert cifar100(tmp_path, coarse=True).test.tensors[1].tolist() == y[:2, 0].tolist()


def test_cut_off_cifar(tmp_path):
    (tmp_path / "x.bin").write_bytes(records(2, 1, 10)[2][:-1])
    with pytest.raises(ValueError, match="6145 bytes are no whole number of records of 3073 bytes"):
        read_cifar(tmp_path / "x.bin")
    with pytest.raises(FileNotFoundError, match="no folder"):
        cifar10(tmp_path / "nowhere")


# -------------------------------------------------------------------------------------------------------------- folders


def picture(path, array):
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(array).save(path)


def test_image_folder(tmp_path):
    grey = RNG.integers(0, 256, (6, 4), np.uint8)
    colour = RNG.integers(0, 256, (6, 4, 3), np.uint8)
    picture(tmp_path / "dog" / "b.png", grey)
    picture(tmp_path / "cat" / "deep" / "a.png", colour)
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    data = ImageFolder(tmp_path)
    assert data.classes == ["cat", "dog"] and len(data) == 2
    image, label = data[0]
    np.testing.assert_allclose(image, colour.transpose(2, 0, 1) / 255, rtol=1e-6)
    assert label == 0 and image.dtype == np.float32 and data[1][0].shape == (3, 6, 4)
    assert ImageFolder(tmp_path, mode="L")[1][0].shape == (1, 6, 4)
    small = ImageFolder(tmp_path, transform=lambda x: x[:2, :2].mean(-1))
    batch, labels = next(iter(DataLoader(small, batch_size=2)))
    assert batch.shape == (2, 2, 2) and labels.tolist() == [0, 1]


def test_image_folder_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="has no pictures in folders"):
        ImageFolder(tmp_path)
    pytest.importorskip("PIL")
    (tmp_path / "x.png").write_bytes(b"\x89PNG nonsense")
    with pytest.raises(ValueError, match="not a picture that Pillow can read"):
        read_image(tmp_path / "x.png")


# ------------------------------------------------------------------------------------------------------------------ VOC

OBJECT = "<object><name>{}</name><difficult>{}</difficult><bndbox>{}</bndbox></object>"
BOX = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"


def voc(path, *objects):
    path.parent.mkdir(parents=True, exist_ok=True)
    size = "<size><width>9</width><height>7</height><depth>3</depth></size>"
    path.write_text(f"<annotation><filename>1.png</filename>{size}{''.join(objects)}</annotation>")
    return path


def test_voc(tmp_path):
    dog, cat = OBJECT.format("dog", 0, BOX.format(1, 2, 4, 6)), OBJECT.format("cat", 1, BOX.format(3, 3, 3, 3))
    target = read_voc(voc(tmp_path / "Annotations" / "1.xml", dog, cat))
    assert target["boxes"].tolist() == [[0, 1, 4, 6], [2, 2, 3, 3]]  # pixels from 1, the last included -> edges from 0
    assert target["labels"].tolist() == [11, 7] and target["difficult"].tolist() == [False, True]
    assert target["size"] == (7, 9)
    picture(tmp_path / "JPEGImages" / "1.png", RNG.integers(0, 256, (7, 9, 3), np.uint8))
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("1 -1\n\n")
    data = VOCDetection(tmp_path, "val")
    image, again = data[0]
    assert len(data) == 1 and image.shape == (3, 7, 9) and again["boxes"].shape == (2, 4)
    with pytest.raises(FileNotFoundError, match=r"no list .*train\.txt"):
        VOCDetection(tmp_path)


def test_voc_without_objects_and_damaged(tmp_path):
    assert read_voc(voc(tmp_path / "a.xml"))["boxes"].shape == (0, 4)
    for objects, message in [
        (OBJECT.format("unicorn", 0, BOX.format(1, 1, 2, 2)), "called 'unicorn', which is none of the 20 classes"),
        (OBJECT.format("dog", 0, BOX.format(5, 1, 2, 2)), "ends before it begins: 5 1 2 2"),
        (OBJECT.format("dog", 0, "<xmin>1</xmin>"), "lacks xmin, ymin, xmax or ymax"),
        ("<object><name>dog</name></object>", "has no bndbox"),
        ("<object>", "not XML, or cut off"),
    ]:
        with pytest.raises(ValueError, match=message):
            read_voc(voc(tmp_path / "b.xml", objects))


# ----------------------------------------------------------------------------------------------------------------- COCO


def coco(path, **changes):
    content = {
        "images": [
            {"id": 7, "file_name": "b.png", "height": 4, "width": 5},
            {"id": 3, "file_name": "a.png", "height": 2, "width": 2},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 18, "bbox": [1, 0, 2, 3], "area": 5, "segmentation": [[1, 0, 3, 0, 3, 3]]},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 4], "iscrowd": 1,
             "segmentation": {"size": [4, 5], "counts": [3, 2, 15]}},
        ],
        **changes,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def test_coco(tmp_path):
    data = COCODetection(coco(tmp_path / "x.json"))
    assert data.classes == ["person", "dog"] and len(data) == 2
    assert data[0][0] is None and data.target(0)["boxes"].shape == (0, 4)  # picture 3 comes first and has no objects
    target = data.target(1)
    assert target["boxes"].tolist() == [[1, 0, 3, 3], [0, 0, 5, 4]] and target["labels"].tolist() == [1, 0]
    assert target["areas"].tolist() == [5, 20] and target["crowd"].tolist() == [False, True]
    assert target["segments"][0][0].tolist() == [[1, 0], [3, 0], [3, 3]]
    mask = decode_rle(target["segments"][1])
    assert mask.shape == (4, 5) and np.argwhere(mask).tolist() == [[0, 1], [3, 0]]
    picture(tmp_path / "b.png", np.zeros((4, 5, 3), np.uint8))
    assert COCODetection(tmp_path / "x.json", tmp_path)[1][0].shape == (3, 4, 5)


def test_coco_agrees_with_pycocotools(tmp_path):
    mask = pytest.importorskip("pycocotools.mask")
    for density in (0.02, 0.3, 0.9):
        truth = RNG.random((37, 53)) < density
        truth[0, 0] = density > 0.5
        packed = mask.encode(np.asfortranarray(truth.astype(np.uint8)))
        np.testing.assert_array_equal(decode_rle(packed), truth)
        np.testing.assert_array_equal(decode_rle({**packed, "counts": packed["counts"].decode()}), truth)


def test_damaged_coco(tmp_path):
    for changes, message in [
        (
            {"annotations": [{"id": 9, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}]},
            "annotation 9 names an image",
        ),
        (
            {"annotations": [{"id": 9, "image_id": 7, "category_id": 2, "bbox": [0, 0, 1, 1]}]},
            "annotation 9 names an image",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            COCODetection(coco(tmp_path / "x.json", **changes))
    (tmp_path / "y.json").write_text('{"images": []}')
    with pytest.raises(ValueError, match="it lacks annotations, categories"):
        COCODetection(tmp_path / "y.json")
    (tmp_path / "y.json").write_text('{"images": [')
    with pytest.raises(ValueError, match="not JSON, or cut off"):
        COCODetection(tmp_path / "y.json")
    with pytest.raises(ValueError, match="the runs make 4 pixels, the size 2 x 3 has 6"):
        decode_rle({"size": [2, 3], "counts": [1, 3]})


# ----------------------------------------------------------------------------------------------------------------- text


def test_text(tmp_path):
    (tmp_path / "x.txt").write_bytes("grün".encode("latin-1"))
    with pytest.raises(ValueError, match=r"not utf-8 at byte 2; pass encoding='latin-1'"):
        read_text(tmp_path / "x.txt")
    assert read_text(tmp_path / "x.txt", "latin-1") == "grün"
    vocabulary = Characters("hello")
    assert vocabulary.decode(vocabulary.encode("hole")) == "hole" and len(vocabulary) == 4
    with pytest.raises(ValueError, match="'x' is not one of the 4 characters"):
        vocabulary.encode("hex")


def test_windows_predict_every_number_once():
    data = Windows(np.arange(11), 3)
    pairs = [(x.tolist(), y.tolist()) for x, y in data]
    assert pairs == [([0, 1, 2], [1, 2, 3]), ([3, 4, 5], [4, 5, 6]), ([6, 7, 8], [7, 8, 9])]
    x, y = data.take([2, 0])
    assert x.tolist() == [[6, 7, 8], [0, 1, 2]] and y.tolist() == [[7, 8, 9], [1, 2, 3]]
    assert len(Windows(np.arange(11), 3, stride=1)) == 8
    with pytest.raises(ValueError, match=r"windows of 4 need a sequence \(N,\) with N > 4; got shape \(4,\)"):
        Windows(np.arange(4), 4)
    split, vocabulary = text_windows("abcabcab", "bca", 2)
    assert len(split.train) == 3 and len(split.test) == 1 and len(vocabulary) == 3
