"""Training on composed scenes: fresh ones every epoch, and how detections and labellings of held-out ones are judged."""

import time
from pathlib import Path

import numpy as np

from fastdl.autograd import Tensor, no_grad
from fastdl.data import SceneMaker
from fastdl.metrics import SegmentationScore, mean_average_precision
from fastdl.optim import Adam
from fastdl.optim.lr_scheduler import LambdaLR
from fastdl.random import manual_seed
from fastdl.train import Trainer

TEST_SEED = 10_000  # scenes to be judged on: always the same


def statistics(maker, n=500):
    """(mean, std) of the channels of scenes from `maker`, which is the train part's."""
    return maker.draw(n, seed=1).statistics()


def test_scenes(maker, n=300):
    """The held-out scenes that go with a maker of train scenes: the same settings, other instances and backgrounds."""
    other = SceneMaker(maker.kind, "test", maker.size, maker.objects, maker.extent, maker.background, maker.dim)
    return other.draw(n, seed=TEST_SEED)


class SceneLoader:
    """Batches (x (n, C, H, W) Tensor, Scenes); each epoch draws `scenes` new ones, by seed and epoch alone."""

    def __init__(self, maker, scenes, batch, stats, seed=0):
        self.maker, self.scenes, self.batch, self.stats, self.seed = maker, scenes, batch, stats, seed
        self._epoch = self._done = 0

    def __len__(self):
        return -(-self.scenes // self.batch)

    def state_dict(self):
        return {"epoch": self._epoch, "batch": self._done}

    def load_state_dict(self, state):
        self._epoch, self._done = int(state["epoch"]), int(state["batch"])

    def __iter__(self):
        drawn = self.maker.draw(self.scenes, seed=1000 * (self.seed + 1) + self._epoch)
        for i in range(self._done, len(self)):
            part = drawn[i * self.batch : (i + 1) * self.batch]
            self._done = i + 1
            yield Tensor(part.inputs(*self.stats)), part
        self._epoch, self._done = self._epoch + 1, 0


class SceneTrainer(Trainer):
    """A Trainer whose loss is function(model, x, scenes)."""

    def forward(self, batch):
        x, scenes = batch
        return self.loss(self.model, x, scenes), x, None


def fit(model, loss, maker, stats, epochs, scenes=2500, batch=16, lr=3e-3, seed=0, decay=1e-4, **trainer):
    """Train with Adam and a cosine schedule after a short warm-up; returns the seconds. trainer: out, resume, progress."""
    began = time.perf_counter()
    loader = SceneLoader(maker, scenes, batch, stats, seed)
    total = epochs * len(loader)
    warm = max(1, total // 20)
    optimizer = Adam([p for p in model.parameters() if p.requires_grad], lr=lr, weight_decay=decay)
    schedule = LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, 0.5 + 0.5 * np.cos(np.pi * min(1, step / total)))
    )
    resume = trainer.pop("resume", False)
    options = {"progress": False, "clip_norm": 10.0, **trainer}
    SceneTrainer(model, loss, optimizer, scheduler=schedule, schedule_every="step", **options).fit(
        loader, epochs=epochs, resume=resume
    )
    return time.perf_counter() - began


def batches(scenes, stats, size=25):
    """Tensors (n, C, H, W) of the scenes, in order."""
    for i in range(0, len(scenes), size):
        yield Tensor(scenes[i : i + size].inputs(*stats))


def judge_masks(model, scenes, stats):
    """SegmentationScore of a model (x -> scores) on scenes."""
    score = SegmentationScore(len(scenes.classes) + 1)
    model.eval()
    with no_grad():
        for i, x in enumerate(batches(scenes, stats)):
            score.update(model(x), scenes.masks[25 * i : 25 * i + len(x.array)])
    return score


def judge_boxes(detect, scenes, stats, first=0, iou=0.5):
    """{"map", "per_class"} of detect(x) -> one dict a scene, whose labels count from `first`."""
    found = []
    with no_grad():
        for x in batches(scenes, stats):
            found += detect(x)
    return mean_average_precision(found, scenes.targets(first), iou)


