"""Emoji: 1,911 small colour images, each in two drawing styles, with names and categories (Google Noto, Twitter Twemoji)."""

import functools
import re

import numpy as np

from fastdl.data._files import arrays, frozen
from fastdl.data._split import Split, held_out
from fastdl.data.table import Table

FILE = "emoji32.npz", "067f26204a6e4a8b6a94c24a557731c22cbd8f36cfd2c6f84c68993386ea090a"
_WHO = re.compile(r"\b(man|men|woman|women|person|people|male|female|boy|girl|mr|mrs|mother|father)\b")


@functools.cache
def emoji() -> Split:
    """Emoji as (train, test), each a Table with the columns

    google, twitter   (N, 32, 32, 4) uint8 RGBA of the same emoji in two styles; alpha is its exact mask
    name, short_name, category, subcategory   str
    category_id, subcategory_id   int64, places in emoji_categories() and emoji_subcategories()

    Split: of every ten emoji of a subcategory the sixth is in test; those that differ only in whom they show (man,
    woman, person ...) count as one, so that no near copy of a training image is tested.

    Example
    >>> train, test = emoji()
    >>> train.google.shape[1:], train.name[0]
    ((32, 32, 4), 'hash key')
    """
    a = arrays(*FILE)
    categories, subcategories = _names()
    words = {key: tuple(a[key].tolist()) for key in ("name", "short_name", "category", "subcategory")}
    table = Table(
        google=a["google"],
        twitter=a["twitter"],
        **words,
        category_id=frozen(np.searchsorted(categories, a["category"]).astype(np.int64)),
        subcategory_id=frozen(np.searchsorted(subcategories, a["subcategory"]).astype(np.int64)),
    )
    stems = [" ".join(_WHO.sub("", name).split()) or name for name in words["name"]]
    test = held_out(stems, 10, words["subcategory"])
    return Split(table.where(~test), table.where(test))


def emoji_categories() -> tuple[str, ...]:
    """The names that category_id counts, sorted."""
    return _names()[0]


def emoji_subcategories() -> tuple[str, ...]:
    """The names that subcategory_id counts, sorted."""
    return _names()[1]


@functools.cache
def _names():
    a = arrays(*FILE)
    return tuple(np.unique(a["category"]).tolist()), tuple(np.unique(a["subcategory"]).tolist())


def composite(rgba, background=255) -> np.ndarray:
    """Images (N, H, W, 4) or (H, W, 4) uint8 RGBA laid on a background: (N, 3, H, W) or (3, H, W) float32 in 0..1.

    background: a number 0..255, an RGB triple, or images (..., H, W, 3) of the same size, uint8.
    """
    rgba = np.asarray(rgba)
    if rgba.dtype != np.uint8 or rgba.ndim < 3 or rgba.shape[-1] != 4:
        raise ValueError(f"composite: needs uint8 RGBA images (..., H, W, 4); got {rgba.dtype} of shape {rgba.shape}")
    alpha = rgba[..., 3:].astype(np.float32) / 255
    x = (rgba[..., :3] * alpha + np.asarray(background, np.float32) * (1 - alpha)) / 255
    return np.ascontiguousarray(np.moveaxis(x, -1, -3), np.float32)
