"""Files: weights (safetensors), checkpoints. No pickle anywhere."""

from fastdl.io.checkpoint import CheckpointError, checkpoints, load_checkpoint, load_latest, save_checkpoint
from fastdl.io.files import load, save
from fastdl.io.safetensors import SafetensorsError, load_file, save_file

__all__ = [
    "CheckpointError",
    "SafetensorsError",
    "checkpoints",
    "load",
    "load_checkpoint",
    "load_file",
    "load_latest",
    "save",
    "save_checkpoint",
    "save_file",
]
