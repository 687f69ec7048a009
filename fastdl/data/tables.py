"""Small tables for first experiments, read from the files of the installed scikit-learn (pip install scikit-learn).

Each function gives (train, test) as TensorDatasets: x (N, attributes) float32 as published, not scaled (fit a scaler on train), y
float32 (N, 1) for regression or int64 (N,) for classification. Split: fixed, see `Split`; one of five rows is in test.
"""

import csv
import functools
import gzip
import importlib.util
import io
from pathlib import Path

import numpy as np

from fastdl.data._files import frozen
from fastdl.data._split import Split, is_test
from fastdl.data.dataset import TensorDataset


@functools.cache
def diabetes() -> Split:
    """442 patients, 10 attributes (centred and scaled by the source), progression of the disease after a year (25..346).

    Example
    >>> train, test = diabetes()
    >>> len(train), len(test), train[0][0].shape, train[0][1].item()
    (354, 88, (10,), 151.0)
    """
    return _regression(_numbers("diabetes_data_raw.csv.gz"), _numbers("diabetes_target.csv.gz"), centred=True)


@functools.cache
def breast_cancer() -> Split:
    """569 tumours, 30 attributes; 0 malignant, 1 benign."""
    return _classes("breast_cancer.csv")


@functools.cache
def wine() -> Split:
    """178 wines of three cultivars, 13 attributes."""
    return _classes("wine_data.csv")


@functools.cache
def iris() -> Split:
    """150 flowers of three species, 4 attributes."""
    return _classes("iris.csv")


@functools.cache
def linnerud() -> Split:
    """20 people: 3 exercises -> weight, waist, pulse; y (N, 3) float32."""
    return _regression(_numbers("linnerud_exercise.csv", 1), _numbers("linnerud_physiological.csv", 1))


def _folder() -> Path:
    spec = importlib.util.find_spec("sklearn")
    if spec is None:
        raise ImportError("fastdl.data.tables needs scikit-learn: pip install scikit-learn")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def _numbers(name, skip=0):
    data = (_folder() / name).read_bytes()
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    rows = [line for line in data.decode().splitlines()[skip:] if line.strip()]
    delimiter = "," if "," in rows[0] else None
    return np.array([[float(v) for v in row.split(delimiter)] for row in rows])  # (N, columns)


def _regression(x, y, centred=False):
    if centred:  # as scikit-learn has it: zero mean and unit sum of squares a column
        x = x - x.mean(0)
        x /= np.sqrt(np.square(x).sum(0))
    test = np.arange(len(x)) % 5 == 2
    x, y = x.astype(np.float32), y.astype(np.float32).reshape(len(x), -1)
    return Split(*(TensorDataset(frozen(x[part]), frozen(y[part])) for part in (~test, test)))


def _classes(name):
    rows = list(csv.reader(io.StringIO((_folder() / name).read_text())))[1:]  # the first line has counts and names
    table = np.array(rows, np.float64)
    x, y = table[:, :-1].astype(np.float32), table[:, -1].astype(np.int64)
    test = is_test(y)
    return Split(*(TensorDataset(frozen(x[part]), frozen(y[part])) for part in (~test, test)))
