"""The examples in docstrings do what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import fastdl

ROOT = Path(fastdl.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(("fastdl", *file.relative_to(ROOT).with_suffix("").parts))
    for file in ROOT.rglob("*.py")
    if "\n    >>> " in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some examples write files
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted and not results.failed
