"""Reader and writer of the safetensors format, strict, on NumPy alone.

Layout    8 bytes: length L of the header, little-endian;
          L bytes: JSON {name: {"dtype", "shape", "data_offsets": [from, to]}, "__metadata__": {text: text}}, may end in
          spaces; then the data, C order, little-endian, without holes.
Safety    Nothing in the file is executed. Every length and offset is checked before memory is taken.
Notes     BF16 and F16 are read; BF16 becomes float32 (exactly, by a shift). Tensors and arrays are written in C order.
Ref       https://huggingface.co/docs/safetensors, section "Format"
"""

import json
import os
import struct

import numpy as np

from fastdl.autograd import Tensor

__all__ = ["SafetensorsError", "load_file", "read_metadata", "save_file", "to_arrays"]

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "|b1",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _TYPES.items() if name != "BF16"}
_MAX_HEADER = 100_000_000


class SafetensorsError(ValueError):
    """The file is not a sound safetensors file."""


def to_arrays(tensors: dict) -> dict:
    """The same dict with ndarrays for Tensors; an error names the entry that is neither."""
    arrays = {}
    for name, value in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"save_file: names must be strings; got {name!r}")
        array = value.array if isinstance(value, Tensor) else value
        if not isinstance(array, (np.ndarray, np.generic)):
            raise TypeError(f"save_file: {name!r} must be a Tensor or an array; got {type(value).__name__}")
        arrays[name] = np.asarray(array)
    return arrays


def save_file(tensors: dict, path, metadata: dict | None = None) -> None:
    """Write {name: Tensor or ndarray}, and optional {text: text}, to one file (flushed to disk when it returns)."""
    arrays = to_arrays(tensors)
    # Large element types first, so that every tensor lies aligned to its type.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header, end = {}, 0
    if metadata:
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in metadata.items()):
            raise TypeError("save_file: metadata must map text to text")
        header["__metadata__"] = dict(metadata)
    for name in order:
        array = arrays[name]
        code = _NAMES.get(array.dtype.newbyteorder("<"))
        if code is None or name == "__metadata__":
            raise TypeError(f"save_file: {name!r} with dtype {array.dtype} cannot be stored in a safetensors file")
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            array = arrays[name]
            plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            if plain.size:
                file.write(memoryview(plain.reshape(-1)).cast("B"))
        file.flush()
        os.fsync(file.fileno())


def _unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise SafetensorsError("a name occurs twice in the header")
    return dict(pairs)


def _read_header(file, path):
    """(entries, metadata, where the data starts, how long it is), checked."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    if len(start) < 8:
        raise SafetensorsError(f"{path}: too short for a safetensors file ({size} bytes)")
    (length,) = struct.unpack("<Q", start)
    if length > min(_MAX_HEADER, size - 8):
        raise SafetensorsError(
            f"{path}: the header claims {length} bytes, the file has {size}; cut off, or not a safetensors file"
        )
    try:
        header = json.loads(file.read(length).decode(), object_pairs_hook=_unique)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise SafetensorsError(f"{path}: the header is not JSON ({error})") from None
    except SafetensorsError as error:
        raise SafetensorsError(f"{path}: {error}") from None
    if not isinstance(header, dict):
        raise SafetensorsError(f"{path}: the header must be a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise SafetensorsError(f"{path}: __metadata__ must map text to text")
    _check_entries(header, size - 8 - length, path)
    return header, metadata, 8 + length


def _is_count(n):
    return isinstance(n, int) and not isinstance(n, bool) and n >= 0


def _check_entries(header, available, path):
    """Known types, lengths that fit their shapes, data without holes or overlaps that fills the file."""
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise SafetensorsError(f"{path}: {name!r} must have dtype, shape and data_offsets")
        shape, offsets = entry["shape"], entry["data_offsets"]
        if not isinstance(shape, list) or not all(map(_is_count, shape)):
            raise SafetensorsError(f"{path}: {name!r} has shape {shape!r}")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
            raise SafetensorsError(f"{path}: {name!r} has data_offsets {offsets!r}")
        if entry["dtype"] not in _TYPES:
            raise SafetensorsError(
                f"{path}: {name!r} has dtype {entry['dtype']!r}, which fastdl does not read; "
                f"it reads {', '.join(_TYPES)}"
            )
        count = np.dtype(_TYPES[entry["dtype"]]).itemsize
        for n in shape:
            count *= n
        if offsets[1] - offsets[0] != count:
            raise SafetensorsError(
                f"{path}: {name!r} of shape {tuple(shape)} takes {count} bytes, "
                f"its offsets give {offsets[1] - offsets[0]}"
            )
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if entry["data_offsets"][0] != end:
            raise SafetensorsError(f"{path}: the data of {name!r} overlaps with another or leaves a hole")
        end = entry["data_offsets"][1]
    if end != available:
        what = "cut off" if end > available else "too long"
        raise SafetensorsError(f"{path}: the file is {what}: {available} bytes of data, the header describes {end}")


def _values(buffer, code, name, path):
    if code == "BF16":
        return (buffer.astype(np.uint32) << 16).view(np.float32)
    if code == "BOOL" and (buffer.view(np.uint8) > 1).any():
        raise SafetensorsError(f"{path}: {name!r} holds a boolean that is neither 0 nor 1")
    return buffer.astype(buffer.dtype.newbyteorder("="), copy=False)


def load_file(path) -> dict:
    """{name: ndarray}, in the order of the file."""
    with open(path, "rb") as file:
        header, _, start = _read_header(file, path)
        arrays = {}
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            count = (entry["data_offsets"][1] - entry["data_offsets"][0]) // np.dtype(_TYPES[entry["dtype"]]).itemsize
            buffer = np.empty(count, _TYPES[entry["dtype"]])
            file.seek(start + entry["data_offsets"][0])
            if count and file.readinto(memoryview(buffer).cast("B")) != buffer.nbytes:
                raise SafetensorsError(f"{path}: the file was cut off while it was read")
            arrays[name] = _values(buffer, entry["dtype"], name, path).reshape(entry["shape"])
    return arrays


def read_metadata(path) -> dict:
    """The {text: text} of the file's __metadata__."""
    with open(path, "rb") as file:
        return _read_header(file, path)[1]
