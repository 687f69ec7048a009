"""What every transform shares: batches in, batches out, random numbers from one place, boxes and masks along.

A transform is called on a whole batch. It first draws what is random, one row an image (`draw`), then moves the images,
boxes and masks by these same numbers (`images`, `boxes`, `masks`): no Python call an image or a pixel.
"""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.data.loader import batch_rng


class Transform:
    """Base class. transform(x), transform(x, boxes=...), transform(x, masks=...) or all three.

    Shapes   x (N, C, H, W), or one image (C, H, W); Tensor or array in, the same out.
             boxes: a list of N arrays (K, 4), x1 y1 x2 y2 in pixels, pixel i reaching from i to i + 1; one (K, 4) for one
             image. They come back as a list (same K each; a box that has left the image has no area).
             masks: labels (N, H, W) or (N, K, H, W), moved by nearest neighbour; outside is 0.
    Returns  x, or the tuple (x, boxes), (x, masks), (x, boxes, masks) of what was given
    Random   from fastdl.data.batch_rng(): inside a DataLoader a function of (seed, epoch, batch), the same for any number
             of workers; outside from the global generator that manual_seed starts. rng=...: from that one
    Errors   TypeError for images that are not float32 or float64, ValueError for other shapes
    """

    any_dtype = False  # may images be integers?

    def __call__(self, x, boxes=None, masks=None, rng=None):
        array = x.array if isinstance(x, Tensor) else np.asarray(x)
        single = array.ndim == 3
        if single:
            array, boxes, masks = (
                array[None],
                None if boxes is None else [boxes],
                None if masks is None else np.asarray(masks)[None],
            )
        boxes, masks = self._check(array, boxes, masks)
        size = array.shape[2:]
        parameters = self.draw(array.shape, batch_rng() if rng is None else rng)
        out = [self.images(array, parameters)]
        if boxes is not None:
            out.append(self.boxes(boxes, parameters, size))
        if masks is not None:
            out.append(self.masks(masks, parameters))
        if single:
            out = [one[0] for one in out]
        if isinstance(x, Tensor):
            out[0] = Tensor(out[0])
        return out[0] if len(out) == 1 else tuple(out)

    def _check(self, x, boxes, masks):
        name = type(self).__name__
        if x.ndim != 4:
            raise ValueError(f"{name}: expected images (N, C, H, W) or one (C, H, W); got shape {x.shape}")
        if not self.any_dtype and x.dtype.kind != "f":
            raise TypeError(f"{name}: expected floating images in 0..1, got {x.dtype}; hint: put ToFloat() before it")
        if boxes is not None:
            if len(boxes) != len(x):
                raise ValueError(f"{name}: {len(x)} images need as many arrays of boxes; got {len(boxes)}")
            boxes = [np.asarray(b.array if isinstance(b, Tensor) else b, np.float32).reshape(-1, 4) for b in boxes]
        if masks is not None:
            masks = masks.array if isinstance(masks, Tensor) else np.asarray(masks)
            if masks.ndim not in (3, 4) or (len(masks), *masks.shape[-2:]) != (len(x), *x.shape[2:]):
                raise ValueError(f"{name}: masks {masks.shape} do not fit images {x.shape}: (N, H, W) or (N, K, H, W)")
        return boxes, masks

    def draw(self, shape, rng):
        """The random numbers for a batch of this shape."""

    def images(self, x, parameters):
        """The images (N, C, H, W) moved."""
        return x

    def boxes(self, boxes, parameters, size):
        """The boxes moved; size (H, W) is that of the images before."""
        return boxes

    def masks(self, masks, parameters):
        """The masks moved."""
        return masks

    def __repr__(self):
        shown = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({shown})"


