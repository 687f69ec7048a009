"""FCN with two skips on composed scenes: fresh ones every epoch, 300 held-out ones to be judged on.

Train and test scenes share no digit (or emoji) and no part of a photograph. Settings are fixed beforehand. kind="emoji" trains on
emoji of ten classes in two drawing styles on photographs in colour, instead of MNIST digits on textures.
"""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.models.fcn import loss as pixel_loss
from fastdl.recipes import _scenes

EPOCHS = 6
DEFAULTS = {"kind": "digits", "size": 64, "scenes": 2500, "batch": 16, "lr": 3e-3, "test": 300}


def loss(maker):
    """function(model, x, scenes) -> the loss of a batch."""
    return lambda model, x, scenes: pixel_loss(model(x), Tensor(scenes.masks.astype(np.int64)))


def run(
    out="runs/fcn", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True, **settings
) -> dict:
    """Train, judge, write weights, history and pictures to `out`; the keys of the result are as of every recipe.

    settings  kind ("digits", "emoji"), size (pixels), scenes (an epoch), batch, lr, test (held-out scenes), width (of the
              channels), half (weights in 16 bits)
    """
    epochs = EPOCHS if epochs is None else epochs
    return _scenes.run("fcn", loss, out, epochs, seed, resume, progress, **{**DEFAULTS, **settings})
