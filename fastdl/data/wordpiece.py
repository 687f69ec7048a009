"""WordPiece: words as the longest known pieces, "unwanted" -> "un ##want ##ed"; BERT's tokenizer and a trainer of vocabularies.

Ref  Schuster and Nakajima 2012; Wu et al. 2016, arXiv 1609.08144; Devlin et al. 2018, arXiv 1810.04805.
"""

import heapq
import itertools
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNK, CLS, SEP, MASK)
_CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


def basic_tokens(text, lower=True) -> list[str]:
    """Words and punctuation marks of a text: control characters dropped, Chinese characters apart, accents off if lower."""
    spaced = []
    for c in text:
        kind = unicodedata.category(c)
        if c in "\t\n\r" or kind == "Zs":
            spaced.append(" ")
        elif c in "\0\ufffd" or kind.startswith("C"):
            continue
        elif any(a <= ord(c) <= b for a, b in _CJK):
            spaced.append(f" {c} ")
        else:
            spaced.append(c)
    text = "".join(spaced)
    if lower:
        text = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    tokens = []
    for word in text.split():
        start = 0
        for i, c in enumerate(word):
            if _is_mark(c):
                tokens += [word[start:i], c]
                start = i + 1
        tokens.append(word[start:])
    return [t for t in tokens if t]


def _is_mark(c):
    code = ord(c)
    ascii_mark = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_mark or unicodedata.category(c).startswith("P")


class WordPiece:
    """A vocabulary and the greedy longest-match division of words.

    Parameters  vocab: list of pieces, or a file with one a line; lower: as basic_tokens

    Example
    >>> t = WordPiece([*SPECIAL, "un", "##want", "##ed", "run"])
    >>> t.tokens("Unwanted run!")
    ['un', '##want', '##ed', 'run', '[UNK]']
    """

    def __init__(self, vocab, lower=True):
        if isinstance(vocab, (str, Path)):
            vocab = Path(vocab).read_text(encoding="utf-8").splitlines()
        self.pieces, self.lower = list(vocab), lower
        self.index = {p: i for i, p in enumerate(self.pieces)}
        missing = [s for s in SPECIAL if s not in self.index]
        if missing:
            raise ValueError(f"WordPiece: the vocabulary lacks {', '.join(missing)}")

    def __len__(self):
        return len(self.pieces)

    def tokens(self, text) -> list[str]:
        """The pieces of a text; a word with a part that no piece fits is [UNK]."""
        return [piece for word in basic_tokens(text, self.lower) for piece in self._divide(word)]

    def _divide(self, word):
        if len(word) > 100:
            return [UNK]
        pieces, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = word[start:end] if start == 0 else f"##{word[start:end]}"
                if piece in self.index:
                    break
            else:
                return [UNK]
            pieces.append(piece)
            start = end
        return pieces

    def encode(self, text, pair=None, max_length=None):
        """(ids (T,), segments (T,)) of [CLS] text [SEP], or [CLS] text [SEP] pair [SEP]; the longer part is cut to max_length."""
        first = self.tokens(text)
        second = None if pair is None else self.tokens(pair)
        if max_length is not None:
            room = max_length - (2 if second is None else 3)
            if room < 0:
                raise ValueError(f"WordPiece.encode: max_length={max_length} has no room for the special tokens")
            while len(first) + len(second or ()) > room:
                (first if second is None or len(first) > len(second) else second).pop()
        tokens = [CLS, *first, SEP]
        segments = [0] * len(tokens)
        if second is not None:
            tokens += [*second, SEP]
            segments += [1] * (len(second) + 1)
        return np.array([self.index[t] for t in tokens], np.int64), np.array(segments, np.int64)

    def decode(self, ids) -> str:
        """Words of ids, special tokens left out."""
        pieces = [self.pieces[i] for i in np.asarray(ids).reshape(-1).tolist()]
        words = " ".join(p for p in pieces if p not in SPECIAL)
        return words.replace(" ##", "")

    def save(self, path):
        """One piece a line: the format of BERT's vocab.txt."""
        Path(path).write_text("\n".join(self.pieces) + "\n", encoding="utf-8")

    @classmethod
    def train(cls, texts, size=2000, min_count=2, lower=True):
        """A vocabulary of `size` pieces: all characters, then again and again the most frequent pair of neighbours joined.

        texts: strings. Fewer pieces come out where no pair occurs min_count times. Ties go to the alphabetically first pair.
        """
        counts = Counter(word for text in texts for word in basic_tokens(text, lower))
        words = [[w[0], *(f"##{c}" for c in w[1:])] for w in counts]
        weights = list(counts.values())
        alphabet = Counter()
        for word, n in zip(words, weights, strict=True):
            for c in word:
                alphabet[c] += n
        pieces = [*SPECIAL, *sorted(alphabet)]
        if len(pieces) > size:
            raise ValueError(
                f"WordPiece.train: size={size} is less than the {len(pieces)} characters and special tokens"
            )
        pairs, where = Counter(), defaultdict(set)
        for i, word in enumerate(words):
            for pair in itertools.pairwise(word):
                pairs[pair] += weights[i]
                where[pair].add(i)
        known = set(pieces)
        queue = [(-n, pair) for pair, n in pairs.items()]  # counts go stale as words change: checked when they come up
        heapq.heapify(queue)
        while len(pieces) < size and queue:
            n, best = heapq.heappop(queue)
            if -n != pairs.get(best, 0):
                continue
            if -n < min_count:
                break
            joined = best[0] + best[1][2:]
            if joined not in known:
                known.add(joined)
                pieces.append(joined)
            changed = set()
            for i in where.pop(best):
                word = words[i]
                merged, k = [], 0
                while k < len(word):
                    hit = k + 1 < len(word) and (word[k], word[k + 1]) == best
                    merged.append(joined if hit else word[k])
                    k += 2 if hit else 1
                if len(merged) == len(word):
                    continue  # an earlier join took the pair apart
                for pair in itertools.pairwise(word):
                    pairs[pair] -= weights[i]
                    changed.add(pair)
                words[i] = merged
                for pair in itertools.pairwise(merged):
                    pairs[pair] += weights[i]
                    where[pair].add(i)
                    changed.add(pair)
            pairs.pop(best, None)
            for pair in changed:
                if pairs.get(pair, 0) > 0:
                    heapq.heappush(queue, (-pairs[pair], pair))
        return cls(pieces, lower)
