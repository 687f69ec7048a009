"""Sentence pairs with negatives inside the batch, and growing in depth: BERT's pre-training where there are minutes, not days.

    A_1 .. A_n, B_1 .. B_n: neighbouring parts of n texts, each read alone -> unit vectors (2n, H)
      -> scores A_i . B_j / temperature: which of the n parts follows A_i? Cross-entropy, in both directions

BERT reads A and B together and says yes or no: one bit a pair, for which attention has to learn to compare first. Here the
comparison is given, and every pair is told from n - 1 others; the vector is asked what the text is about.

Ref  Giorgi, Nitski, Wang, Bader 2021 (DeCLUTR: neighbouring spans beside masked tokens), arXiv 2006.03659; Henderson et al. 2017,
     arXiv 1705.00652 (negatives of the batch); Gong et al. 2019 (a shallow BERT's layers stacked to a deep one), ICML.
"""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.nn import functional as F


def neighbours(documents, length, n, rng):
    """(parts (2n, length), sources (n,)): n first parts, then the n that follow them, from random places of the documents.

    documents: token arrays (T,); a document is drawn in proportion to its length. sources: the number of each pair's document.

    Example
    >>> parts, sources = neighbours([np.arange(9), np.arange(100, 120)], 4, 3, np.random.default_rng(0))
    >>> parts.shape, bool((parts[3:] == parts[:3] + 4).all())
    ((6, 4), True)
    """
    sizes = np.array([len(d) for d in documents])
    room = np.maximum(sizes - 2 * length + 1, 0)  # places where a pair can begin
    if not room.any():
        raise ValueError(f"neighbours: no document has {2 * length} tokens, two parts of {length}; hint: shorter parts")
    share = sizes * (room > 0)
    sources = rng.choice(len(documents), n, p=share / share.sum())
    starts = rng.integers(0, room[sources])
    pairs = np.stack([documents[i][t : t + 2 * length] for i, t in zip(sources, starts, strict=True)])
    return np.concatenate([pairs[:, :length], pairs[:, length:]]), sources


def pair_loss(vectors, sources, temperature=0.1):
    """(loss, share of first parts whose own second part scores highest) of `neighbours`' vectors.

    Parts of the same document are no negatives of each other: they may well be about the same thing.

    Shapes  vectors (2n, H), sources (n,) -> loss (), share: float
    """
    n = len(sources)
    if vectors.ndim != 2 or len(vectors) != 2 * n:
        raise ValueError(f"pair_loss: {n} pairs need vectors (2n, H), here ({2 * n}, H); got {tuple(vectors.shape)}")
    unit = vectors / ((vectors * vectors).sum(1, keepdim=True) + 1e-12).sqrt()
    scores = (unit[:n] @ unit[n:].transpose(0, 1)) * (1 / temperature)
    sources = np.asarray(sources)
    kin = (sources[:, None] == sources[None]) & ~np.eye(n, dtype=bool)
    scores = scores + Tensor(np.where(kin, np.float32(-1e9), np.float32(0)))
    own = np.arange(n)
    loss = (F.cross_entropy(scores, own) + F.cross_entropy(scores.transpose(0, 1), own)) * 0.5
    return loss, float((scores.array.argmax(1) == own).mean())


def deepen(state, layers):
    """A state_dict for `layers` encoder layers from one with fewer: its layers over and over (1 2 -> 1 2 1 2)."""
    known = {int(k.split(".encoder.layer.")[1].split(".")[0]) for k in state if ".encoder.layer." in k}
    if not known or layers < len(known):
        raise ValueError(f"deepen: the state has {len(known)} layers of bert.encoder.layer; {layers} is no deepening")
    grown = {}
    for key, value in state.items():
        before, found, after = key.partition(".encoder.layer.")
        if not found:
            grown[key] = value
            continue
        place, _, name = after.partition(".")
        for copy in range(int(place), layers, len(known)):
            grown[f"{before}{found}{copy}.{name}"] = value
    return grown
