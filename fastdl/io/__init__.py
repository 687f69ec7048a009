"""Files: weights (safetensors), checkpoints. Nothing that is read can run code."""

from fastdl.io.checkpoint import CheckpointError, checkpoints, load_checkpoint, load_latest, save_checkpoint
from fastdl.io.files import load, save
from fastdl.io.pth import PthError, load_pth
from fastdl.io.safetensors import SafetensorsError, load_file, save_file

__all__ = [
    "CheckpointError",
    "PthError",
    "SafetensorsError",
    "checkpoints",
    "load",
    "load_checkpoint",
    "load_file",
    "load_latest",
    "load_pth",
    "save",
    "save_checkpoint",
    "save_file",
]
