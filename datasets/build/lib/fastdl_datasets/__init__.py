"""Data files for fastdl. There is no code here: `fastdl.data` reads them, manifest.json lists them."""

__version__ = "0.1.0"
