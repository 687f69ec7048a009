"""What detectors are made of: boxes, anchors, matching, proposals, linear SVMs, heads."""

from fastdl.detection.anchors import AnchorGenerator, cell_anchors, kmeans_anchors, paper_cell_anchors
from fastdl.detection.boxes import (
    BoxCoder,
    batched_nms,
    box_area,
    box_convert,
    box_ioa,
    box_iou,
    clip_boxes_to_image,
    nms,
    remove_small_boxes,
    soft_nms,
)
from fastdl.detection.matcher import BalancedSampler, Matcher

__all__ = [
    "AnchorGenerator",
    "BalancedSampler",
    "BoxCoder",
    "Matcher",
    "batched_nms",
    "box_area",
    "box_convert",
    "box_ioa",
    "box_iou",
    "cell_anchors",
    "clip_boxes_to_image",
    "kmeans_anchors",
    "nms",
    "paper_cell_anchors",
    "remove_small_boxes",
    "soft_nms",
]
