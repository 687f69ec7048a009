"""Entry 2: data, model, loss and optimizer, joined by one loop that can be stopped and resumed without a trace."""

import tempfile

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.data import DataLoader, TensorDataset, batch_rng, digits
from fastdl.gates import Claim, gate
from fastdl.io.checkpoint import load_latest
from fastdl.metrics import accuracy
from fastdl.optim import Adam
from fastdl.optim.lr_scheduler import CosineAnnealingLR
from fastdl.random import get_rng_state, manual_seed
from fastdl.train import EMAWeights, Trainer


class _Noisy(TensorDataset):
    """Every batch with noise of its own: augmentation has to come back too."""

    def take(self, indices):
        x, y = super().take(indices)
        x.array += 0.1 * batch_rng().standard_normal(x.shape, np.float32)
        return x, y


def _life(out, epochs, total, seed, train, test, resume=False):
    """One process's worth of training: everything is made anew, then `epochs` epochs of `total` are reached."""
    manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10)
    )
    optimizer = Adam(model.parameters(), lr=3e-3)
    learn = DataLoader(train, batch_size=32, shuffle=True, seed=seed, num_workers=1)
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optimizer, scheduler=CosineAnnealingLR(optimizer, total * len(learn)),
        schedule_every="step", metrics={"accuracy": accuracy}, callbacks=[EMAWeights(0.99)], out=out, progress=False,
    )  # fmt: skip
    records = trainer.fit(learn, DataLoader(test, batch_size=200), epochs, resume=resume)
    saved = load_latest(trainer.out / "checkpoints")
    numbers = [{k: v for k, v in r.items() if k != "seconds"} for r in records]
    return trainer, saved, numbers, get_rng_state()


def _differences(a, b) -> int:
    """How many numbers of two nested states differ in any bit."""
    a, b = (t.array if isinstance(t, Tensor) else t for t in (a, b))
    if isinstance(a, dict):
        return len(a.keys() ^ b.keys()) + sum(_differences(a[k], b[k]) for k in a.keys() & b.keys())
    if isinstance(a, (list, tuple)):
        return abs(len(a) - len(b)) + sum(_differences(x, y) for x, y in zip(a, b))
    if isinstance(a, np.ndarray):
        return a.size if a.dtype != b.dtype or a.shape != b.shape else int((a != b).sum())
    return int(a != b)


@gate(entry=2, name="resume_bit_for_bit")
def resume_bit_for_bit(seed=0, smoke=False):
    """A perceptron with batch norm and dropout on noisy 8x8 digits: 2 + 2 epochs with a checkpoint between are 4 epochs, bit
    for bit (weights, averaged weights, Adam's state, schedule, random streams, history), and it beats the nearest class mean."""
    half = 1 if smoke else 2
    train, test = digits()
    noisy = _Noisy(*train.tensors)
    with tempfile.TemporaryDirectory() as folder:
        _, saved, records, stream = _life(f"{folder}/whole", 2 * half, 2 * half, seed, noisy, test)
        _life(f"{folder}/parts", half, 2 * half, seed, noisy, test)
        again, saved_again, records_again, stream_again = _life(
            f"{folder}/parts", 2 * half, 2 * half, seed, noisy, test, resume=True
        )
    other = _life_differs(saved, saved_again)
    x, y = (t.array for t in train.tensors)
    means = np.stack([x[y == c].mean(0).ravel() for c in range(10)])  # (10, 64)
    x, y = (t.array for t in test.tensors)
    distance = np.square(x.reshape(len(x), 1, 64) - means).sum(-1)  # (N, 10)
    nearest = float((distance.argmin(1) == y).mean())
    value = again.evaluate(DataLoader(test, batch_size=200))["accuracy"]
    return [
        Claim("weights that differ after the resumed run", _differences(saved["model"], saved_again["model"]), "==", 0),
        Claim(
            "numbers of Adam's state that differ", _differences(saved["optimizer"], saved_again["optimizer"]), "==", 0
        ),
        Claim("other state that differs (schedule, averages, loaders)", other, "==", 0),
        Claim("random streams that differ", _differences(stream, stream_again), "==", 0),
        Claim("numbers of the history that differ", _differences(records, records_again), "==", 0),
        Claim(
            "test accuracy, digits 8x8",
            value,
            ">=",
            nearest if smoke else 0.94,
            baseline=("nearest class mean", nearest),
        ),
    ]


def _life_differs(a, b):
    """The rest of two checkpoints but for the times in them."""
    return _differences(*({k: v for k, v in s["state"].items() if k != "seconds"} for s in (a, b)))
