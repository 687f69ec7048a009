"""The perceptron 784-256-128-10 on MNIST 5k: 4,000 images to learn from, 1,000 to be judged on.

Epochs and settings are fixed beforehand; the test images are looked at while it trains (val in the history), but nothing is
chosen by them. The baseline is softmax regression, trained in the same run on the same images.
"""

import time

from fastdl.data import mnist5k
from fastdl.models import MLP, SoftmaxRegression
from fastdl.nn import functional as F
from fastdl.recipes import _digits
from fastdl.selection import Estimator

EPOCHS = 30


def run(
    out="runs/mlp", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True, **settings
) -> dict:
    """Train, judge, write weights, history and picture to `out`; the keys of the result are as of every recipe.

    settings  sizes, act, norm, dropout of MLP; lr, batch_size
    """
    epochs = EPOCHS if epochs is None else epochs
    unknown = settings.keys() - {"sizes", "act", "norm", "dropout", "lr", "batch_size"}
    if unknown:
        raise ValueError(
            f"mlp: there is no setting {', '.join(sorted(unknown))}; there are sizes, act, norm, dropout, lr, batch_size"
        )
    began = time.perf_counter()
    lr, batch_size = settings.pop("lr", 1e-3), settings.pop("batch_size", 32)
    sizes = {"sizes": [784, 256, 128, 10], "dropout": 0.3, **settings}
    _, _, metrics, files = _digits.fit(
        "mlp", lambda: MLP(**sizes), F.cross_entropy, out, epochs, seed, resume, progress, lr=lr, batch_size=batch_size
    )
    train, test = mnist5k()
    linear = Estimator(SoftmaxRegression(784, 10), epochs=30, schedule="cosine", seed=seed).fit(*train.tensors)
    return {
        "metrics": metrics,
        "baselines": {"test accuracy of softmax regression": linear.score(*test.tensors)},
        "seconds": time.perf_counter() - began,
        "files": [str(file) for file in files],
    }
