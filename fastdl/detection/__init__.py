"""What detectors are made of: boxes, anchors, matching, proposals, linear SVMs, heads."""

from fastdl.detection.anchors import AnchorGenerator, cell_anchors, kmeans_anchors, paper_cell_anchors
from fastdl.detection.backbone import ConvStages
from fastdl.detection.box_regression import ridge
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
from fastdl.detection.fpn import BackboneWithFPN, FeaturePyramidNetwork, FrozenBatchNorm2d
from fastdl.detection.matcher import BalancedSampler, Matcher
from fastdl.detection.region_classifier import RegionClassifier
from fastdl.detection.roi_heads import FastRCNNPredictor, RoIHeads, RoIPooler, RoISampler, TwoMLPHead, select_detections
from fastdl.detection.rpn import RegionProposalNetwork, RPNHead
from fastdl.detection.selective_search import graph_segmentation, selective_search
from fastdl.detection.svm import LinearSVM, OneVsRestSVM, mine
from fastdl.detection.transform import ImageTransform

__all__ = [
    "AnchorGenerator",
    "BackboneWithFPN",
    "BalancedSampler",
    "BoxCoder",
    "ConvStages",
    "FastRCNNPredictor",
    "FeaturePyramidNetwork",
    "FrozenBatchNorm2d",
    "ImageTransform",
    "LinearSVM",
    "Matcher",
    "OneVsRestSVM",
    "RPNHead",
    "RegionClassifier",
    "RegionProposalNetwork",
    "RoIHeads",
    "RoIPooler",
    "RoISampler",
    "TwoMLPHead",
    "batched_nms",
    "box_area",
    "box_convert",
    "box_ioa",
    "box_iou",
    "cell_anchors",
    "clip_boxes_to_image",
    "graph_segmentation",
    "kmeans_anchors",
    "mine",
    "nms",
    "paper_cell_anchors",
    "remove_small_boxes",
    "ridge",
    "select_detections",
    "selective_search",
    "soft_nms",
]
