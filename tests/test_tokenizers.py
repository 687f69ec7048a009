"""WordPiece beside the tokenizers library; byte-level BPE."""

import numpy as np
import pytest

from fastdl.data import kjv_verses
from fastdl.data.bpe import ByteBPE
from fastdl.data.wordpiece import SPECIAL, WordPiece, basic_tokens

TEXTS = [
    "In the beginning God created the heavens and the earth.",
    "Héllo,  WORLD!! it's 3.50$ -- naïve\tcafé\n(ok)",
    "深度学习 and 한국어",
    "",
    "x" * 101,
    "a\u0000b\ufffdc \u200bd",
]


def trained():
    return WordPiece.train(kjv_verses().train.text[:300], 600)


def test_the_trainer_finds_frequent_words_and_covers_its_text():
    t = trained()
    assert len(t) == 600 and {"the", "and", "of"} <= set(t.pieces)
    text = kjv_verses().train.text[7]
    assert "[UNK]" not in t.tokens(text)
    ids, segments = t.encode(text)
    assert t.decode(ids) == " ".join(basic_tokens(text)) and segments.sum() == 0
    small = WordPiece.train(["low lower lowest low"], 30, min_count=2)
    assert "low" in small.pieces and "lowest" not in small.pieces
    with pytest.raises(ValueError, match="less than"):
        WordPiece.train(["abc"], 4)


def test_wordpiece_equals_the_tokenizers_library(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    t = trained()
    theirs = tokenizers.BertWordPieceTokenizer(vocab=t.index, lowercase=True)
    for text in [*TEXTS, *kjv_verses().test.text[:100]]:
        assert t.tokens(text) == theirs.encode(text, add_special_tokens=False).tokens, text
    ids, segments = t.encode(TEXTS[0], "the earth")
    pair = theirs.encode(TEXTS[0], "the earth")
    assert ids.tolist() == pair.ids and segments.tolist() == pair.type_ids
    t.save(tmp_path / "vocab.txt")
    assert WordPiece(tmp_path / "vocab.txt").pieces == t.pieces


def test_cut_to_length():
    t = trained()
    ids, segments = t.encode("the the the the the", "and and", max_length=7)
    assert len(ids) == 7 and segments.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert len(t.encode("the " * 50, max_length=8)[0]) == 8
    with pytest.raises(ValueError, match="no room"):
        t.encode("the", max_length=1)
    with pytest.raises(ValueError, match=r"lacks \[UNK\]"):
        WordPiece([s for s in SPECIAL if s != "[UNK]"])


def test_byte_bpe_gives_any_text_back(tmp_path):
    pytest.importorskip("tokenizers")
    t = ByteBPE.train(kjv_verses().train.text[:300], 500)
    for text in TEXTS:
        assert t.decode(t.encode(text)) == text
    assert t.encode("").shape == (0,) and t.encode("the").dtype == np.int64
    t.save(tmp_path / "tokenizer.json")
    assert ByteBPE.load(tmp_path / "tokenizer.json").encode(TEXTS[0]).tolist() == t.encode(TEXTS[0]).tolist()
