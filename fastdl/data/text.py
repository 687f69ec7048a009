"""Text as numbers: characters, vocabularies with special tokens, pairs of sentences, batches of similar length."""

import json
import unicodedata
from collections import Counter

import numpy as np

from fastdl.data.dataset import Dataset

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


class CharTokenizer:
    """Every character a token, numbered in the order of their code points.

    Example
    >>> t = CharTokenizer("hello")
    >>> t.encode("hole").tolist(), t.decode([0, 2])
    ([1, 3, 2, 0], 'el')
    """

    def __init__(self, text=None, chars=None):
        self.chars = sorted(set(text or "")) if chars is None else list(chars)
        if not self.chars:
            raise ValueError("CharTokenizer: needs a text (or chars) with at least one character")
        self._index = {c: i for i, c in enumerate(self.chars)}

    def __len__(self):
        return len(self.chars)

    def encode(self, text, unknown=None) -> np.ndarray:
        """(T,) int64; characters that the tokenizer does not know are an error, or become the character `unknown`."""
        strange = sorted(set(text) - self._index.keys())
        if strange and unknown is None:
            shown = " ".join(repr(c) for c in strange[:10])
            raise ValueError(
                f"CharTokenizer: unknown character{'s' if len(strange) > 1 else ''} {shown}; the {len(self)} known ones are "
                f"{''.join(self.chars)!r}; hint: remove them or pass unknown=' '"
            )
        other = self._index.get(unknown, 0)
        return np.fromiter((self._index.get(c, other) for c in text), np.int64, len(text))

    def decode(self, ids) -> str:
        """The text of ids (T,)."""
        return "".join(self.chars[i] for i in np.asarray(ids).reshape(-1).tolist())

    def to_json(self) -> str:
        return json.dumps({"type": "char", "chars": "".join(self.chars)}, ensure_ascii=False)


class Vocabulary:
    """Symbols (characters, words, phonemes) and the four special tokens <pad> 0, <bos> 1, <eos> 2, <unk> 3.

    Example
    >>> v = Vocabulary.build([["a", "b"], ["b"]])
    >>> v.encode(["b", "c"], bos=True, eos=True).tolist(), v.decode([1, 4, 2, 0])
    ([1, 4, 3, 2], ['b'])
    """

    def __init__(self, symbols):
        self.symbols = [*SPECIAL, *symbols]
        self._index = {s: i for i, s in enumerate(self.symbols)}
        if len(self._index) != len(self.symbols):
            raise ValueError("Vocabulary: symbols must differ from each other and from the special tokens")

    @classmethod
    def build(cls, sequences, min_count=1, max_size=None):
        """Of all symbols of the sequences, most frequent first (ties in alphabetical order)."""
        counts = Counter(s for sequence in sequences for s in sequence)
        ranked = sorted((s for s in counts if counts[s] >= min_count), key=lambda s: (-counts[s], s))
        return cls(ranked[:max_size])

    def __len__(self):
        return len(self.symbols)

    def encode(self, sequence, bos=False, eos=False) -> np.ndarray:
        """(T,) int64; symbols that are not known become <unk>."""
        ids = [self._index.get(s, UNK) for s in sequence]
        return np.array([BOS] * bos + ids + [EOS] * eos, np.int64)

    def decode(self, ids) -> list:
        """The symbols of ids up to <eos>, without <bos> and <pad>."""
        found = []
        for i in np.asarray(ids).reshape(-1).tolist():
            if i == EOS:
                break
            if i not in (PAD, BOS):
                found.append(self.symbols[i])
        return found


def split(text, unit) -> list:
    """A text as symbols: unit "char" (code points), "jamo" (Korean syllables taken apart) or "word"."""
    if unit == "char":
        return list(text)
    if unit == "jamo":
        return list(unicodedata.normalize("NFD", text))
    if unit == "word":
        return text.split()
    raise ValueError(f"split: unit must be 'char', 'jamo' or 'word'; got {unit!r}")


def join(symbols, unit) -> str:
    """The reverse of split."""
    if unit == "word":
        return " ".join(symbols)
    return unicodedata.normalize("NFC", "".join(symbols))


def pad(sequences, value=PAD) -> np.ndarray:
    """(N, longest) int64 of sequences of different lengths."""
    length = max((len(s) for s in sequences), default=0)
    table = np.full((len(sequences), length), value, np.int64)
    for row, s in zip(table, sequences, strict=True):
        row[: len(s)] = s
    return table


class ParallelText(Dataset):
    """Pairs of source and target texts with a vocabulary each, as numbers.

    Parameters  pairs: list of (source, target), text or sequences of symbols; src, tgt: unit, see split ("symbols": as they are)
                vocabularies: (source, target) of another ParallelText, for test pairs; built from the pairs if None
    Items       (source ids with <eos>, target ids with <bos> and <eos>), int64 arrays

    Example
    >>> data = ParallelText([("one", "1"), ("two", "2")])
    >>> [x.tolist() for x in data[0]]
    [[4, 6, 5, 2], [1, 4, 2]]
    """

    def __init__(self, pairs, src="char", tgt="char", vocabularies=None, min_count=1):
        self.pairs, self.units = list(pairs), (src, tgt)
        sides = [[self._symbols(p[i], self.units[i]) for p in self.pairs] for i in (0, 1)]
        if vocabularies is None:
            vocabularies = tuple(Vocabulary.build(side, min_count) for side in sides)
        self.src_vocab, self.tgt_vocab = vocabularies
        self.src = [self.src_vocab.encode(s, eos=True) for s in sides[0]]
        self.tgt = [self.tgt_vocab.encode(s, bos=True, eos=True) for s in sides[1]]

    @staticmethod
    def _symbols(item, unit):
        return list(item) if unit == "symbols" else split(item, unit)

    @property
    def vocabularies(self):
        return self.src_vocab, self.tgt_vocab

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        return self.src[i], self.tgt[i]

    def text(self, ids, side=1):
        """The target (side 1) or source (side 0) text of ids; a list of symbols where the unit is "symbols"."""
        symbols = self.vocabularies[side].decode(ids)
        return symbols if self.units[side] == "symbols" else join(symbols, self.units[side])

    def batches(self, max_tokens=4096, rng=None, batch_size=None):
        """Padded batches (source (N, S), target (N, T)) of pairs of similar length, in random order if rng is given.

        max_tokens bounds N * max(S, T); batch_size, if given, bounds N.
        """
        n = len(self)
        lengths = [max(len(s), len(t)) for s, t in zip(self.src, self.tgt, strict=True)]
        for group in bucketed(lengths, max_tokens, rng, batch_size) if n else ():
            yield pad([self.src[i] for i in group]), pad([self.tgt[i] for i in group])


def bucketed(lengths, max_tokens, rng=None, batch_size=None) -> list:
    """Lists of indices of similar length; count times longest at most max_tokens (one longer item stands alone).

    rng: ties in length and the order of the lists are shuffled; None: sorted by length.
    """
    lengths = np.asarray(lengths)
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    order = order[np.argsort(lengths[order], kind="stable")]
    groups, group = [], []
    for i in order:  # ascending: the newest is the longest
        if group and ((len(group) + 1) * lengths[i] > max_tokens or len(group) == batch_size):
            groups.append(group)
            group = []
        group.append(int(i))
    if group:
        groups.append(group)
    if rng is not None:
        groups = [groups[i] for i in rng.permutation(len(groups))]
    return groups
