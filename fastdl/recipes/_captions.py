"""Images with sentences: digits in five inks described by eight templates, and emoji with their names."""

import numpy as np

from fastdl.data import emoji, mnist5k
from fastdl.models.text2image import words_of
from fastdl.recipes._samples import emoji_styles

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0.2, 0.4, 1), "yellow": (1, 1, 0), "white": (1, 1, 1)}
NAMES = "zero one two three four five six seven eight nine".split()
TEMPLATES = (
    "a {c} {d}",
    "the {d} is {c}",
    "{c} digit {d}",
    "a picture of a {c} {d}",
    "this {d} has {c} ink",
    "one sees a {c} {d}",
)
TEMPLATES += ("{d} in {c}", "draw a {c} {d} please")
_SAID = {t.format(c=c, d=d): (c, d) for t in TEMPLATES for c in COLOURS for d in NAMES}
SENTENCES = list(_SAID)


def sentence(digit, colour, template=0):
    """A template filled in with the numbers of a digit and a colour."""
    return TEMPLATES[template % len(TEMPLATES)].format(c=list(COLOURS)[colour], d=NAMES[digit])


def same_meaning(a, b):
    """Do two sentences name the same digit and colour?"""
    return _SAID[a] == _SAID[b]


def inked(x, y, rng, unseen=None):
    """(images (N, 3, 32, 32) in -1..1, captions, colour numbers): digits in five inks; unseen: pairs (digit, colour) left out."""
    colour = rng.integers(0, 5, len(x))
    while unseen is not None and (bad := np.array([(d, c) in unseen for d, c in zip(y, colour, strict=True)])).any():
        colour[bad] = rng.integers(0, 5, int(bad.sum()))
    ink = np.array(list(COLOURS.values()), np.float32)[colour]
    image = np.pad(x[:, 0], ((0, 0), (2, 2), (2, 2)))[:, None] * ink[:, :, None, None]
    captions = [sentence(d, c, rng.integers(len(TEMPLATES))) for d, c in zip(y, colour, strict=True)]
    return (image * 2 - 1).astype(np.float32), captions, colour


def inked_digits():
    """((images, captions, meanings) to learn from, the same of the test part, all sentences): MNIST 5k in inks."""
    parts = []
    for part, seed in zip(mnist5k(), (0, 1), strict=True):
        x, y = (t.array for t in part.tensors)
        images, captions, colour = inked(x, y, np.random.default_rng(seed))
        parts.append((images, captions, y * 5 + colour))
    return *parts, SENTENCES


def named_emoji():
    """((images, captions, meanings) to learn from, the same of the test part, all names of the first): both drawings of each.

    A name is a caption; test names with words that no training name has are left out.
    """
    train, test = emoji()
    known = {w for name in train.name for w in words_of(name)}
    parts = []
    for part, keep in ((train, known), (test, known)):
        google, twitter = emoji_styles(part)
        rows = [i for i, name in enumerate(part.name) if words_of(name) and set(words_of(name)) <= keep]
        names = [part.name[i] for i in rows]
        meanings = {name: i for i, name in enumerate(dict.fromkeys(names))}
        images = np.concatenate([google[rows], twitter[rows]])
        parts.append((images, names * 2, np.array([meanings[name] for name in names * 2])))
    return *parts, list(dict.fromkeys(parts[0][1]))
