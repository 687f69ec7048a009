"""SPPNet: the convolutions see the image once; a pyramid of bins makes one length of every region, and of every image.

    image -> conv1..conv5 once -> the window of each region, maxima over 1x1, 2x2, 3x3 and 6x6 bins (50 x 256 = 12,800)
          -> fc6 4096 -> fc7 4096 -> SVMs, as in R-CNN (its box regressions look at the bins);
          or -> fc8: classes of an image of any size

ZF-5: 96 7x7 s2, pool 3 s2, 256 5x5 s2, pool 3 s2, 384, 384, 256 3x3. 77,037,672 parameters with 1,000 classes.

Ref  He, Zhang, Ren, Sun, "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition", 2014, arXiv 1406.4729.
     Regions are mapped as in its appendix A, left and top floor(x / S) + 1, right and bottom ceil(x / S) - 1: the cells whose
     centres lie in the region. Its cells are centred at S x, ours wherever padding and pools of even size put them (`centre`).
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.detection.backbone import ConvStages, enlarged, need_images, need_proposals
from fastdl.detection.region_classifier import RegionClassifier, detect_regions
from fastdl.nn import functional as F
from fastdl.ops.roi import roi_pool
from fastdl.ops.shape import cat


class SpatialPyramidPool(nn.Module):
    """Maxima of n x n bins for every level n, concatenated: (N, C, H, W) -> (N, C sum n^2); with boxes (cells of the map,
    last cell included), one row a box.
    """

    def __init__(self, levels=(1, 2, 3, 6)):
        super().__init__()
        self.levels, self.bins = tuple(levels), sum(n * n for n in levels)

    def forward(self, x, boxes=None):
        pool = (lambda n: F.adaptive_max_pool2d(x, n)) if boxes is None else (lambda n: roi_pool(x, boxes, n, 1.0))
        return cat([pool(n).flatten(1) for n in self.levels], 1)


def to_cells(boxes, stride, height, width, centre=0.0):
    """Boxes (N, 4) of the image as first and last cells of a map of this stride; at least one cell, inside the map.

    centre   of the first cell's receptive field in the image; that of cell i is centre + i stride
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4) - np.float32(centre)
    first = np.floor(boxes[:, :2] / stride) + 1
    last = np.ceil(boxes[:, 2:] / stride) - 1
    middle = np.rint((boxes[:, :2] + boxes[:, 2:]) / 2 / stride)  # of a region without a cell of its own
    empty = last < first
    first, last = np.where(empty, middle, first), np.where(empty, middle, last)
    limit = np.array([width - 1, height - 1], np.float32)
    return np.concatenate([np.clip(first, 0, limit), np.clip(last, 0, limit)], 1)


