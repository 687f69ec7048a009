"""SimCLR on the digits of MNIST 5k without their labels, judged by a linear probe that sees ten labels a class.

Baselines, the same probe on the same images: raw pixels, and the encoder before training. The probe is a logistic regression
on the frozen features of the training images; 5 draws of 100 labels, the mean accuracy on the 1,000 test images.
"""

import time
from pathlib import Path

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.data import DataLoader, TensorDataset, mnist5k
from fastdl.data.transforms import (
    Compose,
    GaussianBlur,
    GaussianNoise,
    RandomAffine,
    RandomApply,
    TransformedDataset,
    Views,
)
from fastdl.io import save
from fastdl.models.simclr import SimCLR, alignment, nt_xent, uniformity
from fastdl.nn import functional as F
from fastdl.optim import Adam
from fastdl.optim.lr_scheduler import OneCycleLR
from fastdl.random import manual_seed
from fastdl.train import Trainer

EPOCHS = 20
BATCH = 250
TEMPERATURE = 0.3


class Encoder(nn.Module):
    """Four convolutions 3x3 with batch norm, each but the first halving the image: (N, 1, 28, 28) -> (N, 384)."""

    out_channels = 96 * 4

    def __init__(self):
        super().__init__()
        layers, channels = [], 1
        for width, stride in ((16, 1), (32, 2), (64, 2), (96, 2)):
            layers += [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return F.adaptive_avg_pool2d(self.layers(x), (2, 2)).flatten(1)


def network() -> SimCLR:
    """The small encoder and a head 384 -> 128 -> 32."""
    return SimCLR(Encoder(), hidden=128, projection=32)


def views() -> Views:
    """Two grey augmentations of an image: turned by 15 degrees, moved, scaled, sheared; sometimes blurred; noisy. No flips."""
    moved = RandomAffine(15, translate=(0.12, 0.12), scale=(0.75, 1.2), shear=12)
    return Views(Compose([moved, RandomApply(GaussianBlur(5, (0.4, 1.0)), 0.3), GaussianNoise(0, 0.08)]))


class Contrast(Trainer):
    """Batches are two views and the labels, which stay unused."""

    def forward(self, batch):
        first, second, _ = batch
        N = first.shape[0]
        z = self.model(Tensor(np.concatenate([first.array, second.array])))  # together, so that batch norm sees both
        return self.loss(z[:N], z[N:]), z[:N], z[N:]


def probe(h, y, h_test, y_test, labels=10, draws=5, steps=200) -> float:
    """Mean test accuracy of logistic regressions on `labels` of each class, `draws` times. Features are standardised by h."""
    mean, deviation = h.mean(0), h.std(0) + 1e-6
    h, h_test = (h - mean) / deviation, (h_test - mean) / deviation
    classes, right = int(y.max()) + 1, []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        chosen = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:labels] for c in range(classes)])
        w = Tensor(np.zeros((classes, h.shape[1]), np.float32), requires_grad=True)
        b = Tensor(np.zeros(classes, np.float32), requires_grad=True)
        x, target, optimizer = Tensor(h[chosen].astype(np.float32)), Tensor(y[chosen]), Adam([w, b], lr=0.02)
        for _ in range(steps):
            optimizer.zero_grad()
            (F.cross_entropy(F.linear(x, w, b), target) + 1e-2 * (w * w).sum()).backward()
            optimizer.step()
        scores = h_test @ w.detach().array.T + b.detach().array
        right.append(float((scores.argmax(1) == y_test).mean()))
    return float(np.mean(right))


def run(
    out="runs/simclr",
    epochs: int | None = None,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    images: int | None = None,
) -> dict:
    """Train without labels, judge by the probe, write weights and history to `out` (None: no files); see fastdl.recipes.

    images: only so many of the training images.
    """
    epochs = EPOCHS if epochs is None else epochs
    if epochs < 1:
        raise ValueError(f"simclr: epochs must be at least 1; got {epochs}")
    began, out = time.perf_counter(), None if out is None else Path(out)
    manual_seed(seed)
    split = mnist5k()
    (x, y), (x_test, y_test) = ([t.array for t in part.tensors] for part in split)
    if images is not None:
        few = np.random.default_rng(0).permutation(len(x))[:images]  # the file is sorted by class
        x, y = x[few], y[few]
    model = network()
    before = probe(model.represent(x), y, model.represent(x_test), y_test)
    pixels = probe(x.reshape(len(x), -1), y, x_test.reshape(len(x_test), -1), y_test)
    data = TransformedDataset(TensorDataset(x, y), views())
    loader = DataLoader(data, batch_size=min(BATCH, len(x)), shuffle=True, seed=seed, drop_last=True)
    optimizer = Adam(model.parameters(), lr=4e-3, weight_decay=1e-6)
    schedule = OneCycleLR(optimizer, 4e-3, total_steps=epochs * len(loader), pct_start=0.1)
    trainer = Contrast(
        model, lambda a, b: nt_xent(a, b, TEMPERATURE), optimizer, scheduler=schedule, schedule_every="step", out=out,
        progress=progress,
    )  # fmt: skip
    trainer.fit(loader, None, epochs, resume=resume)
    after = probe(model.represent(x), y, model.represent(x_test), y_test)
    model.eval()
    first, second = (model(Tensor(v)).detach().array for v in views()(x_test, rng=np.random.default_rng(seed)))
    files = []
    if out is not None:
        save(model, out / "simclr.safetensors")
        files = [out / name for name in ("simclr.safetensors", "history.jsonl", "history.png")]
    return {
        "metrics": {
            "probe accuracy, 10 labels a class": after,
            "alignment": alignment(first, second),
            "uniformity": uniformity(first),
        },
        "baselines": {"the same probe, untrained encoder": before, "the same probe, raw pixels": pixels},
        "seconds": time.perf_counter() - began,
        "files": [str(file) for file in files if file.exists()],
    }
