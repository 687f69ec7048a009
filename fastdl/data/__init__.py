"""Data: datasets, samplers, the loader, one real data set a file, and readers of the usual file formats."""

from fastdl.data import tables, transforms
from fastdl.data._split import Split
from fastdl.data.bible_en_es import bible_en_es
from fastdl.data.bpe import ByteBPE
from fastdl.data.chorales import chorales
from fastdl.data.cifar import cifar10, cifar100, read_cifar
from fastdl.data.cmudict import cmudict
from fastdl.data.coco import COCODetection, decode_rle
from fastdl.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from fastdl.data.digits import digits
from fastdl.data.django_pairs import django_pairs
from fastdl.data.emoji import composite, emoji, emoji_categories, emoji_subcategories
from fastdl.data.image_folder import ImageFolder, read_image
from fastdl.data.kjv import BOOK_GROUPS, kjv, kjv_verses
from fastdl.data.loader import DataLoader, batch_rng, default_collate
from fastdl.data.mixing import CutMix, Mixup, cutmix, mixed_loss, mixup
from fastdl.data.mnist import mnist, mnist5k, read_idx
from fastdl.data.model_figures import model_figures
from fastdl.data.mosaics import MosaicMaker
from fastdl.data.number_words import number_pairs, number_words
from fastdl.data.photos import photos, texture_patches
from fastdl.data.pride_and_prejudice import pride_and_prejudice
from fastdl.data.sampler import (
    BatchSampler,
    BucketBatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StratifiedBatchSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from fastdl.data.scenes import SceneMaker, Scenes
from fastdl.data.sentiment import sentiment
from fastdl.data.table import Table
from fastdl.data.text import CharTokenizer, ParallelText, Vocabulary
from fastdl.data.text_file import Characters, Windows, read_text, text_windows
from fastdl.data.voc import VOCDetection, read_voc
from fastdl.data.wordpiece import WordPiece

__all__ = [
    "BOOK_GROUPS",
    "BatchSampler",
    "BucketBatchSampler",
    "ByteBPE",
    "COCODetection",
    "CharTokenizer",
    "Characters",
    "ConcatDataset",
    "CutMix",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "Mixup",
    "MosaicMaker",
    "ParallelText",
    "RandomSampler",
    "Sampler",
    "SceneMaker",
    "Scenes",
    "SequentialSampler",
    "Split",
    "StratifiedBatchSampler",
    "Subset",
    "SubsetRandomSampler",
    "Table",
    "TensorDataset",
    "VOCDetection",
    "Vocabulary",
    "WeightedRandomSampler",
    "Windows",
    "WordPiece",
    "batch_rng",
    "bible_en_es",
    "chorales",
    "cifar10",
    "cifar100",
    "cmudict",
    "composite",
    "cutmix",
    "decode_rle",
    "default_collate",
    "digits",
    "django_pairs",
    "emoji",
    "emoji_categories",
    "emoji_subcategories",
    "kjv",
    "kjv_verses",
    "mixed_loss",
    "mixup",
    "mnist",
    "mnist5k",
    "model_figures",
    "number_pairs",
    "number_words",
    "photos",
    "pride_and_prejudice",
    "random_split",
    "read_cifar",
    "read_idx",
    "read_image",
    "read_text",
    "read_voc",
    "sentiment",
    "tables",
    "text_windows",
    "texture_patches",
    "transforms",
]
