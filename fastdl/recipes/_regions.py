"""Training the detectors that are given their regions: R-CNN, SPPNet and Fast R-CNN on composed scenes."""

import numpy as np

from fastdl.autograd import Tensor, no_grad
from fastdl.detection import box_iou
from fastdl.detection.selective_search import selective_search
from fastdl.metrics import mean_average_precision
from fastdl.nn import functional as F
from fastdl.optim import Adam

MOST = 150  # proposals a scene


def propose(scenes, most=MOST):
    """Selective search on every scene: one (P, 4) each. The truth is not looked at."""
    images = scenes.images.transpose(0, 2, 3, 1)
    return [selective_search(image, "fast", most=most, min_side=6) for image in images]


def recall(proposals, scenes, iou=0.5):
    """(share of the objects that a proposal overlaps by `iou`, mean of the best overlaps)."""
    best = np.concatenate([box_iou(b, p).max(1, initial=0) for b, p in zip(scenes.boxes, proposals) if len(b)])
    return float((best >= iou).mean()), float(best.mean())


def with_truth(proposals, scenes):
    """Proposals of train scenes with the true boxes among them."""
    return [np.concatenate([p, b]) for p, b in zip(proposals, scenes.boxes)]


def optimizer_for(model, lr, decay=1e-4):
    return Adam([p for p in model.parameters() if p.requires_grad], lr=lr, weight_decay=decay)


def anneal(optimizer, lr, step, steps):
    """Cosine to zero after a warm-up of a twentieth."""
    warm = max(1, steps // 20)
    optimizer.param_groups[0]["lr"] = lr * min((step + 1) / warm, 0.5 + 0.5 * np.cos(np.pi * step / steps))


def maps_of(model, x, batch=25):
    """The maps of all images x (N, C, H, W), of a model in eval mode."""
    model.eval()
    with no_grad():
        return np.concatenate([model.maps(Tensor(x[k : k + batch])).array for k in range(0, len(x), batch)])


def fine_tune(model, scenes, stats, proposals, steps, images=16, each=8, lr=2e-3, seed=0, background=0.0, frozen=False):
    """Train model(x, boxes) -> (K, classes + 1) on regions: a quarter with an object (IoU >= .5), the others background.

    background   least IoU of background with an object: 0 in R-CNN, 0.1 in SPPNet
    frozen       the convolutions stay as they are (their batch norms, too), and run once: model.maps and model.score
    """
    rng = np.random.default_rng(seed)
    x, score = scenes.inputs(*stats), model
    if frozen:
        x, score = maps_of(model, x), model.score
    boxes = with_truth(proposals, scenes)
    labels = []
    for b, truth, names in zip(boxes, scenes.boxes, scenes.labels):
        iou = box_iou(truth, b)
        label = np.where(iou.max(0, initial=0) >= background, 0, -1)
        if len(truth):
            near = iou.max(0) >= 0.5
            label[near] = names[iou.argmax(0)[near]] + 1
        labels.append(label)
    optimizer = optimizer_for(model, lr)
    model.train()
    for step in range(steps):
        chosen = rng.choice(len(x), images, replace=len(x) < images)
        some, names = [], []
        for k in chosen:
            up, down = np.flatnonzero(labels[k] > 0), np.flatnonzero(labels[k] == 0)
            up = rng.permutation(up)[: each // 4]
            pick = np.concatenate([up, rng.permutation(down)[: each - len(up)]])
            some.append(boxes[k][pick]), names.append(labels[k][pick])
        loss = F.cross_entropy(score(Tensor(x[chosen]), some), Tensor(np.concatenate(names)))
        anneal(optimizer, lr, step, steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def fit_heads(model, scenes, stats, proposals, seed=0):
    """SVMs and box regressions of R-CNN or SPPNet from the features of the proposals and truths."""
    model.eval()
    boxes, targets = with_truth(proposals, scenes), scenes.targets()
    features, places, near = [], [], [model.heads.near(b, t) for b, t in zip(boxes, targets)]
    with no_grad():
        for k in range(0, len(boxes), 10):
            part = boxes[k : k + 10]
            rows, maps = (t.array for t in model.describe(Tensor(scenes[k : k + 10].inputs(*stats)), part))
            ends = np.cumsum([len(b) for b in part])[:-1]
            features += np.split(rows, ends)
            # of the regions that the box regressions learn from only: all are too many to keep
            places += [m[some] for m, some in zip(np.split(maps, ends), near[k : k + 10])]
    model.heads.fit(features, boxes, targets, seed)
    if sum(map(len, near)):
        model.heads.fit_boxes(places, [b[some] for b, some in zip(boxes, near)], targets)


def train_fast_rcnn(model, scenes, stats, proposals, steps, images=4, lr=2e-3, seed=0):
    """Train Fast R-CNN end to end on scenes and their proposals."""
    rng = np.random.default_rng(seed)
    x, targets = scenes.inputs(*stats), scenes.targets(1)
    optimizer = optimizer_for(model, lr)
    model.train()
    for step in range(steps):
        chosen = rng.choice(len(x), images, replace=len(x) < images)
        losses = model(Tensor(x[chosen]), [proposals[k] for k in chosen], [targets[k] for k in chosen])
        anneal(optimizer, lr, step, steps)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()


def judge(detect, scenes, stats, proposals, first=0, batch=10, iou=0.5):
    """{"map", "per_class"} of detect(x, proposals) on scenes."""
    found = []
    with no_grad():
        for k in range(0, len(scenes), batch):
            found += detect(Tensor(scenes[k : k + batch].inputs(*stats)), proposals[k : k + batch])
    return mean_average_precision(found, scenes.targets(first), iou)