class Compose(Transform):
    """One transform after the other. Neighbours that move pixels by an affine map are joined to one resampling.

    Example
    >>> from fastdl.data.transforms import RandomAffine, RandomHorizontalFlip
    >>> augment = Compose([RandomAffine(10, translate=(0.1, 0.1)), RandomHorizontalFlip()])
    >>> augment(np.zeros((8, 3, 32, 32), np.float32)).shape
    (8, 3, 32, 32)
    """

    any_dtype = True

    def __init__(self, transforms):
        self.transforms = list(transforms)
        for t in self.transforms:
            if not callable(t):
                raise TypeError(f"Compose: expected transforms, got {type(t).__name__}")
        self._steps = _joined(self.transforms)

    def __call__(self, x, boxes=None, masks=None, rng=None):
        rng = batch_rng() if rng is None else rng
        given = {name: value for name, value in (("boxes", boxes), ("masks", masks)) if value is not None}
        for step in self._steps:
            if not given:
                x = step(x, rng=rng) if isinstance(step, Transform) else step(x)
            elif isinstance(step, Transform):
                x, *rest = step(x, **given, rng=rng)
                given = dict(zip(given, rest, strict=True))
            else:
                raise TypeError(f"Compose: {step!r} is no fastdl transform, so it cannot move boxes and masks")
        return (x, *given.values()) if given else x

    def __repr__(self):
        return f"Compose({self.transforms!r})"


def _joined(transforms):
    """The transforms with neighbours that know how to join replaced by one."""
    steps = []
    for t in transforms:
        together = steps[-1].join(t) if steps and hasattr(steps[-1], "join") else None
        if together is None:
            steps.append(t)
        else:
            steps[-1] = together
    return steps


class RandomApply(Transform):
    """The transforms for each image with probability p, else the image as it is. Sizes must stay the same."""

    def __init__(self, transforms, p=0.5):
        self.transform = transforms if isinstance(transforms, Transform) else Compose(transforms)
        self.p = probability("RandomApply", p)

    @property
    def any_dtype(self):
        return self.transform.any_dtype

    def __call__(self, x, boxes=None, masks=None, rng=None):
        array = x.array if isinstance(x, Tensor) else np.asarray(x)
        rng = batch_rng() if rng is None else rng
        if array.ndim == 3:
            chosen = rng.random() < self.p
            given = {name: v for name, v in (("boxes", boxes), ("masks", masks)) if v is not None}
            if chosen:
                return self.transform(x, **given, rng=rng)
            return (x, *given.values()) if given else x
        boxes, masks = self._check(array, boxes, masks)
        (chosen,) = np.nonzero(rng.random(len(array)) < self.p)
        given = {}
        if boxes is not None:
            given["boxes"] = [boxes[i] for i in chosen]
        if masks is not None:
            given["masks"] = masks[chosen]
        out, *rest = (
            self.transform(array[chosen], **given, rng=rng) if given else [self.transform(array[chosen], rng=rng)]
        )
        if out.shape[1:] != array.shape[1:]:
            raise ValueError(f"RandomApply: {self.transform!r} changes the shape {array.shape[1:]} to {out.shape[1:]}")
        result = array.astype(out.dtype)
        result[chosen] = out
        results = [Tensor(result) if isinstance(x, Tensor) else result]
        moved = dict(zip(given, rest, strict=True))
        if boxes is not None:
            boxes = list(boxes)
            for i, b in zip(chosen, moved["boxes"], strict=True):
                boxes[i] = b
            results.append(boxes)
        if masks is not None:
            masks = masks.copy()
            masks[chosen] = moved["masks"]
            results.append(masks)
        return results[0] if len(results) == 1 else tuple(results)


class Views:
    """n differently drawn versions of a batch, as a tuple: what contrastive learning compares.

    Example
    >>> from fastdl.data.transforms import RandomHorizontalFlip
    >>> first, second = Views(RandomHorizontalFlip())(np.zeros((8, 3, 32, 32), np.float32))
    """

    def __init__(self, transform, n=2):
        self.transform, self.n = transform, n

    def __call__(self, x, rng=None):
        rng = batch_rng() if rng is None else rng
        return tuple(self.transform(x, rng=rng) for _ in range(self.n))


def probability(name, p):
    """p, if it is one."""
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p must lie in [0, 1]; got {p}")
    return p


def interval(name, what, value, least=None):
    """(low, high) from two numbers, or from one r: (-r, r)."""
    low, high = (-value, value) if np.isscalar(value) else value
    if low > high or (least is not None and low < least):
        raise ValueError(f"{name}: {what} must be a number or an interval (low, high); got {value!r}")
    return float(low), float(high)
