"""The tests find the data of the checkout where fastdl-datasets is not installed, and share what they compare with."""

import os
import shutil
import tempfile
from pathlib import Path

FILES = Path(__file__).parents[1] / "datasets" / "fastdl_datasets"
if FILES.is_dir():
    os.environ.setdefault("FASTDL_HOME", str(FILES))


def pytest_configure(config):
    """A folder for _references.py, made by the first process; the environment takes its name to all that are started here."""
    if "TEST_REFERENCES" not in os.environ:
        config.references = os.environ["TEST_REFERENCES"] = tempfile.mkdtemp(prefix="references")


def pytest_unconfigure(config):
    if hasattr(config, "references"):
        shutil.rmtree(config.references, ignore_errors=True)
        del os.environ["TEST_REFERENCES"]
