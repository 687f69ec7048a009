"""fastdl.sklearn inside scikit-learn: its own checks of an estimator, pipelines, grid searches, ensembles, pickling."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import AdaBoostClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from fastdl import nn
from fastdl.sklearn import Classifier, Regressor

SEVEN_DIGITS = {
    "check_sample_weight_equivalence_on_dense_data": "asks for seven digits after a training; float32 has seven in one sum"
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [Classifier, Regressor])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_check_estimator(kind, dtype):
    """In float64 every check passes; in float32 the one named above may fail, and no other."""
    expected = SEVEN_DIGITS if dtype == "float32" else {}
    results = check_estimator(
        kind(dtype=dtype, epochs=100), expected_failed_checks=expected, on_fail=None, on_skip=None
    )
    failed = {r["check_name"]: str(r["exception"])[:300] for r in results if r["status"] == "failed"}
    assert not failed
    assert sum(r["status"] == "passed" for r in results) >= 55


def test_pipeline_and_grid_search():
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    pipeline = make_pipeline(StandardScaler(), Classifier(epochs=60, random_state=0))
    search = GridSearchCV(pipeline, {"classifier__hidden": [(8,), (32, 16)], "classifier__lr": [3e-3, 1e-2]}, cv=3)
    search.fit(x[::2], names[::2])
    assert search.score(x[1::2], names[1::2]) > 0.9
    assert search.predict_proba(x[:5]).shape == (5, 3)
    x, y = load_diabetes(return_X_y=True)
    regressor = make_pipeline(
        StandardScaler(), Regressor(hidden=(), epochs=300, lr=0.05, batch_size=64, random_state=0)
    )
    assert cross_val_score(regressor, x, (y - 150) / 75, cv=3).mean() > 0.4


def test_boosted_and_weighted():
    x, y = load_iris(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    model = AdaBoostClassifier(Classifier(hidden=(8,)), n_estimators=3, random_state=0).fit(x, y)
    assert model.score(x, y) > 0.9
    only = np.where(y == 2, 0.0, 1.0)
    assert 2 not in Classifier(epochs=50, random_state=0).fit(x, y, sample_weight=only).predict(x[y < 2])


def test_pickle_clone_and_a_module_of_ones_own():
    x, y = load_iris(return_X_y=True)
    model = Classifier(make_module=_module, epochs=20, random_state=3).fit(x, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(model.predict_proba(x), again.predict_proba(x))
    np.testing.assert_array_equal(clone(model).fit(x, y).predict_proba(x), model.predict_proba(x))
    assert isinstance(again.module_, nn.Sequential) and len(model.loss_curve_) == model.n_iter_ == 20


def _module(features, outputs):
    return nn.Sequential(nn.Linear(features, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, outputs))


def test_several_outputs():
    x = np.random.default_rng(0).normal(size=(100, 3))
    y = np.column_stack([x[:, 0], -x[:, 1]])
    model = Regressor(epochs=150, lr=1e-2, random_state=0).fit(x, y)
    assert model.predict(x).shape == (100, 2) and model.score(x, y) > 0.95


@pytest.mark.parametrize(
    ("settings", "message"), [({"dtype": "float16"}, "dtype"), ({"optimizer": "adamm"}, "optimizer")]
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        Classifier(**settings).fit(np.ones((4, 2)), [0, 1, 0, 1])
