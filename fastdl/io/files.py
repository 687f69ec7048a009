"""save and load: weights and other states as one safetensors file. Nothing is pickled."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np

from fastdl.autograd import Tensor
from fastdl.io import safetensors
from fastdl.io.atomic import whole_file
from fastdl.io.tree import flatten, unflatten

_STRUCTURE = "fastdl"  # key of __metadata__ that holds the nesting of what was saved


def save(obj, path) -> None:
    """Write a model, a state_dict, a tensor, or dicts, lists and tuples of tensors, numbers and text, to `path`.

    The file is safetensors, whatever the ending; a flat dict of tensors becomes a file that every reader of the format
    understands. `.npz` writes NumPy's format instead (flat dicts only). The file appears complete or not at all.

    Example
    >>> save({"w": Tensor(np.ones(2)), "epoch": 3}, "model.safetensors")
    >>> load("model.safetensors")["epoch"]
    3
    """
    if hasattr(obj, "state_dict") and not isinstance(obj, dict):
        obj = obj.state_dict()
    path = Path(path)
    with whole_file(path) as unfinished:
        if path.suffix == ".npz":
            if not isinstance(obj, dict):
                raise TypeError("save: an .npz file takes a flat dict of tensors")
            with open(unfinished, "wb") as file:
                np.savez(file, **safetensors.to_arrays(obj))
                file.flush()
                os.fsync(file.fileno())
        elif _is_flat(obj):
            safetensors.save_file(obj, unfinished)
        else:
            structure, arrays = flatten(obj)
            safetensors.save_file(arrays, unfinished, {_STRUCTURE: json.dumps(structure)})


def _is_flat(obj):
    return isinstance(obj, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in obj.items())


def load(path):
    """What `save` wrote; of any other safetensors or .npz file, the dict of its Tensors. Runs no code from the file."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"load: {path} is a folder; fastdl.io.load_checkpoint reads checkpoints")
    with open(path, "rb") as file:
        start = file.read(2)
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: Tensor(arrays[name]) for name in arrays.files}
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"load: {path} is not a sound .npz file of plain arrays ({error})") from None
    try:
        arrays = safetensors.load_file(path)
    except safetensors.SafetensorsError:
        if start[:1] == b"\x80" or start == b"PK" or path.suffix in (".pt", ".pth", ".pkl"):
            raise ValueError(
                f"load: {path} is a pickle or a file of torch.save, which can run code when it is read; "
                "fastdl.io.load_pth reads the weights in it and runs nothing; or convert it where it is trusted: "
                "safetensors.torch.save_file(torch.load(path), 'x.safetensors')"
            ) from None
        raise
    structure = safetensors.read_metadata(path).get(_STRUCTURE)
    if structure is None:
        return {name: Tensor(array) for name, array in arrays.items()}
    try:
        return unflatten(json.loads(structure), arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise safetensors.SafetensorsError(f"{path}: its description of the contents is damaged ({error})") from None
