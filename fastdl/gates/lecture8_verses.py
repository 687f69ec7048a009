"""Lecture 8, translation of real sentences: three translators side by side (entries 4, 90 and 91)."""

import numpy as np

from fastdl.autograd import no_grad
from fastdl.data.text import ParallelText, Vocabulary
from fastdl.data.wordpiece import SPECIAL, WordPiece
from fastdl.gates import Claim, gate
from fastdl.gates._text import translate
from fastdl.metrics import bleu
from fastdl.models import seq2seq, transformer
from fastdl.models.ibm1 import IBM1
from fastdl.nn.utils import clip_grad_norm_
from fastdl.optim import Adam
from fastdl.random import manual_seed
from fastdl.recipes._pairs import dictionary, verses

PIECES, WIDTH, STEPS, TOKENS = 3000, 128, 1600, 700
RATES = {"no attention": 4e-3, "attention": 4e-3, "Transformer": 3e-3}
BEAMS, PENALTY = 4, 1.0
NEAR = 2.9  # scale of the queries and keys that look at neighbours: some 0.7 of the weight falls on the wanted place


def _make(name, vocab, d):
    if name == "Transformer":
        return transformer.Transformer(
            src_vocab=vocab, tgt_vocab=vocab, d_model=d, nhead=4, num_encoder_layers=2, num_decoder_layers=2,
            dim_feedforward=4 * d, dropout=0.0, embedding_dropout=0.2, norm_first=True, shared="output", max_len=64,
        )  # fmt: skip
    attention = "luong" if name == "attention" else None
    return seq2seq.Seq2Seq(
        vocab, vocab, hidden=d, embed=d, attention=attention, scaled=bool(attention), dropout=0.1, tied=True
    )


