"""The generalization gap: test error minus training error, along training, data size and model size.

A small gap does not mean a good model (guessing has none), and a network that fits random labels perfectly shows that the gap
is not bounded by its capacity to fit.

Ref  Zhang, Bengio, Hardt, Recht, Vinyals, "Understanding deep learning requires rethinking generalization", 2017
"""

from dataclasses import dataclass

import numpy as np

from fastdl.selection.estimator import checked_pair, new_model
from fastdl.selection.estimator import score as default_score
from fastdl.train import Callback


class GapCallback(Callback):
    """Judges the model on training and test data after every epoch, both in evaluation mode (no dropout, no augmentation).

    train, test  loaders; give a loader of the training data without augmentation
    """

    def __init__(self, train, test):
        self.train, self.test = train, test
        self.records: list[dict] = []

    def on_epoch_end(self, trainer, record):
        row = {"epoch": record["epoch"]}
        for part, loader in (("train", self.train), ("test", self.test)):
            row.update({f"{part}_{name}": value for name, value in trainer.evaluate(loader).items()})
        self.records.append(row)

    def gap(self, name: str = "loss") -> list[float]:
        """test minus train of a metric, one number an epoch."""
        for row in self.records[:1]:
            if f"test_{name}" not in row:
                known = [key[5:] for key in row if key.startswith("test_")]
                raise KeyError(f"GapCallback.gap: nothing is called {name!r}; there are {', '.join(known)}")
        return [row[f"test_{name}"] - row[f"train_{name}"] for row in self.records]

    def state_dict(self):
        return {"records": self.records}

    def load_state_dict(self, state):
        self.records = list(state["records"])


@dataclass
class Curve:
    """Scores over sizes and seeds; error is 1 - score."""

    sizes: list
    train: np.ndarray  # (sizes, seeds)
    test: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Training score minus test score, the median over the seeds, (sizes,)."""
        return np.median(self.train - self.test, 1)


def generalization_curve(
    make_model, train, test, sizes, seeds: int = 3, random_labels: bool = False, score=None
) -> Curve:
    """Train on parts of the training data of these sizes, each with `seeds` seeds, and judge on both.

    make_model     function() -> a new model
    train, test    (x, y); parts are drawn at random from train
    random_labels  give every training item a label drawn at random: what is fitted then is memory
    """
    x, y = checked_pair(*train, "generalization_curve")
    x_test, y_test = checked_pair(*test, "generalization_curve: test")
    sizes = [int(n) for n in sizes]
    if not sizes or min(sizes) < 1 or max(sizes) > len(x):
        raise ValueError(f"generalization_curve: sizes must lie in 1..{len(x)}; got {sizes}")
    score = score or default_score
    results = np.empty((2, len(sizes), seeds))
    for s in range(seeds):
        rng = np.random.default_rng(s)
        order = rng.permutation(len(x))
        labels = rng.integers(0, int(y.max()) + 1, len(y)) if random_labels else y
        for i, n in enumerate(sizes):
            pick = order[:n]
            model = new_model(make_model, s)
            model.fit(x[pick], labels[pick])
            results[:, i, s] = score(model, x[pick], labels[pick]), score(model, x_test, y_test)
    return Curve(sizes, *results)


def model_size_curve(make_model, train, test, sizes, seeds: int = 3, score=None) -> Curve:
    """The same over the size of the model: make_model(size) -> a new model, on all of the training data."""
    x, y = checked_pair(*train, "model_size_curve")
    x_test, y_test = checked_pair(*test, "model_size_curve: test")
    score = score or default_score
    results = np.empty((2, len(sizes), seeds))
    for i, size in enumerate(sizes):
        for s in range(seeds):
            model = new_model(lambda size=size: make_model(size), s)
            model.fit(x, y)
            results[:, i, s] = score(model, x, y), score(model, x_test, y_test)
    return Curve(list(sizes), *results)
