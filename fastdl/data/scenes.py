"""Scenes for detection and segmentation: real digits or emoji on real photographs, with exact boxes, classes and masks.

Nothing is shared between the parts: train scenes take train digits (or emoji) and the top half of each photograph, test
scenes test ones and the bottom half. Scenes come in batches, by a few NumPy calls each, and are a function of the seed.
"""

import functools
from dataclasses import dataclass

import numpy as np

from fastdl.data.emoji import emoji
from fastdl.data.mnist import mnist5k
from fastdl.data.photos import TEXTURES, photos

PHOTOGRAPHS = ("astronaut", "chelsea", "china", "coffee", "flower", "motorcycle_left", "rocket")
DIGITS = tuple("0123456789")
EMOJI = {  # class: the subcategories of fastdl.data.emoji() that it gathers
    "face": ("face-affection", "face-concerned", "face-glasses", "face-hand", "face-neutral-skeptical", "face-smiling",
             "face-tongue", "face-unwell"),
    "heart": ("heart",), "clock": ("time",), "flag": ("country-flag",), "mammal": ("animal-mammal",), "bird": ("animal-bird",),
    "fruit": ("food-fruit", "food-vegetable"), "vehicle": ("transport-ground",), "clothing": ("clothing",), "arrow": ("arrow",),
}  # fmt: skip
INK = 64  # a digit is where its grey value is above this
OPAQUE = 128  # an emoji is where its alpha is at least this
TRIES = 24  # places looked at for each object


@dataclass(frozen=True)
class Scenes:
    """N composed images and what is in them.

    images     (N, C, H, W) uint8, C = 1 (grey) or 3
    masks      (N, H, W) uint8: 0 background, class + 1 on an object
    instances  (N, H, W) uint8: 0 background, 1, 2, ... the number of the object in its scene
    boxes      N arrays (G, 4) float32: x1, y1, x2, y2, tight around the object's mask
    labels     N arrays (G,) int64
    classes    names of the labels
    """

    images: np.ndarray
    masks: np.ndarray
    instances: np.ndarray
    boxes: list
    labels: list
    classes: tuple

    def __len__(self):
        return len(self.images)

    def __getitem__(self, which):
        """The scenes at a slice or a list of indices, as Scenes."""
        which = np.arange(len(self))[which].reshape(-1)
        pick = lambda values: [values[i] for i in which]  # noqa: E731
        arrays = (self.images[which], self.masks[which], self.instances[which])
        return Scenes(*arrays, pick(self.boxes), pick(self.labels), self.classes)

    def targets(self, first=0) -> list[dict]:
        """One dict {"boxes", "labels"} a scene, labels counted from `first` (1 where 0 stands for background)."""
        return [{"boxes": b, "labels": c + first} for b, c in zip(self.boxes, self.labels)]

    def statistics(self):
        """(mean, standard deviation) of each channel, in 0..1, each (C, 1, 1) float32; take them from the train part."""
        x = self.images.astype(np.float32) / 255
        axes = (0, 2, 3)
        return tuple(f(axes).astype(np.float32)[:, None, None] for f in (x.mean, x.std))

    def inputs(self, mean=0.0, std=1.0) -> np.ndarray:
        """(N, C, H, W) float32: (images / 255 - mean) / std."""
        return ((self.images.astype(np.float32) / 255 - mean) / std).astype(np.float32)