def background_scores(scenes):
    """(pixel accuracy, mean IoU) of calling every pixel background."""
    score = SegmentationScore(len(scenes.classes) + 1)
    score.update(np.zeros_like(scenes.masks), scenes.masks)
    return score.pixel_accuracy(), score.mean_iou()


SETTINGS = {"kind", "size", "scenes", "batch", "lr", "test", "width", "half"}


def run(name, loss, out, epochs, seed, resume, progress, train=None, before=None, **settings) -> dict:
    """The training run of a model on scenes: train on fresh ones, judge on held-out ones, write weights, history, pictures.

    settings  kind ("digits" or "emoji"), size (pixels), scenes (an epoch), batch, lr, test (held-out scenes), width (of the
              channels, 1.0), half (weights in 16 bits, false)
    train     function(model, maker, stats, epochs, scenes, seed=, out=, progress=, batch=, lr=) in place of one fit
    before    function(model, maker, stats, seed=) that trains a part of the model beforehand
    """
    known = SETTINGS | {"head"} if name == "yolo" else SETTINGS
    unknown = settings.keys() - known
    if unknown:
        raise ValueError(
            f"{name}: there is no setting {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    for key, least in (("epochs", 1), ("scenes", 1), ("batch", 1), ("test", 1), ("size", 40)):
        value = {**settings, "epochs": epochs}.get(key, least)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: {key} must be a whole number of at least {least}; got {value!r}")
    from fastdl.recipes import _vision_bundle as bundle

    began, out = time.perf_counter(), Path(out)
    manual_seed(seed)
    maker = SceneMaker(settings.pop("kind"), "train", settings.pop("size"))
    stats, test = statistics(maker), test_scenes(maker, settings.pop("test"))
    width, half = settings.pop("width", 1.0), settings.pop("half", False)
    if isinstance(width, bool) or not isinstance(width, (int, float)) or not 0.1 <= width <= 4:
        raise ValueError(f"{name}: width must be a number in 0.1..4; got {width!r}")
    if not isinstance(half, bool):
        raise ValueError(f"{name}: half must be true or false; got {half!r}")
    head = settings.pop("head", "conv")
    model = bundle.build(name, len(maker.classes), maker.colours, maker.size, width, head)
    if before is not None:
        before(model, maker, stats, seed=seed)
    count = settings.pop("scenes")
    options = {"seed": seed, "out": out, "progress": progress, **settings}
    if train is None:
        fit(model, loss(maker), maker, stats, epochs, count, resume=resume, **options)
    else:
        out.mkdir(parents=True, exist_ok=True)
        train(model, maker, stats, epochs, count, **options)
    model.eval()
    weights = out / f"{name}.safetensors"
    bundle.save(name, model, weights, maker, stats, width, half, head)
    _, model, about = bundle.load(weights, (name,))
    if name == "fcn":
        score, (accuracy, nothing) = judge_masks(model, test, stats), background_scores(test)
        metrics = {"mean IoU": score.mean_iou(), "pixel accuracy": score.pixel_accuracy()}
        baselines = {"mean IoU of all background": nothing, "pixel accuracy of all background": accuracy}
    else:
        see = model.detect if name == "yolo" else model
        metrics = {"mAP@0.5": judge_boxes(see, test, stats, name != "yolo")["map"]}
        untrained = bundle.build(name, len(maker.classes), maker.colours, maker.size, width, head).eval()
        see = untrained.detect if name == "yolo" else untrained
        baselines = {"mAP@0.5 untrained": judge_boxes(see, test, stats, name != "yolo")["map"]}
    files = [weights, *(out / f for f in ("history.jsonl", "history.png") if (out / f).exists())]
    files += bundle.pictures(name, model, test, about, out)
    seconds = time.perf_counter() - began
    return {"metrics": metrics, "baselines": baselines, "seconds": seconds, "files": [str(f) for f in files]}
