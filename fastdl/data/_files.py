"""Where the files of the larger data sets are found, and that they are the right ones.

They come as a distribution of their own (folder datasets/ of the repository): fastdl itself stays small.
"""

import functools
import gzip
import hashlib
import importlib.util
import os
from pathlib import Path

import numpy as np

INSTALL = (
    "pip install fastdl-datasets (from a checkout: pip install ./datasets), or set FASTDL_HOME to a folder that has it"
)


def folders() -> list[Path]:
    """Where is looked, in this order: $FASTDL_HOME, the installed fastdl_datasets, datasets/ of the checkout."""
    found = [Path(os.environ["FASTDL_HOME"])] if os.environ.get("FASTDL_HOME") else []
    spec = importlib.util.find_spec("fastdl_datasets")
    if spec is not None and spec.submodule_search_locations:
        found += [Path(p) for p in spec.submodule_search_locations]
    return [*found, Path(__file__).parents[2] / "datasets" / "fastdl_datasets"]


def find(name: str, sha256: str) -> Path:
    """The file `name` of fastdl-datasets. FileNotFoundError if it is nowhere, ValueError if it is not the published one."""
    for folder in folders():
        path = folder / name
        if path.is_file():
            _verify(path, sha256, path.stat().st_mtime_ns)
            return path
    raise FileNotFoundError(f"the data file {name} is not installed; {INSTALL}")


@functools.cache  # once a process and version of the file
def _verify(path, sha256, modified):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != sha256:
        raise ValueError(
            f"{path} is damaged or another version (sha256 {digest[:12]}..., expected {sha256[:12]}...); {INSTALL}"
        )


def arrays(name: str, sha256: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, read-only: what is cached must not change under the next reader."""
    with np.load(find(name, sha256), allow_pickle=False) as file:
        return {key: frozen(file[key]) for key in file.files}


def text(name: str, sha256: str) -> str:
    """The text of a gzipped UTF-8 file."""
    return gzip.decompress(find(name, sha256).read_bytes()).decode("utf-8")


def rows(name: str, sha256: str, separator: str = "\t") -> list[list[str]]:
    """The fields of every line of a gzipped UTF-8 file."""
    return [line.split(separator) for line in text(name, sha256).split("\n") if line]


def frozen(array) -> np.ndarray:
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
