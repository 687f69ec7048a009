"""Byte-level BPE, the tokenizer of GPT-2: any text is some tokens, none is unknown. Needs the package tokenizers.

Ref  Sennrich, Haddow, Birch 2016, arXiv 1508.07909; Radford et al. 2019.
"""

import numpy as np


def _library():
    try:
        import tokenizers
    except ImportError:
        raise ImportError("byte-level BPE needs the package tokenizers: pip install fastdl-cpu[text]") from None
    return tokenizers


class ByteBPE:
    """encode and decode by a tokenizer of the tokenizers library (GPT-2's tokenizer.json, or one that train made)."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, path):
        """From a tokenizer.json; or from vocab.json and merges.txt, given as a pair."""
        library = _library()
        if isinstance(path, (tuple, list)):
            return cls(library.ByteLevelBPETokenizer(str(path[0]), str(path[1])))
        return cls(library.Tokenizer.from_file(str(path)))

    @classmethod
    def train(cls, texts, size=5000, min_count=2):
        """Of `size` tokens, learned from strings."""
        tokenizer = _library().ByteLevelBPETokenizer()
        tokenizer.train_from_iterator(texts, vocab_size=size, min_frequency=min_count, show_progress=False)
        return cls(tokenizer)

    def __len__(self):
        return self.tokenizer.get_vocab_size()

    def encode(self, text) -> np.ndarray:
        """(T,) int64."""
        return np.array(self.tokenizer.encode(text).ids, np.int64)

    def decode(self, ids) -> str:
        """The text of ids (T,)."""
        return self.tokenizer.decode(np.asarray(ids).reshape(-1).tolist())

    def save(self, path):
        """To a tokenizer.json."""
        self.tokenizer.save(str(path))
