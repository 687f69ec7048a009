"""COCO: boxes, classes and masks from one JSON file.

Source of the format: Lin et al., "Microsoft COCO: Common Objects in Context", 2014; the data set's page "Data format".
"""

import json
from pathlib import Path

import numpy as np

from fastdl.data.dataset import Dataset
from fastdl.data.image_folder import read_image


class COCODetection(Dataset):
    """Item i is (picture (3, H, W) float32 in 0..1, target); without a folder of pictures (target only) the picture is None.

    target: {"image_id", "size" (H, W), "boxes" (N, 4) float32 x1 y1 x2 y2, "labels" (N,) int64, "areas" (N,) float32,
    "crowd" (N,) bool, "segments": a list of polygons (each a list of (K, 2) float32 arrays) or run-length dicts, or None}.
    labels: places in `classes`, which are the file's categories by their id.
    """

    def __init__(self, annotations, images=None):
        path = Path(annotations)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: not JSON, or cut off ({error})") from None
        missing = [k for k in ("images", "annotations", "categories") if k not in content]
        if missing:
            raise ValueError(f"{path}: not a COCO file of objects; it lacks {', '.join(missing)}")
        self.folder = None if images is None else Path(images)
        categories = sorted(content["categories"], key=lambda c: c["id"])
        self.classes = [c["name"] for c in categories]
        place = {c["id"]: i for i, c in enumerate(categories)}
        self.images = sorted(content["images"], key=lambda i: i["id"])
        self._of: dict = {image["id"]: [] for image in self.images}
        for a in content["annotations"]:
            if a["image_id"] not in self._of or a["category_id"] not in place:
                raise ValueError(
                    f"{path}: annotation {a.get('id')} names an image or a category that the file does not have"
                )
            self._of[a["image_id"]].append({**a, "label": place[a["category_id"]]})

    def __len__(self):
        return len(self.images)

    def target(self, index) -> dict:
        """The objects of picture `index`, without reading it."""
        image = self.images[index]
        objects = self._of[image["id"]]
        boxes = np.array([o["bbox"] for o in objects], np.float32).reshape(-1, 4)  # x, y, width, height
        boxes[:, 2:] += boxes[:, :2]
        return {
            "image_id": image["id"],
            "size": (image["height"], image["width"]),
            "boxes": boxes,
            "labels": np.array([o["label"] for o in objects], np.int64),
            "areas": np.array([o.get("area", o["bbox"][2] * o["bbox"][3]) for o in objects], np.float32),
            "crowd": np.array([bool(o.get("iscrowd", 0)) for o in objects], bool),
            "segments": [_segments(o.get("segmentation")) for o in objects],
        }

    def __getitem__(self, index):
        target = self.target(index)
        if self.folder is None:
            return None, target
        image = read_image(self.folder / self.images[index]["file_name"])
        return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255), target


def _segments(value):
    if isinstance(value, list):
        return [np.array(polygon, np.float32).reshape(-1, 2) for polygon in value]
    return value


def decode_rle(rle) -> np.ndarray:
    """The mask (H, W) bool of a run-length dict {"size": [H, W], "counts": [...]}: runs of 0 and 1 in turn, down the columns."""
    height, width = rle["size"]
    counts = rle["counts"]
    if isinstance(counts, (str, bytes)):
        counts = _unpack(counts)
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    if len(flat) != height * width:
        raise ValueError(
            f"decode_rle: the runs make {len(flat)} pixels, the size {height} x {width} has {height * width}"
        )
    return flat.reshape(width, height).T


def _unpack(text):
    """The runs of COCO's compressed text: 5 bits a character with a continuation bit, from the third on differences."""
    data = text.encode() if isinstance(text, str) else text
    counts, value, shift = [], 0, 0
    for byte in data:
        c = byte - 48
        value |= (c & 31) << shift
        shift += 5
        if not c & 32:
            if c & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    return counts
