"""Blocks of the convolutional networks: what the models of fastdl.models are built from."""

from fastdl.nn.blocks.conv_bn import ConvBlock, conv_bn
from fastdl.nn.blocks.dense import DenseBlock, DenseLayer, Transition
from fastdl.nn.blocks.images import check_images, scaled
from fastdl.nn.blocks.inception import Inception
from fastdl.nn.blocks.residual import BasicBlock, Bottleneck, residual_stage

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ConvBlock",
    "DenseBlock",
    "DenseLayer",
    "Inception",
    "Transition",
    "check_images",
    "conv_bn",
    "residual_stage",
    "scaled",
]