class SceneMaker:
    """Draws scenes.

    kind        "digits" (MNIST 5k, ten classes, grey) or "emoji" (ten classes, two drawing styles, in colour)
    part        "train" or "test"
    size        height and width in pixels
    objects     least and most objects a scene; one that finds no free place is left out
    extent      least and most side of an object's square, in pixels; the mask in it is a little smaller
    background  names of photographs (default: textures for digits, photographs for emoji), or "plain": mid-grey
    dim         what the background's brightness is multiplied with

    Example
    >>> scenes = SceneMaker("digits", "train", size=64).draw(8, seed=0)
    >>> scenes.images.shape, scenes.masks.dtype
    ((8, 1, 64, 64), dtype('uint8'))
    """

    def __init__(
        self, kind="digits", part="train", size=64, objects=(1, 3), extent=(20, 34), background=None, dim=None
    ):
        if kind not in ("digits", "emoji") or part not in ("train", "test"):
            raise ValueError(f"SceneMaker: kind is digits or emoji, part train or test; got {kind!r}, {part!r}")
        if not 0 <= objects[0] <= objects[1] or not 8 <= extent[0] <= extent[1] <= size:
            raise ValueError(
                f"SceneMaker: objects must be (least, most), extent (least, most) within 8..{size}; got {objects}, {extent}"
            )
        self.kind, self.part, self.size, self.objects, self.extent = kind, part, size, objects, extent
        self.dim = (0.6 if kind == "digits" else 1.0) if dim is None else dim
        self.background = background or (TEXTURES if kind == "digits" else PHOTOGRAPHS)
        self.colours = 1 if kind == "digits" else 3
        self.classes = DIGITS if kind == "digits" else tuple(EMOJI)
        self._spread = _spreaders(28 if kind == "digits" else 32, *extent)

    def draw(self, n, seed=0) -> Scenes:
        """n scenes; the same for the same seed and settings."""
        rng = np.random.default_rng([seed, self.part == "test"])
        S = self.size
        canvas = self._backgrounds(n, rng)  # (n, S, S, C) float32, 0..255
        masks, instances = np.zeros((n, S, S), np.uint8), np.zeros((n, S, S), np.uint8)
        wanted = rng.integers(self.objects[0], self.objects[1] + 1, n)
        placed = np.zeros((n, 0, 4), np.int64)  # boxes so far; one that was left out is (0, 0, 0, 0)
        labels = np.zeros((n, 0), np.int64)
        for slot in range(self.objects[1]):
            sprite, solid, label = self._objects(n, rng)  # (n, P, P, C + 1) with alpha last; (n, P, P) bool
            inner = _tight(solid)  # (n, 4) in the sprite
            box, free = _place(inner[:, 2:] - inner[:, :2], placed, S, rng)
            free &= slot < wanted
            who = np.flatnonzero(free)
            _paste(canvas, sprite, who, box[:, :2] - inner[:, :2], self.kind == "digits")
            i, y, x = np.nonzero(solid[who])
            i = who[i]
            y, x = y + box[i, 1] - inner[i, 1], x + box[i, 0] - inner[i, 0]
            masks[i, y, x] = label[i] + 1
            instances[i, y, x] = (placed[i] != 0).any(2).sum(1) + 1
            placed = np.concatenate([placed, np.where(free[:, None], box, 0)[:, None]], 1)
            labels = np.concatenate([labels, label[:, None]], 1)
        there = (placed != 0).any(2)
        images = np.clip(np.rint(canvas), 0, 255).astype(np.uint8).transpose(0, 3, 1, 2)
        boxes = [placed[k][there[k]].astype(np.float32) for k in range(n)]
        return Scenes(
            np.ascontiguousarray(images), masks, instances, boxes, [labels[k][there[k]] for k in range(n)], self.classes
        )

    def _backgrounds(self, n, rng):
        S = self.size
        if self.background == "plain":
            return np.full((n, S, S, self.colours), 127.5 * self.dim, np.float32)
        halves = photo_halves(tuple(self.background), self.part, self.colours)
        for name, half in zip(self.background, halves):
            if min(half.shape[:2]) < S:
                raise ValueError(f"SceneMaker: half of {name} is {half.shape[:2]} pixels, too small for size {S}")
        which = rng.integers(len(halves), size=n)
        u, v = rng.random((2, n))
        flip = rng.random(n) < 0.5
        out = np.empty((n, S, S, self.colours), np.float32)
        for k, half in enumerate(halves):
            mine = np.flatnonzero(which == k)
            top, left = ((r[mine] * (m - S + 1)).astype(int) for r, m in zip((u, v), half.shape))
            windows = np.lib.stride_tricks.sliding_window_view(half, (S, S), (0, 1))  # (h, w, C, S, S)
            out[mine] = windows[top, left].transpose(0, 2, 3, 1)
        out[flip] = out[flip, :, ::-1].copy()
        return out * np.float32(self.dim)

    def _objects(self, n, rng):
        """One object for each scene, of a random class, instance and size, in a square of the largest size."""
        pictures, starts, counts = _sprites(self.kind, self.part)
        label = rng.integers(len(self.classes), size=n)
        instance = starts[label] + (rng.random(n) * counts[label]).astype(int)
        spread = self._spread[rng.integers(len(self._spread), size=n)]  # (n, P, 32)
        source = pictures[instance].astype(np.float32)  # (n, C + 1, 32, 32)
        if self.kind == "emoji":  # colours weigh by their opacity, or edges would take on what is hidden
            source[:, :3] *= source[:, 3:] / 255
        sprite = np.matmul(np.matmul(spread[:, None], source), spread[:, None].transpose(0, 1, 3, 2))
        sprite = sprite.transpose(0, 2, 3, 1)  # (n, P, P, C + 1)
        solid = sprite[..., -1] > INK if self.kind == "digits" else sprite[..., -1] >= OPAQUE
        return sprite, solid, label


