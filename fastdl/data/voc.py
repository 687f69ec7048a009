"""Pascal VOC: boxes of objects from XML files.

Source of the format: Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010; its development kit.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from fastdl.data.dataset import Dataset
from fastdl.data.image_folder import read_image

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


def read_voc(path, classes=CLASSES) -> dict:
    """One annotation file: {"file", "size" (H, W), "boxes" (N, 4) float32, "labels" (N,) int64, "difficult" (N,) bool}.

    boxes: x1, y1, x2, y2 with the corner pixel's upper left edge at 0 (the file counts pixels from 1, and includes the last).
    labels: places in `classes`; an object of another name raises ValueError.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: not XML, or cut off ({error})") from None
    boxes, labels, difficult = [], [], []
    for item in root.iter("object"):
        name = (item.findtext("name") or "").strip()
        if name not in classes:
            raise ValueError(
                f"{path}: an object is called {name!r}, which is none of the {len(classes)} classes; pass classes="
            )
        box = item.find("bndbox")
        if box is None:
            raise ValueError(f"{path}: the object {name!r} has no bndbox")
        try:
            x1, y1, x2, y2 = (float(box.findtext(k)) for k in ("xmin", "ymin", "xmax", "ymax"))
        except (TypeError, ValueError):
            raise ValueError(
                f"{path}: the box of {name!r} lacks xmin, ymin, xmax or ymax, or one is no number"
            ) from None
        if x2 < x1 or y2 < y1:
            raise ValueError(f"{path}: the box of {name!r} ends before it begins: {x1:g} {y1:g} {x2:g} {y2:g}")
        boxes.append((x1 - 1, y1 - 1, x2, y2))
        labels.append(classes.index(name))
        difficult.append((item.findtext("difficult") or "0").strip() == "1")
    size = root.find("size")
    shape = None if size is None else (int(size.findtext("height")), int(size.findtext("width")))
    return {
        "file": (root.findtext("filename") or "").strip(),
        "size": shape,
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "labels": np.array(labels, np.int64),
        "difficult": np.array(difficult, bool),
    }


class VOCDetection(Dataset):
    """A folder VOCdevkit/VOC2012: item i is (picture (3, H, W) float32 in 0..1, the dict of read_voc).

    part: the list ImageSets/Main/<part>.txt that names the pictures.
    """

    def __init__(self, folder, part="train", classes=CLASSES):
        self.folder, self.classes = Path(folder), classes
        names = self.folder / "ImageSets" / "Main" / f"{part}.txt"
        if not names.is_file():
            raise FileNotFoundError(f"VOCDetection: there is no list {names}")
        self.names = [line.split()[0] for line in names.read_text().splitlines() if line.strip()]

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        name = self.names[index]
        target = read_voc(self.folder / "Annotations" / f"{name}.xml", self.classes)
        image = read_image(self.folder / "JPEGImages" / (target["file"] or f"{name}.jpg"))
        return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255), target
