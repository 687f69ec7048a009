"""Reader of weights that torch.save wrote (.pth, .pt, .ckpt), on NumPy alone, which runs nothing from the file.

Layout    A zip archive, stored without compression: <name>/data.pkl, a pickle of the nesting; <name>/data/<key>, the raw
          elements of every storage; <name>/byteorder ("little" or "big", may be missing).
Safety    A pickle is a program for a small machine. The one here (_pickle_machine.py) builds containers, numbers and text, and
          knows four kinds of names: OrderedDict, torch's two functions that rebuild a tensor and a parameter, and the storage
          types. Any other name or instruction is an error; nothing is imported, and NumPy's and Python's own readers of
          pickles are not used. Every length is checked before memory is taken.
Notes     Tensors become NumPy arrays that own their memory; bfloat16 becomes float32. Tensors that shared a storage are
          copied apart. The format before torch 1.6, in which many public files still are, is a row of pickles followed by the
          elements; it is read the same way.
Ref       torch/serialization.py and torch/_utils.py for the layout (facts only).
"""

import mmap
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from fastdl.io._pickle_machine import Callable, ProgramError, run

__all__ = ["PthError", "load_pth"]

_TYPES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": "bf16", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
_LARGEST = 64 << 20  # of data.pkl: names and shapes only
_MOST = 1 << 40  # elements
_MAGIC = 0x1950A86A20F9469CFC6C  # of the format before torch 1.6
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, struct.error, zlib.error)


class PthError(ValueError):
    """The file is not a sound file of torch.save, or holds more than weights."""


class _Type:
    """A storage type by name, e.g. torch.FloatStorage."""

    def __init__(self, name):
        self.name = name


class _Storage:
    """A storage that the pickle names: its entry in the archive, type and number of elements."""

    def __init__(self, key, type, count):
        self.key, self.type, self.count = key, type, count


class _Reader:
    """What the names in the pickle stand for."""

    def __init__(self, contents, order, path, sizes=None):
        """contents(key, size): the `size` bytes of a storage, or None while only the end of the program is looked for.

        sizes: a dict that takes down the bytes of an element of every storage.
        """
        self.sizes = {} if sizes is None else sizes
        self.contents, self.order, self.path = contents, order, path
        self.left = 16 * path.stat().st_size + (1 << 20)  # bytes that tensors may take

    def name(self, module, name):
        """A function of the values that the pickle calls it with, or a storage type."""
        if (module, name) == ("collections", "OrderedDict"):
            return Callable(_ordered)
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return Callable(self.tensor)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return Callable(self.parameter)
        if module == "torch" and name in _TYPES:
            return _Type(name)
        raise PthError(
            f"{self.path}: the file asks for {module}.{name}, which is no weight and could run code; nothing of it was "
            "executed. Save only the state_dict, or convert it where it is trusted to .safetensors"
        )

    def persistent(self, pid):
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage" or not isinstance(pid[1], _Type):
            raise PthError(f"{self.path}: not a reference to a storage: {pid!r}")
        if len(pid) == 6 and pid[5] is not None:  # files before 2020: a storage that is part of another
            raise PthError(f"{self.path}: storages that are parts of others are not read")
        _, type, key, _, count = pid[:5]
        if not isinstance(key, str) or not _is_count(count):
            raise PthError(f"{self.path}: storage {key!r} of {count!r} elements")
        code = _TYPES[type.name]
        self.sizes[key] = 2 if code == "bf16" else np.dtype(code).itemsize
        return _Storage(key, type.name, count)

    def parameter(self, data, requires_grad=False, hooks=None):
        if not isinstance(data, np.ndarray):
            raise PthError(f"{self.path}: a parameter is made of {type(data).__name__}, not of a tensor")
        return data

    def tensor(self, storage, offset, shape, stride, requires_grad=False, hooks=None, metadata=None):
        if not isinstance(storage, _Storage) or not _is_count(offset):
            raise PthError(f"{self.path}: a tensor without a storage")
        if not (isinstance(shape, tuple) and isinstance(stride, tuple) and len(shape) == len(stride)):
            raise PthError(f"{self.path}: a tensor with shape {shape!r} and stride {stride!r}")
        if not all(map(_is_count, shape)) or not all(map(_is_count, stride)):
            raise PthError(f"{self.path}: a tensor with shape {shape!r} and stride {stride!r}")
        empty = 0 in shape
        reach = offset + (0 if empty else 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)))
        size = 1
        for n in shape:
            size *= n
        if reach > storage.count or size > max(storage.count, 1) or size > _MOST:
            raise PthError(
                f"{self.path}: a tensor of shape {shape} reaches element {reach} of a storage of {storage.count}"
            )
        self.left -= 8 * size
        if self.left < 0:
            raise PthError(f"{self.path}: its tensors would take many times the memory of the file")
        if self.contents is None:
            return np.empty(0, np.float32)
        elements = self.storage(storage)
        if empty:
            return np.empty(shape, elements.dtype)
        item = elements.itemsize
        view = np.lib.stride_tricks.as_strided(
            elements[offset:], shape, tuple(s * item for s in stride), writeable=False
        )
        return np.array(view, order="C")

    def storage(self, storage):
        """The elements (count,) in native byte order."""
        code = _TYPES[storage.type]
        dtype = np.dtype("u2" if code == "bf16" else code).newbyteorder(self.order)
        data = self.contents(storage.key, storage.count * dtype.itemsize)
        if code == "?" and data.strip(b"\0\1"):
            raise PthError(f"{self.path}: storage {storage.key} holds a boolean that is neither 0 nor 1")
        elements = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
        return (elements.astype(np.uint32) << 16).view(np.float32) if code == "bf16" else elements


