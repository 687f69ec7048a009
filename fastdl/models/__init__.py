"""Models: one file per paper."""

from fastdl.models.aae import AAE
from fastdl.models.alexnet import AlexNet, AlexNetConfig, alexnet
from fastdl.models.autoregressive import AR, LinearAR
from fastdl.models.bert import (
    Bert,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    bert_base,
    bert_large,
)
from fastdl.models.convolutionalize import convolutionalize
from fastdl.models.cyclegan import CycleGAN
from fastdl.models.dalle import DALLE, DiscreteVAE
from fastdl.models.dcgan import DCGAN
from fastdl.models.densenet import (
    DenseNet,
    DenseNetConfig,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
    densenet_bc,
)
from fastdl.models.fast_rcnn import FastRCNN, fastrcnn_small, fastrcnn_vgg16
from fastdl.models.faster_rcnn import FasterRCNN, fasterrcnn_resnet50_fpn, fasterrcnn_small, fasterrcnn_vgg16
from fastdl.models.fcn import FCN, FCNConfig, FCNResNet, fcn8s, fcn16s, fcn32s, fcn_resnet50, fcn_resnet101, fcn_small
from fastdl.models.gan import GAN, GANConfig, gan_small
from fastdl.models.googlenet import GoogLeNet, GoogLeNetConfig, GoogLeNetOutputs, googlenet
from fastdl.models.googlenet import loss as googlenet_loss
from fastdl.models.gpt import GPT, GPTConfig, gpt2, gpt2_large, gpt2_medium, gpt2_xl, gpt3
from fastdl.models.ibm1 import IBM1
from fastdl.models.infogan import InfoGAN, InfoGANConfig
from fastdl.models.latent_ar import LatentAR
from fastdl.models.lenet import LeNet5, lenet5
from fastdl.models.linear import LinearRegression, SoftmaxRegression
from fastdl.models.linear_gaussian import LinearGaussian
from fastdl.models.markov import MarkovModel
from fastdl.models.mlp import MLP, mlp
from fastdl.models.mobilenet import MobileNetV2, MobileNetV2Config, mobilenet_v2
from fastdl.models.nade import NADE
from fastdl.models.naive_sequential import FullyVisibleBeliefNet
from fastdl.models.pixel_tables import BernoulliMixture, IndependentBernoulli, JointTable, MarkovChainImage
from fastdl.models.pixelrnn import PixelRNN, pixelrnn_cifar10, pixelrnn_mnist
from fastdl.models.progressive_gan import ProgressiveGAN
from fastdl.models.puzzle_gan import Jigsaw, PuzzleGAN
from fastdl.models.rcnn import RCNN, rcnn_alexnet, rcnn_small
from fastdl.models.resnet import (
    ResNet,
    ResNetConfig,
    resnet18,
    resnet20,
    resnet34,
    resnet50,
    resnet56,
    resnet101,
    resnet110,
    resnet152,
    resnet_cifar,
)
from fastdl.models.rnade import RNADE
from fastdl.models.seq2seq import Seq2Seq
from fastdl.models.simple_cnn import SimpleCNN
from fastdl.models.sppnet import SpatialPyramidPool, SPPNet, sppnet_small, sppnet_zf5
from fastdl.models.stargan import StarGAN
from fastdl.models.text2image import Text2Image
from fastdl.models.transformer import Transformer, TransformerConfig, transformer_base, transformer_big
from fastdl.models.vae import VAE
from fastdl.models.vgg import VGG, VGGConfig, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from fastdl.models.vit import ViT, ViTConfig, vit_b_16, vit_b_32, vit_h_14, vit_l_16, vit_s_16
from fastdl.models.window import TimeDelayNet, WindowLM
from fastdl.models.yolo import YOLOConfig, YOLOv1, YOLOv1Loss, fast_yolo, yolo_small, yolo_v1

__all__ = [
    "AAE",
    "AR",
    "DALLE",
    "DCGAN",
    "FCN",
    "GAN",
    "GPT",
    "IBM1",
    "MLP",
    "NADE",
    "RCNN",
    "RNADE",
    "VAE",
    "VGG",
    "AlexNet",
    "AlexNetConfig",
    "BernoulliMixture",
    "Bert",
    "BertConfig",
    "BertForMaskedLM",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "CycleGAN",
    "DenseNet",
    "DenseNetConfig",
    "DiscreteVAE",
    "FCNConfig",
    "FCNResNet",
    "FastRCNN",
    "FasterRCNN",
    "FullyVisibleBeliefNet",
    "GANConfig",
    "GPTConfig",
    "GoogLeNet",
    "GoogLeNetConfig",
    "GoogLeNetOutputs",
    "IndependentBernoulli",
    "InfoGAN",
    "InfoGANConfig",
    "Jigsaw",
    "JointTable",
    "LatentAR",
    "LeNet5",
    "LinearAR",
    "LinearGaussian",
    "LinearRegression",
    "MarkovChainImage",
    "MarkovModel",
    "MobileNetV2",
    "MobileNetV2Config",
    "PixelRNN",
    "ProgressiveGAN",
    "PuzzleGAN",
    "ResNet",
    "ResNetConfig",
    "SPPNet",
    "Seq2Seq",
    "SimpleCNN",
    "SoftmaxRegression",
    "SpatialPyramidPool",
    "StarGAN",
    "Text2Image",
    "TimeDelayNet",
    "Transformer",
    "TransformerConfig",
    "VGGConfig",
    "ViT",
    "ViTConfig",
    "WindowLM",
    "YOLOConfig",
    "YOLOv1",
    "YOLOv1Loss",
    "alexnet",
    "bert_base",
    "bert_large",
    "convolutionalize",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "densenet_bc",
    "fast_yolo",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_small",
    "fasterrcnn_vgg16",
    "fastrcnn_small",
    "fastrcnn_vgg16",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "fcn_resnet50",
    "fcn_resnet101",
    "fcn_small",
    "gan_small",
    "googlenet",
    "googlenet_loss",
    "gpt2",
    "gpt2_large",
    "gpt2_medium",
    "gpt2_xl",
    "gpt3",
    "lenet5",
    "mlp",
    "mobilenet_v2",
    "pixelrnn_cifar10",
    "pixelrnn_mnist",
    "rcnn_alexnet",
    "rcnn_small",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "resnet_cifar",
    "sppnet_small",
    "sppnet_zf5",
    "transformer_base",
    "transformer_big",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_s_16",
    "yolo_small",
    "yolo_v1",
]
