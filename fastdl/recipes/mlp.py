"""The perceptron 784-256-128-10 on MNIST 5k: 4,000 images to learn from, 1,000 to be judged on.

Epochs and settings are fixed beforehand; the test images are looked at while it trains (val in the history), but nothing is
chosen by them. The baseline is softmax regression, trained in the same run on the same images.
"""

import time
from pathlib import Path

from fastdl.data import DataLoader, mnist5k
from fastdl.io import save
from fastdl.metrics import accuracy
from fastdl.models import MLP, SoftmaxRegression
from fastdl.nn import functional as F
from fastdl.optim import Adam
from fastdl.optim.lr_scheduler import CosineAnnealingLR
from fastdl.random import manual_seed
from fastdl.selection import Estimator
from fastdl.train import Trainer

EPOCHS = 30


def run(
    out="runs/mlp", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True, **settings
) -> dict:
    """Train, judge, write weights, history and picture to `out`; the keys of the result are as of every recipe.

    settings  sizes, act, norm, dropout of MLP; lr, batch_size
    """
    epochs = EPOCHS if epochs is None else epochs
    if epochs < 1:
        raise ValueError(f"mlp: epochs must be at least 1; got {epochs}")
    unknown = settings.keys() - {"sizes", "act", "norm", "dropout", "lr", "batch_size"}
    if unknown:
        raise ValueError(
            f"mlp: there is no setting {', '.join(sorted(unknown))}; there are sizes, act, norm, dropout, lr, batch_size"
        )
    began = time.perf_counter()
    out = Path(out)
    manual_seed(seed)
    train, test = mnist5k()
    lr, batch = settings.pop("lr", 1e-3), settings.pop("batch_size", 32)
    learn = DataLoader(train, batch_size=batch, shuffle=True, seed=seed)
    judge = DataLoader(test, batch_size=250)
    model = MLP(**{"sizes": [784, 256, 128, 10], "dropout": 0.3, **settings})
    optimizer = Adam(model.parameters(), lr=lr)
    trainer = Trainer(
        model,
        F.cross_entropy,
        optimizer,
        scheduler=CosineAnnealingLR(optimizer, epochs * len(learn)),
        schedule_every="step",
        metrics={"accuracy": accuracy},
        out=out,
        checkpoint_seconds=5.0,
        progress=progress,
    )
    trainer.fit(learn, judge, epochs, resume=resume)
    result = trainer.evaluate(judge)
    weights = out / "mlp.safetensors"
    save(model, weights)
    (x, y), (xt, yt) = train.tensors, test.tensors
    linear = Estimator(SoftmaxRegression(784, 10), epochs=30, schedule="cosine", seed=seed).fit(x, y)
    files = [weights, *(out / name for name in ("history.jsonl", "history.png") if (out / name).exists())]
    return {
        "metrics": {"test accuracy": result["accuracy"], "test loss": result["loss"]},
        "baselines": {"test accuracy of softmax regression": linear.score(xt, yt)},
        "seconds": time.perf_counter() - began,
        "files": [str(file) for file in files],
    }
