"""Hugging Face's transformers, which imports torchvision: see _torchvision."""

import logging

import pytest
from _torchvision import load as load_torchvision


def load():
    """The module transformers; skips the test where torch, torchvision or transformers is not installed."""
    load_torchvision()
    transformers = pytest.importorskip("transformers")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return transformers
