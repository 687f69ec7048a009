"""YOLO v1 with a convolutional head on composed scenes: fresh ones every epoch, 300 held-out ones to be judged on.

Train and test scenes share no digit (or emoji) and no part of a photograph. Settings are fixed beforehand. kind="emoji" trains on
emoji of ten classes in two drawing styles on photographs in colour, instead of MNIST digits on textures.
"""

from fastdl.models.yolo import YOLOv1Loss
from fastdl.recipes import _scenes

EPOCHS = 6
DEFAULTS = {"kind": "digits", "size": 64, "scenes": 2500, "batch": 16, "lr": 3e-3, "test": 300}


def loss(maker):
    """function(model, x, scenes) -> the loss of a batch."""
    criterion = YOLOv1Loss(maker.size // 8, 2, len(maker.classes), maker.size)
    return lambda model, x, scenes: criterion(model(x), scenes.targets())


def run(
    out="runs/yolo", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True, **settings
) -> dict:
    """Train, judge, write weights, history and pictures to `out`; the keys of the result are as of every recipe.

    settings  kind ("digits", "emoji"), size (pixels), scenes (an epoch), batch, lr, test (held-out scenes), width (of the
              channels), half (weights in 16 bits)
    """
    epochs = EPOCHS if epochs is None else epochs
    return _scenes.run("yolo", loss, out, epochs, seed, resume, progress, **{**DEFAULTS, **settings})
