"""The tests find the data of the checkout where fastdl-datasets is not installed."""

import os
from pathlib import Path

FILES = Path(__file__).parents[1] / "datasets" / "fastdl_datasets"
if FILES.is_dir():
    os.environ.setdefault("FASTDL_HOME", str(FILES))
