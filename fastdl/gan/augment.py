"""Differentiable augmentation: the discriminator sees real and generated images only after the same kinds of random change.

With few images a discriminator learns them by heart and the generator collapses. Changing the real ones alone would teach the
generator the changes; changing both, with a gradient through the change, does not.

    colour   brightness +- 1/2, saturation times 0..2, contrast times 1/2..3/2
    shift    up to an eighth of the side, zeros come in at the edge
    cutout   a square of half the side becomes zero

Ref  Zhao, Liu, Lin, Zhu, Han, "Differentiable Augmentation for Data-Efficient GAN Training", 2020, arXiv 2006.10738
"""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.nn import functional as F
from fastdl.ops.random import numpy_generator
from fastdl.ops.shape import cat

POLICIES = ("colour", "shift", "cutout")
SHIFTS = 8  # so many different shifts in a batch


def _colour(x, rng):
    u = lambda: Tensor(rng.random((x.shape[0], 1, 1, 1)).astype(x.array.dtype))  # noqa: E731
    x = x + (u() - 0.5)
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (u() * 2) + grey
    middle = x.mean((1, 2, 3), keepdim=True)
    return (x - middle) * (u() + 0.5) + middle


def _shift(x, rng):
    N, _, H, W = x.shape
    most = max(1, round(min(H, W) / 8))
    groups = np.array_split(np.arange(N), min(SHIFTS, N))
    padded, parts = F.pad(x, (most,) * 4), []
    for rows in groups:
        r, c = (int(v) for v in rng.integers(0, 2 * most + 1, 2))
        parts.append(padded[int(rows[0]) : int(rows[-1]) + 1, :, r : r + H, c : c + W])
    return cat(parts, 0)


def _cutout(x, rng):
    N, _, H, W = x.shape
    row, column = (rng.integers(0, side + 1 - side % 2, N)[:, None] for side in (H, W))
    inside = [np.abs(np.arange(side) + 0.5 - at) < side / 4 for side, at in ((H, row), (W, column))]
    keep = ~(inside[0][:, :, None] & inside[1][:, None, :])
    return x * Tensor(keep[:, None].astype(x.array.dtype))


def diff_augment(x, policy=POLICIES, generator=None) -> Tensor:
    """Images x (N, C, H, W), each changed at random in the ways of `policy`, in that order; a gradient flows through.

    generator: a fastdl Generator, or None for the global stream. ValueError for an unknown policy or another shape.
    """
    if len(x.shape) != 4:
        raise ValueError(f"diff_augment: expected images (N, C, H, W); got shape {x.shape}")
    unknown = [p for p in policy if p not in POLICIES]
    if unknown or isinstance(policy, str):
        raise ValueError(f"diff_augment: policy must be some of {', '.join(POLICIES)}; got {policy!r}")
    rng = numpy_generator(generator)
    for name in policy:
        x = {"colour": _colour, "shift": _shift, "cutout": _cutout}[name](x, rng)
    return x
