"""Files that appear complete or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path

__all__ = ["whole_file", "write_whole"]


@contextmanager
def whole_file(path):
    """The path of a file beside `path` to write to; it takes the place of `path` when the block ends without an error."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path, content: bytes | str) -> None:
    """Write bytes, or text in UTF-8, so that a reader finds the old file or the new one, never a part."""
    with whole_file(path) as unfinished, open(unfinished, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
