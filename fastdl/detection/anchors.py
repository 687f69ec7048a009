"""Anchor boxes: the templates that a region proposal network tries at every place of a feature map.

Two conventions are in use. torchvision centres its templates on the cells' corners (0, stride, 2 stride, ...) and rounds
them; py-faster-rcnn enumerates them around the box (0, 0, 15, 15), its sides counted in whole pixels, x2 included.

Ref  Ren, He, Girshick, Sun 2015, arXiv 1506.01497, section 3.1.1; k-means sizes: Redmon and Farhadi 2017, section 2.
"""

import numpy as np

from fastdl.detection.boxes import array


def cell_anchors(sizes, ratios):
    """(len(ratios) len(sizes), 4) templates around (0, 0), float32: height = size sqrt(ratio), width = size / sqrt(ratio).

    Example
    >>> cell_anchors((32,), (0.5, 1.0)).tolist()
    [[-23.0, -11.0, 23.0, 11.0], [-16.0, -16.0, 16.0, 16.0]]
    """
    sizes, h = np.asarray(sizes, np.float32), np.sqrt(np.asarray(ratios, np.float32))
    widths, heights = ((1 / h)[:, None] * sizes).reshape(-1), (h[:, None] * sizes).reshape(-1)
    return np.round(np.stack([-widths, -heights, widths, heights], 1) / 2)


def paper_cell_anchors(base=16, ratios=(0.5, 1.0, 2.0), scales=(8, 16, 32)):
    """(9, 4) templates of py-faster-rcnn for stride `base`: around the pixels 0..base - 1, last pixel included."""
    centre, area = (base - 1) / 2, base * base
    boxes = []
    for ratio in ratios:
        w = np.round(np.sqrt(area / ratio))
        h = np.round(w * ratio)
        for scale in scales:
            x, y = (w * scale - 1) / 2, (h * scale - 1) / 2
            boxes.append([centre - x, centre - y, centre + x, centre + y])
    return np.array(boxes, np.float32)


class AnchorGenerator:
    """Anchors of all cells of all feature maps; torchvision.models.detection.rpn.AnchorGenerator's results.

    sizes    one tuple of side lengths for each feature map, in pixels of the network's input
    ratios   height / width, one tuple for each map, or one for all of them
             (anchors that leave the image are kept, as in torchvision)

    Call    generator(image_size (H, W), [map_size (h, w), ...]) -> (A, 4) float32: maps in order, cells in rows, and for
            each cell its templates
    """

    def __init__(self, sizes=((128, 256, 512),), ratios=((0.5, 1.0, 2.0),)):
        sizes = tuple(s if isinstance(s, (tuple, list)) else (s,) for s in sizes)
        if not isinstance(ratios[0], (tuple, list)):
            ratios = (tuple(ratios),)
        if len(ratios) == 1:
            ratios = tuple(ratios) * len(sizes)
        if len(sizes) != len(ratios):
            raise ValueError(f"AnchorGenerator: {len(sizes)} tuples of sizes and {len(ratios)} of ratios")
        self.sizes, self.ratios = sizes, ratios
        self.cell_anchors = [cell_anchors(s, r) for s, r in zip(sizes, ratios)]
        self._kept = {}

    def num_anchors_per_location(self):
        return [len(c) for c in self.cell_anchors]

    def __call__(self, image_size, map_sizes):
        key = tuple(image_size), tuple(map(tuple, map_sizes))
        if key not in self._kept:
            if len(map_sizes) != len(self.cell_anchors):
                raise ValueError(
                    f"AnchorGenerator: sizes for {len(self.cell_anchors)} feature maps were given; the backbone gave "
                    f"{len(map_sizes)}; hint: one tuple of sizes for each map"
                )
            if len(self._kept) > 16:  # images of many sizes: do not keep them all
                self._kept.clear()
            self._kept[key] = np.concatenate(
                [self._one(cell, size, key[0]) for cell, size in zip(self.cell_anchors, key[1])]
            )
        return self._kept[key]

    @staticmethod
    def _one(cell, map_size, image_size):
        h, w = map_size
        x = np.arange(w, dtype=np.float32) * (image_size[1] // w)
        y = np.arange(h, dtype=np.float32) * (image_size[0] // h)
        corners = np.stack(np.broadcast_arrays(x, y[:, None], x, y[:, None]), -1)  # (h, w, 4)
        return (corners[:, :, None] + cell).reshape(-1, 4)


def kmeans_anchors(sizes, k, iterations=100, seed=0):
    """(k, 2) widths and heights that cover the boxes' sizes (N, 2) best; distance 1 - IoU of boxes with one corner shared.

    Sorted by area. Ref  YOLO9000, arXiv 1612.08242, section 2, "Dimension clusters".
    """
    sizes = array(sizes).astype(np.float64)
    if sizes.ndim != 2 or sizes.shape[1] != 2 or len(sizes) < k:
        raise ValueError(f"kmeans_anchors: needs sizes (N, 2) with N >= k = {k}; got {sizes.shape}")
    centres = sizes[np.random.default_rng(seed).choice(len(sizes), k, replace=False)]
    owner = None
    for _ in range(iterations):
        both = np.minimum(sizes[:, None], centres).prod(-1)  # (N, k)
        iou = both / (sizes.prod(-1)[:, None] + centres.prod(-1) - both)
        new = iou.argmax(1)
        if owner is not None and (new == owner).all():
            break
        owner = new
        centres = np.stack([sizes[owner == i].mean(0) if (owner == i).any() else centres[i] for i in range(k)])
    return centres[np.argsort(centres.prod(1))]
