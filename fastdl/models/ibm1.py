"""IBM Model 1: which words translate which, found by counting over pairs of sentences again and again.

    p(f_1 .. f_T | e_1 .. e_S) = prod_j  1/S  sum_i  t(f_j | e_i)      each target word has one source word; which one is unknown

Expectation: each f_j is shared out among the words of its source sentence in proportion to t(f_j | e_i). Maximisation: t(f | e) is
e's share of what it received. The likelihood never falls; it has one maximum up to ties, so the start does not matter.

Ref  Brown, Della Pietra, Della Pietra, Mercer 1993, "The Mathematics of Statistical Machine Translation", Computational
     Linguistics 19(2), section 4.1.
"""

import numpy as np


class IBM1:
    """Lexical translation probabilities t(target | source).

    Parameters  src_vocab, tgt_vocab: numbers of words
    Attributes  source, target (L,) int64, probability (L,) float64: the pairs of words with t > 0, ordered by source word, then
                target; history: nats a target word before each pass

    Example
    >>> model = IBM1(3, 3).fit([[0, 1], [0, 2]], [[0, 1], [0, 2]], passes=20)
    >>> model.best(), bool(model.history[-1] < model.history[0])
    ({0: 0, 1: 1, 2: 2}, True)
    """

    def __init__(self, src_vocab, tgt_vocab):
        self.src_vocab, self.tgt_vocab = src_vocab, tgt_vocab
        self.source = self.target = np.zeros(0, np.int64)
        self.probability, self.history = np.zeros(0), []

    def fit(self, src, tgt, passes=5):
        """Learn from sentence pairs: src, tgt lists of integer sequences of equal number; pairs with an empty side are left out.

        Errors  ValueError for lists of different lengths, words out of range, no pair at all
        """
        src, tgt = ([np.asarray(s, np.int64).reshape(-1) for s in side] for side in (src, tgt))
        if len(src) != len(tgt):
            raise ValueError(f"IBM1: {len(src)} source sentences and {len(tgt)} target sentences; hint: give pairs")
        pairs = [(s, t) for s, t in zip(src, tgt, strict=True) if len(s) and len(t)]
        if not pairs:
            raise ValueError("IBM1: needs at least one pair of sentences with a word on both sides")
        for name, side, size in (("source", 0, self.src_vocab), ("target", 1, self.tgt_vocab)):
            words = np.concatenate([p[side] for p in pairs])
            if words.min() < 0 or words.max() >= size:
                raise ValueError(f"IBM1: {name} words must lie in 0 .. {size - 1}; got {words.min()} .. {words.max()}")
        e = np.concatenate(
            [np.tile(s, len(t)) for s, t in pairs]
        )  # (links,): every target word with every source word of its pair
        f = np.concatenate([np.repeat(t, len(s)) for s, t in pairs])
        choices = np.concatenate([np.full(len(t), len(s)) for s, t in pairs])  # (target words,)
        starts, places = np.cumsum(choices) - choices, np.repeat(np.arange(len(choices)), choices)
        keys, link = np.unique(e * self.tgt_vocab + f, return_inverse=True)
        self.source, self.target = np.divmod(keys, self.tgt_vocab)
        p, self.history = np.full(len(keys), 1 / self.tgt_vocab), []
        for _ in range(passes):
            share = p[link]
            total = np.add.reduceat(share, starts)
            self.history.append(float(-np.log(total / choices).mean()))
            share /= total[places]
            counts = np.bincount(link, share, len(keys))
            p = counts / np.bincount(self.source, counts, self.src_vocab)[self.source]
        self.probability = p
        return self

    def best(self) -> dict:
        """{source word: its likeliest target word}; the first of equals."""
        order = np.lexsort((self.target, -self.probability, self.source))
        words, first = np.unique(self.source[order], return_index=True)
        return dict(zip(words.tolist(), self.target[order][first].tolist(), strict=True))

    def align(self, src, tgt) -> np.ndarray:
        """(T, S) float64: how much of each target word each source word answers for, t(f | e) over its sum; rows sum to 1.

        src (S,), tgt (T,) integers; a row without any known pair of words is even.
        """
        src, tgt = np.asarray(src, np.int64).reshape(-1), np.asarray(tgt, np.int64).reshape(-1)
        if not len(self.source):
            raise ValueError("IBM1.align: nothing was learned yet; hint: call fit first")
        if not len(src):
            raise ValueError("IBM1.align: the source has no word")
        keys = self.source * self.tgt_vocab + self.target  # ascending
        wanted = src[None] * self.tgt_vocab + tgt[:, None]
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        t = np.where(keys[places] == wanted, self.probability[places], 0.0)
        total = t.sum(1, keepdims=True)
        return np.where(total > 0, t / np.where(total > 0, total, 1), 1 / len(src))

    def carry(self, vectors, least=0.03):
        """Source vectors in the space of target vectors: each the sum of t(f | e) times f's vector over t >= least, scaled to the
        mean length of `vectors`.

        Shapes  vectors (tgt_vocab, D) -> (src_vocab, D); words that were never seen (or have no t >= least) get zeros
        """
        vectors = np.asarray(vectors)
        if vectors.ndim != 2 or len(vectors) != self.tgt_vocab:
            raise ValueError(f"IBM1.carry: vectors must have shape ({self.tgt_vocab}, D); got {vectors.shape}")
        kept = self.probability >= least
        carried = np.zeros((self.src_vocab, vectors.shape[1]))
        np.add.at(carried, self.source[kept], self.probability[kept, None] * vectors[self.target[kept]])
        norms = np.linalg.norm(carried, axis=1, keepdims=True)
        length = np.linalg.norm(vectors, axis=1).mean()
        return (carried * np.divide(length, norms, out=np.zeros_like(norms), where=norms > 0)).astype(vectors.dtype)