def _ordered(items=()):
    """OrderedDict as a dict, which keeps the order too."""
    return dict(items)


def _is_count(n):
    return isinstance(n, int) and not isinstance(n, bool) and n >= 0


def load_pth(path) -> dict:
    """The dict that torch.save wrote (mostly a state_dict), with NumPy arrays for tensors; `{"state_dict": ...}` and other
    nestings stay as they are.

    Errors  PthError, a ValueError, for damaged files and for files that hold anything but tensors, numbers, text, lists,
            tuples and dicts
    """
    path = Path(path)
    with open(path, "rb") as file:
        try:
            if file.read(2) == b"PK":
                with zipfile.ZipFile(file) as archive:
                    result = _from_zip(archive, path)
            else:
                result = _from_stream(file, path)
        except PthError:
            raise
        except _DAMAGED as error:
            raise PthError(f"{path}: not a sound file of torch.save ({error})") from None
    _check(result, path)
    if not isinstance(result, dict):
        raise PthError(f"{path}: expected a dict of tensors; the file holds a {type(result).__name__}")
    return result


def _run(program, reader, at=0):
    """(value, end) of the program that starts at byte `at`."""
    try:
        return run(program, reader.name, reader.persistent, at)
    except PthError:
        raise
    except (ProgramError, TypeError, ValueError, KeyError, IndexError) as error:
        raise PthError(f"{reader.path}: the pickle is damaged or holds more than weights ({error})") from None


def _from_zip(archive, path):
    names = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(names) != 1:
        raise PthError(f"{path}: a file of torch.save has one entry <name>/data.pkl; this archive has {len(names)}")
    folder = names[0].removesuffix("data.pkl")
    if archive.getinfo(names[0]).file_size > _LARGEST:
        raise PthError(f"{path}: data.pkl has {archive.getinfo(names[0]).file_size} bytes; weights need far less")
    order = "<"
    if folder + "byteorder" in archive.namelist():
        word = archive.read(folder + "byteorder").decode("ascii", "replace").strip()
        if word not in ("little", "big"):
            raise PthError(f"{path}: byteorder is {word!r}")
        order = "<" if word == "little" else ">"

    def contents(key, size):
        name = f"{folder}data/{key}"
        try:
            info = archive.getinfo(name)
        except KeyError:
            raise PthError(f"{path}: the archive has no entry {name}") from None
        if info.file_size != size or info.compress_type != zipfile.ZIP_STORED:
            raise PthError(f"{path}: {name} has {info.file_size} bytes; it should have {size}, stored uncompressed")
        return archive.read(info)

    return _run(archive.read(names[0]), _Reader(contents, order, path))[0]


def _from_stream(file, path):
    """The format before torch 1.6: pickles of a magic number, a version, the machine, the object and its storages' keys, then
    for every key the number of elements (8 bytes) and the elements."""
    if not path.stat().st_size:
        raise PthError(f"{path}: the file is empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = _Reader(None, "<", path)
        magic, at = _run(data, end)
        version, at = _run(data, end, at)
        if magic != _MAGIC or version != 1001:
            raise PthError(f"{path}: not a file of torch.save")
        machine, start = _run(data, end, at)
        order = "<" if not isinstance(machine, dict) or machine.get("little_endian", True) else ">"
        sizes = {}  # key -> bytes an element
        _, at = _run(data, _Reader(None, order, path, sizes), start)
        keys, at = _run(data, end, at)
        if not isinstance(keys, list):
            raise PthError(f"{path}: the list of storages is a {type(keys).__name__}")
        places = {}
        for key in keys:
            count = int.from_bytes(data[at : at + 8], "little" if order == "<" else "big")
            size = count * sizes.get(key, 0)
            if key not in sizes or at + 8 + size > len(data):
                raise PthError(f"{path}: the file is cut off, or storage {key!r} is none of its tensors'")
            places[key] = at + 8, size
            at += 8 + size

        def contents(key, size):
            place, length = places.get(key, (0, None))
            if length != size:
                raise PthError(f"{path}: storage {key} has {length} bytes; it should have {size}")
            return data[place : place + size]

        return _run(data, _Reader(contents, order, path), start)[0]


def _check(value, path):
    """Nothing but arrays, numbers, text and containers of them came out; every object is looked at once."""
    seen, left = set(), [value]
    while left:
        value = left.pop()
        if isinstance(value, (np.ndarray, int, float, str, bytes, type(None))):
            continue
        if not isinstance(value, (dict, list, tuple, set, frozenset)):
            raise PthError(f"{path}: holds a {type(value).__name__}, which is no weight")
        if id(value) not in seen:
            seen.add(id(value))
            left.extend(value)
            left.extend(value.values() if isinstance(value, dict) else ())