def start(model, lexicon, rng):
    """Where training begins: source pieces in the space of the target's, as IBM1.carry puts them.

    The Transformer knows nothing of places at first, which a recurrent network is built on. So its attention starts with some
    (after Trockman and Kolter 2023, arXiv 2305.09828, who start self-attention with pairs of matrices that go together):
    - the decoder looks along the diagonal of the source: queries and keys are one rotation of the directions in which positions
      differ most, and the output undoes the rotation of the values;
    - each head of self-attention looks at one neighbour: queries are the high frequencies of the position that lies so far away,
      which for sinusoids is a rotation of the own, keys are those of the position itself; words leave these components to it.
    """
    if not isinstance(model, transformer.Transformer):
        _carry(lexicon, model.encoder.embedding.weight.array, model.decoder.embedding.weight.array)
        return
    _carry(lexicon, model.src_embedding.weight.array, model.tgt_embedding.weight.array)
    d, heads = model.config.d_model, model.config.nhead
    places = model.tgt_positions.rows(0, 32)
    directions = np.linalg.svd(places - places.mean(0), full_matrices=False)[2][: d // heads].astype(np.float32)
    for layer in model.decoder.layers:
        attention = layer.multihead_attn
        alike = np.concatenate([_rotation(d // heads, rng) @ directions for _ in range(heads)])  # (d, d), head by head
        values = _rotation(d, rng)
        attention.in_proj_weight.array[...] = np.concatenate([alike, alike, values])
        attention.out_proj.weight.array[...] = values.T
    few = min(16, d // heads)
    for embedding in (model.src_embedding, model.tgt_embedding):
        embedding.weight.array[:, :few] *= 0.1
    for layers, offsets in ((model.encoder.layers, (-1, 1, 0, -2)), (model.decoder.layers, (0, -1, -2, -3))):
        for layer in layers:
            pairs = [(_neighbour(o, few, places), _neighbour(0, few, places)) for o in offsets]  # a head each
            turned = [(_rotation(few, rng), pair) for pair in pairs]
            for part in (0, 1):  # queries, then keys
                weight = layer.self_attn.in_proj_weight.array[part * d : (part + 1) * d]
                weight[...] = 0
                for head, (rotation, pair) in enumerate(turned):
                    row = head * (d // heads)
                    weight[row : row + few] = NEAR * rotation @ pair[part]


def _neighbour(offset, few, places):
    """(few, d): the first components of sinusoidal position t, which alternate sin(w t) and cos(w t), to those of t + offset."""
    matrix = np.zeros((few, places.shape[1]), np.float32)
    frequency = np.arctan2(places[1, 0:few:2], places[1, 1:few:2])
    s, c, i = np.sin(frequency * offset), np.cos(frequency * offset), np.arange(0, few, 2)
    matrix[i, i], matrix[i, i + 1] = c, s
    matrix[i + 1, i], matrix[i + 1, i + 1] = -s, c
    return matrix


def _carry(lexicon, source, target):
    carried = lexicon.carry(target)
    source[...] = np.where(carried.any(1, keepdims=True), carried, source)


def _rotation(d, rng):
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return (q * np.sign(np.diag(r))).astype(np.float32)


def train(model, data, steps, lr, rng, tokens=TOKENS):
    """Adam with a warm-up of a tenth and a linear fall, smoothed labels (0.1); returns the mean loss of the last 10 steps."""
    optimizer = Adam(model.parameters(), lr=lr, betas=(0.9, 0.98))
    model.train()
    losses: list = []
    while len(losses) < steps:
        for src, tgt in data.batches(max_tokens=tokens, rng=rng):
            step = len(losses)
            optimizer.param_groups[0]["lr"] = lr * min((step + 1) / (0.1 * steps), (1 - step / steps) / 0.9)
            value = transformer.loss(model(src, tgt[:, :-1]), tgt[:, 1:])
            optimizer.zero_grad()
            value.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(value.item())
            if len(losses) == steps:
                break
    return float(np.mean(losses[-10:]))


def verse_pieces(longest=20, size=PIECES, validation=0, learned=None, judged=None):
    """(train, test) pairs of words, and the same as ParallelText of word pieces, one vocabulary for both languages.

    validation > 0: so many English sentences of the training part are kept out of it and judged in place of the test part.
    """
    train_pairs, test_pairs = verses(longest, learned, judged)
    if validation:
        names = sorted({s for s, _ in train_pairs})
        held = {names[i] for i in np.random.default_rng(123).permutation(len(names))[:validation]}
        test_pairs = [p for p in train_pairs if p[0] in held]
        train_pairs = [p for p in train_pairs if p[0] not in held]
    pieces = WordPiece.train([text for pair in train_pairs for text in pair], size, lower=False)
    vocabulary = Vocabulary([p for p in pieces.pieces if p not in SPECIAL])
    pairs = (train_pairs, test_pairs)
    data = [
        ParallelText(
            [(pieces.tokens(s), pieces.tokens(t)) for s, t in part], "symbols", "symbols", (vocabulary, vocabulary)
        )
        for part in pairs
    ]
    return pairs, data


def joined(answers):
    """Texts of lists of pieces: ["cas", "##a"] -> "casa"."""
    return [" ".join(pieces).replace(" ##", "") for pieces in answers]


def score(answers, references):
    return bleu(answers, references, tokenize=str.split)


@gate(entry=91, name="verses_en_es")
def verses_en_es(seed=0, smoke=False):
    """Verses of up to 20 words from English to Spanish: GRU without and with attention, Transformer; BLEU of free running.

    Each model gets the same pairs in 3,000 shared word pieces, width 128, number of steps, four beams; and the same start: source
    vectors among the target's, by IBM Model 1 on the training pairs. Rates, dropout, length penalty and steps were chosen on verses
    kept out of the training part. Three trainings: allow 120 s for each, not for all.

    Luong's scores are divided by the root of the width: without that they put all weight on one place within 100 steps (largest
    weight 1.00, agreement with IBM Model 1's links 0.003) and on some seeds never let go of it. Six passes over 7,520 pairs are
    too few for dropout within the Transformer's layers: on validation verses 17.8, 19.8 and 21.3 BLEU with 0.2, 0.1 and 0, so only
    its embeddings have it. On validation verses (seeds 0 and 1) the
    Transformer has 24.1 and 24.2 BLEU, attention 21.4 and 21.3; without the start on neighbours it had 21.7 and repeated itself:
    it cannot tell the second piece of a name from the first until it knows places. With twice the steps 27.1 and 26.6 (other
    verses kept out for the latter), so the lead is one of learning in few steps.
    """
    pairs, (data, test) = verse_pieces(10, 400, 0, 300, 10) if smoke else verse_pieces()
    references = [t for _, t in pairs[1]]
    table = dictionary([(s.split(), t.split()) for s, t in pairs[0]])
    copy = score([s for s, _ in pairs[1]], references)
    by_words = score([" ".join(table.get(w, w) for w in s.split()) for s, _ in pairs[1]], references)
    vocab = len(data.src_vocab)
    lexicon = IBM1(vocab, vocab).fit([s[:-1] for s in data.src], [t[1:-1] for t in data.tgt])
    found = {}
    for name, rate in RATES.items():
        manual_seed(seed)
        model = _make(name, vocab, 32 if smoke else WIDTH)
        start(model, lexicon, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        if smoke:
            found[name] = train(model, data, 30, 1e-2, rng, 400)
            continue
        train(model, data, STEPS, rate, rng)
        beams = {"num_beams" if name == "Transformer" else "beam": BEAMS, "length_penalty": PENALTY}
        with no_grad():
            found[name] = score(joined(translate(model, test, 100, max_len=40, **beams)), references)
    if smoke:
        uniform = float(np.log(vocab))
        return [
            Claim(f"loss after 30 steps, {n}", v, "<=", uniform - 0.3, ("uniform", uniform)) for n, v in found.items()
        ]
    plain, attentive, all_attention = found.values()
    return [
        Claim("BLEU, GRU with attention", attentive, ">", max(copy, by_words), ("copy of the source", copy)),
        Claim("BLEU, Transformer", all_attention, ">", max(copy, by_words), ("word dictionary", by_words)),
        Claim("BLEU, attention above none", attentive, ">", plain, ("no attention", plain)),
        Claim("BLEU, Transformer above both", all_attention, ">", max(plain, attentive), ("attention", attentive)),
    ]
