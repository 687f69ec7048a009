"""Augmentation of batches of images (N, C, H, W): seeded, vectorised, boxes and masks along. See base.Transform."""

from fastdl.data.transforms.base import Compose, RandomApply, Transform, Views
from fastdl.data.transforms.colour import (
    ColorJitter,
    Grayscale,
    Normalize,
    RandomGrayscale,
    ToFloat,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)
from fastdl.data.transforms.dataset import TransformedDataset
from fastdl.data.transforms.geometry import (
    CenterCrop,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    affine_matrix,
    resample,
)
from fastdl.data.transforms.imagenet import imagenet_classes, imagenet_eval, ten_crop
from fastdl.data.transforms.texture import Cutout, ElasticTransform, GaussianBlur, GaussianNoise, RandomErasing

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Cutout",
    "ElasticTransform",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "Normalize",
    "RandomAffine",
    "RandomApply",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToFloat",
    "Transform",
    "TransformedDataset",
    "Views",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "affine_matrix",
    "imagenet_classes",
    "imagenet_eval",
    "resample",
    "ten_crop",
]
