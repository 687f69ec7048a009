"""YOLO v1 on composed scenes: fresh ones every epoch, 300 held-out ones to be judged on.

Train and test scenes share no digit (or emoji) and no part of a photograph. Settings are fixed beforehand. kind="emoji" trains on
emoji of ten classes in two drawing styles on photographs in colour, instead of MNIST digits on textures.

head="conv" (a 1x1 convolution) learns from nothing. head="fc" is the paper's: dense layers see the whole map, and learn only
from features that were trained to classify before, with a smaller learning rate, on smaller grids.
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.data import SceneMaker
from fastdl.models.yolo import YOLOv1Loss
from fastdl.nn import functional as F
from fastdl.optim import Adam
from fastdl.recipes import _scenes

EPOCHS = 6
DEFAULTS = {"kind": "digits", "size": 64, "scenes": 2500, "batch": 16, "test": 300, "head": "conv"}
RATES = {"conv": 3e-3, "fc": 1e-3}


def loss(maker):
    """function(model, x, scenes) -> the loss of a batch."""

    def of(model, x, scenes):
        c = model.config
        return YOLOv1Loss(c.S, c.B, c.C, c.size)(model(x), scenes.targets())

    return of


def pretrain(model, maker, stats, steps=200, batch=64, lr=3e-3, seed=0) -> float:
    """Train model.features to classify pictures of 32 x 32 with one object, as section 2.2 of the paper does on ImageNet.

    maker   of train scenes: the pictures are of its kind and part. Returns the accuracy over the last tenth of the steps.
    """
    one = SceneMaker(maker.kind, maker.part, 32, (1, 1), (20, 30), maker.background, maker.dim)
    pictures = one.draw(min(4000, steps * batch), seed=seed + 5)
    x, y = pictures.inputs(*stats), np.array([labels[0] for labels in pictures.labels])
    net = nn.Sequential(
        model.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(model.out_channels, len(maker.classes))
    )
    optimizer, rng, right = Adam(net.parameters(), lr=lr), np.random.default_rng(seed), []
    net.train()
    for step in range(steps):
        chosen = rng.choice(len(x), batch)
        optimizer.param_groups[0]["lr"] = lr * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        scores = net(Tensor(x[chosen]))
        value = F.cross_entropy(scores, Tensor(y[chosen]))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        right.append(float((scores.array.argmax(1) == y[chosen]).mean()))
    return float(np.mean(right[-max(1, steps // 10) :]))


def run(
    out="runs/yolo", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True, **settings
) -> dict:
    """Train, judge, write weights, history and pictures to `out`; the keys of the result are as of every recipe.

    settings  kind ("digits", "emoji"), head ("conv", "fc"), size (pixels), scenes (an epoch), batch, lr, test (held-out scenes),
              width (of the channels), half (weights in 16 bits)
    """
    epochs = EPOCHS if epochs is None else epochs
    settings = {**DEFAULTS, **settings}
    if settings["head"] not in RATES:
        raise ValueError(f"yolo: head must be 'conv' or 'fc'; got {settings['head']!r}")
    settings.setdefault("lr", RATES[settings["head"]])
    before = pretrain if settings["head"] == "fc" else None
    return _scenes.run("yolo", loss, out, epochs, seed, resume, progress, before=before, **settings)
