"""What the recipes and gates of the classification networks share: one plan a network, one training run.

A plan is the published class made small, its optimizer and its length, fixed beforehand; nothing is chosen on the test part.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastdl import models
from fastdl.autograd import Tensor
from fastdl.data import DataLoader, Split, TensorDataset, mnist5k, texture_patches
from fastdl.data.transforms import RandomCrop, TransformedDataset
from fastdl.io import save
from fastdl.metrics import accuracy
from fastdl.models import googlenet_loss as loss  # cross-entropy, and the auxiliary heads where there are any
from fastdl.optim import AdamW
from fastdl.optim.lr_scheduler import OneCycleLR
from fastdl.random import manual_seed
from fastdl.train import Trainer

BASELINES = {"logistic regression": 0.906, "nearest neighbour": 0.931}  # on the test part of MNIST 5k


@dataclass(frozen=True)
class Plan:
    """How a network is made for grey images of `size` pixels, and trained on them."""

    build: Callable  # (classes) -> network
    epochs: int
    rate: float = 4e-3
    batch: int = 50
    size: int = 28
    weight_decay: float = 0.02
    shift: int = 1  # training images move by up to so many pixels


def _grey(make, **settings):
    return lambda classes: make(in_channels=1, num_classes=classes, **settings)


PLANS = {
    "simple_cnn": Plan(lambda classes: models.SimpleCNN(1, classes), 6, rate=3e-3),
    "alexnet": Plan(_grey(models.alexnet, small_input=True, width_mult=0.2, dropout=0.2), 10, rate=1.5e-3),
    "vgg16": Plan(_grey(models.vgg16, batch_norm=True, small_input=True, width_mult=0.125, hidden=(128,), dropout=0.2), 8, size=32),
    "googlenet": Plan(_grey(models.googlenet, small_input=True, width_mult=0.125), 6),
    "resnet20": Plan(_grey(models.resnet20, width=8), 6, rate=8e-3),
    "densenet": Plan(lambda classes: models.densenet_bc(22, 8, in_channels=1, num_classes=classes), 6, rate=8e-3),
    "mobilenet": Plan(_grey(models.mobilenet_v2, small_input=True, width_mult=0.25, dropout=0.1), 5),
    "vit": Plan(
        lambda classes: models.ViT(
            image_size=28, patch=7, d=64, layers=4, heads=4, mlp=128, in_channels=1, num_classes=classes
        ),
        30, rate=2e-3, batch=100, shift=2,
    ),
}  # fmt: skip


class Classifier(Trainer):
    """Trainer whose scores are the first of what a network returns in training mode."""

    def forward(self, batch):
        x, target = batch
        output = self.model(x)
        value = self.loss(output, target)
        return value, output[0] if isinstance(output, tuple) else output, target


def prepared(split: Split, size: int) -> Split:
    """Images (N, 1, H, W) with mean 0 and deviation 1, by the training part, in a frame of `size` pixels at least."""
    mean, deviation = split.train.tensors[0].array.mean(), split.train.tensors[0].array.std()
    parts = []
    for part in split:
        x, y = (t.array for t in part.tensors)
        border = max(0, size - x.shape[2])
        x = np.pad((x - mean) / deviation, ((0, 0), (0, 0), *((border // 2, border - border // 2),) * 2), mode="edge")
        parts.append(TensorDataset(x.astype(np.float32), y))
    return Split(*parts)


def data(name: str, size: int, images: int | None = None) -> Split:
    """MNIST 5k ("mnist5k"), or patches of brick, grass and gravel ("textures"); of both parts the first `images` only."""
    split = prepared(texture_patches(size) if name == "textures" else mnist5k(), size)
    if images is None:
        return split
    few = [[t.array[np.random.default_rng(0).permutation(len(t.array))[:images]] for t in p.tensors] for p in split]
    return Split(*(TensorDataset(*arrays) for arrays in few))


def train(plan: Plan, split: Split, epochs=None, seed=0, out=None, resume=False, progress=False):
    """(trainer, {"accuracy", "loss"} on the test part) of a network trained from a seeded start."""
    manual_seed(seed)
    epochs = plan.epochs if epochs is None else epochs
    x, y = split.train.tensors
    model = plan.build(int(y.array.max()) + 1)
    crop = RandomCrop(x.shape[2], padding=plan.shift, fill=float(x.array.min())) if plan.shift else None
    learn = DataLoader(TransformedDataset(split.train, crop), batch_size=plan.batch, shuffle=True, seed=seed)
    judge = DataLoader(split.test, batch_size=250)
    optimizer = AdamW(model.parameters(), lr=plan.rate, weight_decay=plan.weight_decay)
    schedule = OneCycleLR(optimizer, plan.rate, total_steps=epochs * len(learn), pct_start=0.2)
    trainer = Classifier(
        model, loss, optimizer, scheduler=schedule, schedule_every="step", metrics={"accuracy": accuracy}, out=out,
        clip_norm=5.0, progress=progress,
    )  # fmt: skip
    trainer.fit(learn, judge if out is not None else None, epochs, resume=resume)
    return trainer, trainer.evaluate(judge)


def recipe(name: str):
    """The `run` of a recipe: the plan `name` on MNIST 5k."""

    def run(
        out=f"runs/{name}", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True
    ) -> dict:
        """Train, judge, write weights, history and picture to `out`; see fastdl.recipes."""
        plan = PLANS[name]
        if epochs is not None and epochs < 1:
            raise ValueError(f"{name}: epochs must be at least 1; got {epochs}")
        began, out = time.perf_counter(), Path(out)
        trainer, result = train(plan, data("mnist5k", plan.size), epochs, seed, out, resume, progress)
        weights = out / f"{name}.safetensors"
        save(trainer.model, weights)
        files = [weights, out / "history.jsonl", out / "history.png"]
        return {
            "metrics": {"test accuracy": result["accuracy"], "test loss": result["loss"]},
            "baselines": dict(BASELINES),
            "seconds": time.perf_counter() - began,
            "files": [str(file) for file in files if file.exists()],
        }

    return run


def predict(model, x, batch: int = 250) -> np.ndarray:
    """Scores of the images x (N, C, H, W) in evaluation mode, an array."""
    from fastdl.autograd import no_grad

    model.eval()
    with no_grad():
        return np.concatenate([model(Tensor(x[i : i + batch])).array for i in range(0, len(x), batch)])