@functools.cache
def _sprites(kind, part):
    """((M, C + 1, h, w) uint8 sorted by class, first of each class, number of each class)."""
    if kind == "digits":
        data = getattr(mnist5k(), part)
        x, y = (t.array for t in data.tensors)
        pictures = np.rint(x * 255).astype(np.uint8).repeat(2, 1)  # the grey value is its own alpha
    else:
        table = getattr(emoji(), part)
        of = {sub: k for k, subs in enumerate(EMOJI.values()) for sub in subs}
        y = np.array([of.get(sub, -1) for sub in table.subcategory])
        known = np.flatnonzero(y >= 0)
        pictures = np.concatenate([table.google[known], table.twitter[known]]).transpose(0, 3, 1, 2)
        y = np.tile(y[known], 2)
        seen = (pictures[:, 3] >= OPAQUE).sum((1, 2)) >= 64  # a few pictures are all but transparent
        pictures, y = pictures[seen], y[seen]
    order = np.argsort(y, kind="stable")
    counts = np.bincount(y)
    return np.ascontiguousarray(pictures[order]), np.cumsum(counts) - counts, counts


@functools.cache
def photo_halves(names, part, colours):
    """The half of every photograph that belongs to this part, (h, w, C) uint8."""
    out = []
    for name in names:
        image = photos()[name]
        image = image[..., None] if image.ndim == 2 else image
        middle = image.shape[0] // 2
        image = image[:middle] if part == "train" else image[middle:]
        if colours == 1 and image.shape[2] == 3:
            image = np.rint(image @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None]
        out.append(np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], colours))))
    return out


@functools.cache
def _spreaders(source, least, most):
    """(most - least + 1, most, source): matrices that resize a line of `source` pixels bilinearly to each size, zero beyond it."""
    out = np.zeros((most - least + 1, most, source), np.float32)
    for k, size in enumerate(range(least, most + 1)):
        place = np.clip((np.arange(size) + 0.5) * source / size - 0.5, 0, source - 1)
        low = np.minimum(place.astype(int), source - 2)
        out[k, np.arange(size), low] = 1 - (place - low)
        out[k, np.arange(size), low + 1] += place - low
    return out


def _tight(solid):
    """(n, 4) boxes x1, y1, x2, y2 of masks (n, P, P)."""
    columns, rows = solid.any(1), solid.any(2)
    P = solid.shape[1]
    first = [m.argmax(1) for m in (columns, rows)]
    last = [P - m[:, ::-1].argmax(1) for m in (columns, rows)]
    return np.stack([*first, *last], 1)


def _place(sizes, placed, S, rng):
    """((n, 4) boxes of these sizes, (n,) whether the box is clear of those placed before, by a pixel at least)."""
    n = len(sizes)
    corner = (rng.random((n, TRIES, 2)) * (S - sizes + 1)[:, None]).astype(np.int64)
    box = np.concatenate([corner, corner + sizes[:, None]], 2)  # (n, TRIES, 4)
    before = placed[:, None]  # (n, 1, slots, 4)
    apart = (box[:, :, None, :2] > before[..., 2:]).any(-1) | (box[:, :, None, 2:] < before[..., :2]).any(-1)
    clear = (apart | (before == 0).all(-1)).all(2)  # (n, TRIES)
    first = clear.argmax(1)
    return box[np.arange(n), first], clear.any(1)


def _paste(canvas, sprite, who, offset, brightest):
    """Draw sprites over the scenes `who`: the brighter of both where there is ink, or blended by alpha."""
    S = canvas.shape[1]
    alpha = sprite[who][..., -1]
    i, y, x = np.nonzero(alpha > (INK if brightest else 0))
    i = who[i]
    at_y, at_x = y + offset[i, 1], x + offset[i, 0]
    inside = (at_y >= 0) & (at_x >= 0) & (at_y < S) & (at_x < S)
    i, y, x, at_y, at_x = (v[inside] for v in (i, y, x, at_y, at_x))
    new, old = sprite[i, y, x], canvas[i, at_y, at_x]  # (m, C + 1), (m, C)
    if brightest:
        canvas[i, at_y, at_x] = np.maximum(old, new[:, :-1])
    else:
        canvas[i, at_y, at_x] = new[:, :-1] + old * (1 - new[:, -1:] / 255)
