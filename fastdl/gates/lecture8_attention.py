"""Lecture 8, attention and the Transformer (entries 90 to 99)."""

import numpy as np

from fastdl import decoding, nn
from fastdl.autograd import Tensor, no_grad
from fastdl.data.number_words import number_pairs
from fastdl.data.text import Vocabulary, join, split
from fastdl.gates import Claim, gate
from fastdl.gates._text import batches_for, numbers, translate
from fastdl.metrics import bleu, exact_match
from fastdl.models import transformer
from fastdl.models.gpt import GPT
from fastdl.nn import functional as F
from fastdl.nn.utils import clip_grad_norm_
from fastdl.optim import Adam, AdamW


def _transformer(data, layers=2, norm_first=True, d=64, dropout=0.0):
    source, target = data.vocabularies
    return transformer.Transformer(
        src_vocab=len(source), tgt_vocab=len(target), d_model=d, nhead=4, num_encoder_layers=layers,
        num_decoder_layers=layers, dim_feedforward=4 * d, dropout=dropout, norm_first=norm_first, shared="output",
        max_len=128,
    )  # fmt: skip


def _train(model, data, steps, rng, lr, warmup=200, batch=64, smoothing=0.0):
    optimizer = AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    losses = []
    for step, (src, tgt) in enumerate(batches_for(data, steps, batch, rng)):
        rate = min(1.0, (step + 1) / warmup) if warmup else 1.0
        optimizer.param_groups[0]["lr"] = lr * rate * min(1.0, 2 * (1 - step / steps) + 0.02)
        loss = transformer.loss(model(src, tgt[:, :-1]), tgt[:, 1:], smoothing)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@gate(entry=90, name="transduction")
def transduction(seed=0, smoke=False):
    "Vocabularies over characters, words and Korean jamo come back as they went in; corpus BLEU against values worked by hand."
    wrong = 0
    for language, unit in (("en", "char"), ("de", "char"), ("en", "word"), ("ko", "char"), ("ko", "jamo")):
        texts = number_pairs(language, 200, 50)[0].words
        vocabulary = Vocabulary.build([split(t, unit) for t in texts])
        wrong += sum(join(vocabulary.decode(vocabulary.encode(split(t, unit), True, True)), unit) != t for t in texts)
    reference = ["the cat sat on the mat today".split()]
    short = bleu(["the cat sat on the".split()], reference, smooth="none")  # all precisions 1, brevity e^(1 - 7/5)
    none = bleu(["a b c d e f g".split()], reference, smooth="none")
    half = bleu(["the cat sat on a mat today".split()], reference, smooth="none")
    by_hand = 100 * ((6 / 7) * (4 / 6) * (2 / 5) * (1 / 4)) ** 0.25
    return [
        Claim("texts that do not come back", wrong, "==", 0),
        Claim("BLEU of a short answer, off 100 e^(1 - 7/5)", abs(short - 100 * np.exp(1 - 7 / 5)), "<=", 1e-6),
        Claim("BLEU without a common word", none, "==", 0.0),
        Claim("BLEU with one word wrong, off its value by hand", abs(half - by_hand), "<=", 1e-6),
    ]


@gate(entry=91, name="transformer_number_words")
def transformer_number_words(seed=0, smoke=False):
    "Number words to digits (8,000 numbers below 100,000 to learn from, 1,000 others to judge): free-running exact match."
    train, test = numbers("en", 8000, 60 if smoke else 1000)
    model, rng = _transformer(train), np.random.default_rng(seed)
    losses = _train(model, train, 60 if smoke else 1300, rng, 2e-3, 20 if smoke else 200, 32 if smoke else 64)
    if smoke:
        return [
            Claim("loss after 60 steps", float(np.mean(losses[-5:])), "<=", 2.2, ("uniform", float(np.log(14)))),
            Claim("characters in answers", float(np.mean([len(t) for t in translate(model, test)])), "<=", 64),
        ]
    answers = translate(model, test, max_len=12)
    copy = exact_match([w for w, _ in test.pairs], [d for _, d in test.pairs])
    return [
        Claim(
            "exact match, 1,000 numbers", exact_match(answers, [d for _, d in test.pairs]), ">=", 0.97, ("copy", copy)
        ),
        Claim("parameters of base with 37,000 tokens", _base_count(), "==", 63_084_544),
    ]


def _base_count():
    with nn.init_empty():
        return sum(p.numel() for p in transformer.transformer_base().parameters())


