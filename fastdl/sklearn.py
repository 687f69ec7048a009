"""Networks as scikit-learn has its models: for pipelines, grid searches, calibration, permutation tests and the rest.

    from fastdl.sklearn import Classifier
    search = GridSearchCV(make_pipeline(StandardScaler(), Classifier()), {"classifier__hidden": [(32,), (64, 64)]})

Needs scikit-learn (extra `sklearn`). Both pass sklearn.utils.estimator_checks.check_estimator; the check that a weight of k is
the same as k copies to seven digits needs dtype="float64", since float32 has only seven.

Ref  Buitinck et al., "API design for machine learning software: experiences from the scikit-learn project", 2013
"""

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        f"fastdl.sklearn needs scikit-learn 1.6 or later: pip install -U scikit-learn ({error})"
    ) from None

from fastdl.models.mlp import MLP
from fastdl.random import fork_rng, manual_seed
from fastdl.selection.estimator import Estimator

__all__ = ["Classifier", "Regressor"]


class _Network(BaseEstimator):
    def __init__(
        self,
        hidden=(64,),
        act="relu",
        norm=None,
        dropout=0.0,
        make_module=None,
        optimizer="adam",
        lr=1e-2,
        weight_decay=0.0,
        schedule="cosine",
        epochs=200,
        batch_size="auto",
        dtype="float32",
        random_state=None,
    ):
        self.hidden, self.act, self.norm, self.dropout = hidden, act, norm, dropout
        self.make_module = make_module
        self.optimizer, self.lr, self.weight_decay, self.schedule = optimizer, lr, weight_decay, schedule
        self.epochs, self.batch_size = epochs, batch_size
        self.dtype, self.random_state = dtype, random_state

    def _train(self, x, y, sample_weight, outputs):
        """Build the network for x (N, features) and train it to y; weights are scaled so that k copies are a weight of k."""
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"{type(self).__name__}: dtype must be 'float32' or 'float64'; got {self.dtype!r}")
        batch = min(200, len(x)) if self.batch_size == "auto" else self.batch_size
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
            if not sample_weight.sum() > 0:
                raise ValueError(f"{type(self).__name__}.fit: all sample weights are 0")
            sample_weight = sample_weight * (len(x) / sample_weight.sum())
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with fork_rng():
            manual_seed(seed)
            self.module_ = self._build(x.shape[1], outputs)
        estimator = Estimator(
            self.module_,
            optimizer=self.optimizer,
            lr=self.lr,
            epochs=self.epochs,
            batch_size=batch,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            seed=seed,
        ).fit(x, y, sample_weight)
        self.loss_curve_ = estimator.history
        self.n_iter_ = len(estimator.history)

    def _build(self, features, outputs):
        """The network, in the type asked for, with the initial weights that the generator gives."""
        self._widths = (features, outputs)
        if self.make_module is not None:
            return self.make_module(features, outputs).to(self.dtype)
        sizes = [features, *np.atleast_1d(np.asarray(self.hidden, int)).tolist(), outputs]
        return MLP(sizes, act=self.act, norm=self.norm, dropout=self.dropout).to(self.dtype)

    def __getstate__(self):
        """Arrays instead of the module: tensors are not pickled."""
        state = dict(super().__getstate__())
        if "module_" in state:
            state["_weights"] = {name: t.array for name, t in state.pop("module_").state_dict().items()}
        return state

    def __setstate__(self, state):
        state = dict(state)
        weights = state.pop("_weights", None)
        super().__setstate__(state)
        if weights is not None:
            with fork_rng():
                self.module_ = self._build(*self._widths)
            self.module_.load_state_dict(weights)
            self.module_.eval()

    def _outputs(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=self.dtype)
        return Estimator(self.module_).decision_function(X)


class Classifier(ClassifierMixin, _Network):
    """A network for classes: X (N, features), y (N,) labels of any kind.

    hidden        sizes of the hidden layers of a perceptron; act, norm, dropout as of fastdl.models.MLP
    make_module   or function(features, outputs) -> Module, for another network
    optimizer     adam, adamw, sgd, or function(parameters) -> Optimizer; lr, weight_decay; schedule cosine or None
    epochs, batch_size   "auto": 200, or all items where there are fewer
    dtype         float32 or float64
    random_state  of the initial weights and the order
    After fit: classes_, module_ (the network), loss_curve_, n_iter_, n_features_in_

    Example
    >>> x = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]] * 5)
    >>> Classifier(random_state=0).fit(x, ["same", "other", "other", "same"] * 5).score(x, ["same", "other", "other", "same"] * 5)
    1.0
    """

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y, dtype=self.dtype if self.dtype in ("float32", "float64") else "float32")
        check_classification_targets(y)
        self.classes_, code = np.unique(y, return_inverse=True)
        self._train(X, code, sample_weight, len(self.classes_))
        return self

    def predict_proba(self, X):
        """Probabilities (N, classes), in the order of classes_."""
        z = self._outputs(X).astype(np.float64)
        z = np.exp(z - z.max(1, keepdims=True))
        return z / z.sum(1, keepdims=True)

    def decision_function(self, X):
        """Scores (N, classes); for two classes (N,): that of the second minus that of the first."""
        z = self._outputs(X)
        return z[:, 1] - z[:, 0] if z.shape[1] == 2 else z

    def predict(self, X):
        """Labels (N,)."""
        best = self._outputs(X).argmax(1)  # says first if it is not fitted
        return self.classes_[best]


class Regressor(RegressorMixin, _Network):
    """A network for numbers: X (N, features), y (N,) or (N, outputs); parameters as of `Classifier`.

    Scale large targets (sklearn.compose.TransformedTargetRegressor): the weights start for outputs near 1.

    Example
    >>> x = np.linspace(-1, 1, 500)[:, None]
    >>> Regressor(random_state=0).fit(x, x[:, 0] ** 2).score(x, x[:, 0] ** 2) > 0.95
    True
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X, y, sample_weight=None):
        dtype = self.dtype if self.dtype in ("float32", "float64") else "float32"
        X, y = validate_data(self, X, y, dtype=dtype, multi_output=True, y_numeric=True)
        y = np.asarray(y, dtype)
        self._shape = y.shape[1:]
        self._train(X, y.reshape(len(y), -1), sample_weight, y[0].size)
        return self

    def predict(self, X):
        """Numbers of the shape of y."""
        z = self._outputs(X).astype(np.float64)
        return z.reshape(len(z), *self._shape)