class SPPNet(nn.Module):
    """Classes of images of any size; with heads, a detector of regions.

    features   image -> maps of `stride`; frozen where a detector is fine-tuned
    levels     of the pyramid
    centre     of the first cell's receptive field, in the image (edges of pixels are whole numbers)
    scale      the image is enlarged by it before: regions should be as large as what the convolutions learned from (the paper
               brings the shorter side to 688 pixels, or chooses one of five scales for each region: best_scale)

    Call        model(x (N, C, H, W)) -> (N, num_classes)
                model.detect(images, proposals) -> one dict, labels from 0, an image
    Parameters  features.*, fc6, fc7, fc8; heads.svm.{c}.*, heads.bbox.{c}.*
    """

    def __init__(
        self, features, channels, stride, num_classes=1000, levels=(1, 2, 3, 6), hidden=4096, dropout=0.5, in_channels=3, heads=0,
        ridge=1000.0, centre=0.0, scale=1.0,
    ):  # fmt: skip
        super().__init__()
        self.features, self.stride, self.in_channels, self.centre = features, stride, in_channels, centre
        self.scale = scale
        self.spp = SpatialPyramidPool(levels)
        self.fc6, self.fc7 = nn.Linear(channels * self.spp.bins, hidden), nn.Linear(hidden, hidden)
        self.fc8, self.drop = nn.Linear(hidden, num_classes), nn.Dropout(dropout)
        bins = channels * self.spp.bins
        self.register_module(
            "heads", RegionClassifier(hidden, heads, ridge_strength=ridge, places=bins) if heads else None
        )

    def _dense(self, x):
        x = self.drop(F.relu(self.fc6(x)))
        return self.drop(F.relu(self.fc7(x)))

    def forward(self, x, boxes=None):
        """Scores of images, or of regions (boxes: one (L, 4) an image)."""
        need_images(x, self.in_channels, "SPPNet")
        return self.fc8(self._dense(self.spp(self._features(x)) if boxes is None else self.pyramid(x, boxes)))

    def _features(self, x):
        return self.features(enlarged(x, self.scale))

    def maps(self, images):
        """Feature maps that no gradient passes: where the convolutions are frozen, an image needs them only once."""
        need_images(images, self.in_channels, "SPPNet")
        return self._features(images).detach()

    def score(self, maps, boxes):
        """Scores (K, num_classes) of regions of images whose maps are given."""
        return self.fc8(self._dense(self._windows(maps, boxes)))

    def pyramid(self, images, boxes):
        """(K, C bins) pooled windows of regions; no gradient reaches the convolutions."""
        need_proposals(images, boxes, "SPPNet")
        return self._windows(self.maps(images), boxes)

    def _windows(self, maps, boxes):
        size, centre = maps.shape[2:], self.centre / self.scale  # the boxes are of the image as it came
        return self.spp(maps, [to_cells(b, self.stride / self.scale, *size, centre) for b in boxes])

    def embed(self, images, boxes):
        """(K, hidden) features of all regions, for the SVMs: the convolutions run once an image."""
        return self.describe(images, boxes)[0]

    def describe(self, images, boxes):
        """(fc7 (K, hidden), pyramid (K, C bins)) of all regions: what the SVMs and what the box regressions look at."""
        need_proposals(images, boxes, "SPPNet")
        if not sum(map(len, boxes)):
            return tuple(Tensor(np.zeros((0, n), np.float32)) for n in (self.fc7.out_features, self.fc6.in_features))
        bins = self.pyramid(images, boxes)
        return self._dense(bins), bins

    def detect(self, images, proposals, **options):
        if len(images) == 0:
            return []
        if self.heads is None:
            raise ValueError("SPPNet: it was made without detection heads; hint: heads=20 makes them")
        return detect_regions(self, images, proposals, **options)


def sppnet_zf5(num_classes=1000, heads=0) -> SPPNet:
    """ZF-5 with the pyramid 1, 2, 3, 6: 77,037,672 parameters with 1,000 classes and no heads.

    Its first filters are padded by 1 pixel, not by half their size, so its first cell is centred at 6.5 pixels, not at 0.
    """
    layers = [
        *(nn.Conv2d(3, 96, 7, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *(nn.Conv2d(96, 256, 5, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
    ]
    return SPPNet(nn.Sequential(*layers), 256, 16, num_classes, heads=heads, centre=6.5)


def sppnet_small(
    num_classes=11, in_channels=1, features=None, hidden=128, levels=(1, 2, 3, 6), heads=10, scale=1.25
) -> SPPNet:
    """The same class for scenes, on ConvStages of stride 4.

    Convolutions that come from R-CNN know objects of 28 pixels, as it warps them; those of the scenes have 10 to 27. With the
    images enlarged by a quarter mAP on validation scenes was .90 and .88 (two seeds), without .81 and .77.
    """
    features = features or ConvStages(in_channels, (16, 32, 64))
    sizes = features.out_channels, features.stride, num_classes, levels, hidden
    middle = features.stride / 2  # a cell comes from stride x stride pixels, and what is around them
    return SPPNet(
        features, *sizes, dropout=0.3, in_channels=in_channels, heads=heads, ridge=100.0, centre=middle, scale=scale
    )


def best_scale(boxes, size, scales=(480, 576, 688, 864, 1200), side=224):
    """(N,) numbers of the scale (shorter side of the image) at which each box comes closest to side^2 pixels in area."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)[:, None] * (np.array(scales) / min(size)) ** 2
    return np.abs(area - side**2).argmin(1)