@gate(entry=92, name="self_attention")
def self_attention(seed=0, smoke=False):
    "Scaled dot-product attention against a float64 reference, masked rows, the worked example, and its symmetry without positions."
    rng, worst = np.random.default_rng(seed), 0.0
    for T, S, d, dv in ((1, 1, 4, 4), (17, 33, 16, 8), (129, 257, 64, 64), *(() if smoke else ((1024, 1024, 64, 64),))):
        q, k, v = (rng.standard_normal(s).astype(np.float32) for s in ((1, 2, T, d), (1, 2, S, d), (1, 2, S, dv)))
        mask = rng.random((T, S)) < 0.7
        mask[T // 2] = False  # a row that sees nothing
        got = F.scaled_dot_product_attention(Tensor(q), Tensor(k), Tensor(v), Tensor(mask)).array
        s = np.where(mask, q.astype(np.float64) @ k.swapaxes(2, 3).astype(np.float64) / np.sqrt(d), -np.inf)
        e = np.exp(s - np.where(np.isfinite(s.max(-1, keepdims=True)), s.max(-1, keepdims=True), 0))
        want = e @ v / np.maximum(e.sum(-1, keepdims=True), 1e-300)
        worst = max(worst, np.abs(got - want).max())
    two = F.softmax(Tensor(np.array([112.0, 96.0]) / np.sqrt(64)), -1).array
    layer = nn.MultiheadAttention(16, 4, batch_first=True)
    x = rng.standard_normal((1, 9, 16)).astype(np.float32)
    order = rng.permutation(9)
    y, turned = (layer(Tensor(a), Tensor(a), Tensor(a))[0].array for a in (x, x[:, order]))
    return [
        Claim("largest difference to float64", float(worst), "<=", 1e-5),
        Claim("weight of the first of two words, off 0.8808", float(abs(two[0] - 0.8808)), "<=", 1e-4),
        Claim("permuted input, output not permuted by", float(np.abs(y[:, order] - turned).max()), "<=", 1e-6),
    ]


@gate(entry=93, name="multi_head")
def multi_head(seed=0, smoke=False):
    "Parameter counts of ten heads of width 10 and of ten heads at full width; several heads are the same computation side by side."
    split_form = sum(p.numel() for p in nn.MultiheadAttention(100, 10, bias=False).parameters())
    biased = sum(p.numel() for p in nn.MultiheadAttention(100, 10).parameters())
    full = 10 * 3 * 100 * 100 + 10 * 100 * 100  # ten heads of width 100 and W_O (1000, 100)
    rng = np.random.default_rng(seed)
    layer = nn.MultiheadAttention(12, 3, batch_first=True)
    x = rng.standard_normal((2, 5, 12)).astype(np.float32)
    y, maps = layer(Tensor(x), Tensor(x), Tensor(x), average_attn_weights=False)
    q, k, v = np.split(x @ layer.in_proj_weight.array.T + layer.in_proj_bias.array, 3, -1)
    heads = []
    for h in range(3):
        part = slice(4 * h, 4 * h + 4)
        w = F.softmax(Tensor(q[..., part] @ k[..., part].swapaxes(1, 2) / 2), -1).array
        heads.append(w @ v[..., part])
    by_hand = np.concatenate(heads, -1) @ layer.out_proj.weight.array.T + layer.out_proj.bias.array
    try:
        nn.MultiheadAttention(100, 7)
        refused = 0
    except ValueError:
        refused = 1
    return [
        Claim("weights of the split form, 100 wide, 10 heads", split_form, "==", 40_000),
        Claim("... with biases", biased, "==", 40_400),
        Claim("weights of ten full-width heads", full, "==", 400_000),
        Claim("heads one by one, difference", float(np.abs(by_hand - y.array).max()), "<=", 1e-5),
        Claim("rows of the maps sum to 1, off by", float(np.abs(maps.array.sum(-1) - 1).max()), "<=", 1e-5),
        Claim("a width that the heads do not divide is refused", refused, "==", 1),
    ]


@gate(entry=94, name="feed_forward")
def feed_forward(seed=0, smoke=False):
    "The position-wise network: a changed token changes no other token's output by a bit; it is two 1x1 convolutions."
    rng = np.random.default_rng(seed)
    layer = nn.FeedForward(32, 128)
    x = rng.standard_normal((2, 10, 32)).astype(np.float32)
    other = x.copy()
    other[:, 4] += 1
    a, b = layer(Tensor(x)).array, layer(Tensor(other)).array
    changed = (a != b).any((0, 2))
    first, second = nn.Conv1d(32, 128, 1), nn.Conv1d(128, 32, 1)
    for conv, linear in ((first, layer.linear1), (second, layer.linear2)):
        conv.weight.array[...], conv.bias.array[...] = linear.weight.array[..., None], linear.bias.array
    c = second(F.relu(first(Tensor(x.swapaxes(1, 2).copy())))).array.swapaxes(1, 2)
    return [
        Claim("positions that change", int(changed.sum()), "==", 1),
        Claim("difference to two 1x1 convolutions", float(np.abs(a - c).max()), "<=", 1e-5),
    ]


class _WhichFirst(nn.Module):
    """Is symbol 0 before symbol 1? Mean over one encoder layer's outputs, with or without positions."""

    def __init__(self, positions):
        super().__init__()
        self.embedding = nn.Embedding(10, 32)
        self.positions = nn.SinusoidalPositionalEncoding(32) if positions else nn.Identity()
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.output = nn.Linear(32, 2)

    def forward(self, x):
        return self.output(self.layer(self.positions(self.embedding(x))).mean(1))


def _order_batch(n, rng):
    x = rng.integers(2, 10, (n, 8))
    places = np.argsort(rng.random((n, 8)), 1)[:, :2]
    np.put_along_axis(x, places, np.array([[0, 1]]), 1)
    return x, (places[:, 0] < places[:, 1]).astype(np.int64)


@gate(entry=95, name="positional_encoding")
def positional_encoding(seed=0, smoke=False):
    "Sinusoids shift by a rotation; a layer without positions cannot tell which of two symbols came first, one with them can."
    d = 64
    table = nn.SinusoidalPositionalEncoding(d).rows(0, 600).astype(np.float64)
    turn = np.exp(-1j * 13 * 10000 ** (-np.arange(0, d, 2) / d))
    z = table[:, 0::2] + 1j * table[:, 1::2]
    rotation = np.abs(z[:-13] * turn - z[13:]).max()
    found = {}
    for positions in (False, True):
        rng = np.random.default_rng(seed)
        model = _WhichFirst(positions)
        optimizer = Adam(model.parameters(), lr=3e-3)
        for _ in range(120 if smoke else 500):
            x, y = _order_batch(64, rng)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        x, y = _order_batch(2000, rng)
        with no_grad():
            found[positions] = float((model(x).array.argmax(1) == y).mean())
    return [
        Claim("a shift by 13 is a rotation, off by", float(rotation), "<=", 1e-4),
        Claim("order told without positions", found[False], "<=", 0.55, ("chance", 0.5)),
        Claim("order told with positions", found[True], ">=", 0.7 if smoke else 0.99, ("without", found[False])),
    ]


@gate(entry=96, name="encoder_stack")
def encoder_stack(seed=0, smoke=False):
    "Six layers on number words at rate 1e-3 without warm-up: pre-norm learns, post-norm does not (training loss)."
    train, _ = numbers("en", 4000, 100)
    steps, found = 30 if smoke else 500, {}
    for norm_first in (True, False):
        model, rng = _transformer(train, 6, norm_first), np.random.default_rng(seed)
        found[norm_first] = float(np.mean(_train(model, train, steps, rng, 1e-3, 0, 32)[-20:]))
        if smoke:
            return [Claim("loss of pre-norm after 30 steps", found[True], "<=", 2.2, ("uniform", float(np.log(14))))]
    return [
        Claim("loss of pre-norm after 500 steps", found[True], "<", 0.5, ("post-norm", found[False])),
        Claim("loss of post-norm after 500 steps", found[False], ">=", 0.5, ("pre-norm", found[True])),
    ]


@gate(entry=97, name="masked_attention")
def masked_attention(seed=0, smoke=False):
    "A causal model: future tokens change no bit of earlier scores and get no gradient; reading token by token gives the same."
    rng = np.random.default_rng(seed)
    model = GPT(vocab=50, context=32, d=32, layers=3, heads=4).eval()
    ids = rng.integers(0, 50, (2, 32))
    other = ids.copy()
    other[:, 20:] = (other[:, 20:] + 7) % 50
    with no_grad():
        a, b = model(ids).array, model(other).array
        caches = model.make_caches()
        steps = np.concatenate([model(ids[:, t : t + 1], caches).array for t in range(32)], 1)
    x = Tensor(rng.standard_normal((1, 12, 32)).astype(np.float32), requires_grad=True)
    y = x
    for block in model.transformer.h:
        y = block(y)
    (y[:, 5] ** 2).sum().backward()
    return [
        Claim("earlier scores that differ", int((a[:, :20] != b[:, :20]).sum()), "==", 0),
        Claim("later scores that differ", int((a[:, 20:] != b[:, 20:]).sum()), ">", 0),
        Claim("gradient of future inputs", float(np.abs(x.grad.array[:, 6:]).max()), "==", 0.0),
        Claim("token by token with a cache, difference", float(np.abs(steps - a).max()), "<=", 1e-4),
    ]


@gate(entry=98, name="cross_attention")
def cross_attention(seed=0, smoke=False):
    "Number words to digits: the source is projected once a sentence; one head's attention walks from left to right."
    train, test = numbers("en", 8000, 20 if smoke else 200)
    model, rng = _transformer(train), np.random.default_rng(seed)
    _train(model, train, 30 if smoke else 900, rng, 2e-3, 20 if smoke else 200)
    model.eval()
    best, calls = 0.0, 0
    monotone = []
    with no_grad():
        for source, target in test.batches(10**9, batch_size=50):
            session = transformer.Session(model, source)
            for t in range(4):
                session.step(target[:, min(t, target.shape[1] - 1)])
            calls = max(calls, *(other.written for _, other in session.cache))
            maps = []
            model.decode(target, session.memory, source, maps=maps)  # (N, heads, T, S) of every layer
            peaks = np.stack([m.array.argmax(-1) for m in maps], 1)  # (N, layers, heads, T)
            length = (target != 0).sum(1) - 2
            for row, n in zip(peaks, length, strict=True):
                steps = np.diff(row[:, :, : max(int(n), 1)], axis=-1)
                monotone.append((steps >= 0).mean(-1) if n > 1 else np.ones(row.shape[:2]))
    best = float(np.mean(monotone, 0).max())
    if smoke:
        return [Claim("times the source was projected", calls, "==", 1)]
    return [
        Claim("times the source was projected", calls, "==", 1),
        Claim("steps from left to right, best head", best, ">=", 0.8, ("chance", 0.5)),
    ]


class _Chain:
    """A table (V, V) of next scores, as a decoder."""

    def __init__(self, table):
        self.table = table

    def step(self, tokens):
        return self.table[tokens]

    def reorder(self, rows):
        pass


@gate(entry=99, name="decoding")
def decoding_(seed=0, smoke=False):
    "Greedy, beams, and draws: one beam is greedy, four are not worse on 100 items, draws follow softmax, a cache changes nothing."
    rng = np.random.default_rng(seed)
    unlike = worse = gain = 0
    for _ in range(100):
        table, first = rng.standard_normal((12, 12)) * 2, rng.standard_normal((1, 12)) * 2
        greedy = decoding.decode(_Chain(table), first, 8, temperature=0, eos=5)[0]
        one, w1 = decoding.beam_search(_Chain(table), first, 8, 1, eos=5, return_scores=True)
        _, w4 = decoding.beam_search(_Chain(table), first, 8, 4, eos=5, return_scores=True)
        unlike += one[0].tolist() != greedy.tolist()
        worse += w4[0] < w1[0] - 1e-9
        gain += w4[0] - w1[0]
    scores = rng.standard_normal(10)
    n, p = 20_000, decoding.probabilities(scores)
    counts = np.bincount(decoding.decode(None, np.tile(scores, (n, 1)), 1, generator=rng)[:, 0], minlength=10)
    chi2 = float(((counts - n * p) ** 2 / (n * p)).sum())
    model = GPT(vocab=40, context=24, d=32, layers=2, heads=4)
    for block in model.transformer.h:
        block.attn.c_attn.weight.array[...] *= 8
    prompt = rng.integers(0, 40, (4, 6))
    drawn = [
        model.generate(
            prompt, 30, temperature=t, top_k=5, top_p=0.9, use_cache=cache, generator=np.random.default_rng(1)
        )
        for cache in (True, False)
        for t in (0, 1.0)
    ]
    return [
        Claim("items on which one beam is not greedy", unlike, "==", 0),
        Claim("items on which four beams score less", worse, "==", 0),
        Claim("gain of four beams, nats a length unit", gain / 100, ">", 0.0, ("greedy", 0.0)),
        Claim("chi-square of 20,000 draws, 9 degrees of freedom", chi2, "<=", 27.88),
        Claim("tokens that a cache changes", int(sum((a != b).sum() for a, b in zip(drawn[:2], drawn[2:]))), "==", 0),
    ]
