"""Faster R-CNN (stride 4, nine anchors) on composed scenes: fresh ones every epoch, 300 held-out ones to be judged on.

Train and test scenes share no digit (or emoji) and no part of a photograph. Settings are fixed beforehand. kind="emoji" trains on
emoji of ten classes in two drawing styles on photographs in colour, instead of MNIST digits on textures.

scheme="joint" adds all losses. scheme="alternating" is the paper's four steps (section 3.2): a network of proposals; a detector
with convolutions of its own on these; proposals again, on the detector's convolutions, now fixed; and the detector's head.
"""

import copy
from pathlib import Path

from fastdl.autograd import no_grad
from fastdl.detection.rpn import check_targets
from fastdl.recipes import _scenes
from fastdl.recipes._scenes import fit

EPOCHS = 6
DEFAULTS = {"kind": "digits", "size": 96, "scenes": 1200, "batch": 8, "lr": 3e-3, "test": 300}


def loss(maker):
    """function(model, x, scenes) -> the loss of a batch."""
    return lambda model, x, scenes: sum(model(x, scenes.targets(1)).values())


def _targets(model, x, scenes):
    size = tuple(x.shape[2:])
    return size, check_targets(scenes.targets(1), [size] * len(scenes), model.num_classes)


def _proposal_loss(model, x, scenes):
    _fix(model)
    size, targets = _targets(model, x, scenes)
    return sum(model.rpn(model.maps(x), size, targets)[1].values())


def _head_loss(proposer):
    """The loss of a model's head on the proposals of another model, or of its own."""

    def loss(model, x, scenes):
        size, targets = _targets(model, x, scenes)
        mode = proposer.training
        with no_grad():
            proposals = proposer.eval().proposals(x)
        proposer.train(mode)
        _fix(model)
        return sum(model.roi_heads(model.maps(x), proposals, [size] * len(scenes), targets)[1].values())

    return loss


def _fix(model):
    """Keep the statistics of fixed convolutions as they are."""
    if not any(p.requires_grad for p in model.backbone.parameters()):
        model.backbone.eval()


def alternate(model, maker, stats, epochs, scenes, out=None, **options):
    """The four steps; each goes on for `epochs`. `model` ends as the detector with shared convolutions."""
    first = copy.deepcopy(model)

    def step(number, net, loss):
        fit(net, loss, maker, stats, epochs, scenes, out=out and Path(out) / f"step{number}", **options)

    step(1, first, _proposal_loss)
    step(2, model, _head_loss(first))
    model.rpn.load_state_dict(first.rpn.state_dict())
    model.backbone.requires_grad_(False)
    step(3, model, _proposal_loss)
    step(4, model, _head_loss(model))
    model.requires_grad_(True)


def run(
    out="runs/faster_rcnn",
    epochs: int | None = None,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    **settings,
) -> dict:
    """Train, judge, write weights, history and pictures to `out`; the keys of the result are as of every recipe.

    settings  scheme ("joint"; "alternating", which does not resume), kind ("digits", "emoji"), size (pixels), scenes (an epoch),
              batch, lr, test (held-out scenes), width (of the channels), half (weights in 16 bits)
    """
    epochs = EPOCHS if epochs is None else epochs
    scheme = settings.pop("scheme", "joint")
    if scheme not in ("joint", "alternating"):
        raise ValueError(f"faster_rcnn: scheme must be 'joint' or 'alternating'; got {scheme!r}")
    train = alternate if scheme == "alternating" else None
    return _scenes.run("faster_rcnn", loss, out, epochs, seed, resume, progress, train, **{**DEFAULTS, **settings})
