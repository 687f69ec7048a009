"""Lecture 1, the historical review: DQN, encoder-decoder, BERT and GPT on real data (entries 3 to 6)."""

import numpy as np

from fastdl.autograd import no_grad
from fastdl.data.text import ParallelText
from fastdl.gates import Claim, gate
from fastdl.gates._text import batches_for, bible, chain_bits, numbers, translate
from fastdl.metrics import exact_match, phoneme_error_rate
from fastdl.models import bert, gpt, seq2seq
from fastdl.nn.utils import clip_grad_norm_
from fastdl.optim import Adam
from fastdl.recipes._loops import adamw, fit, random_windows, warm_cosine
from fastdl.recipes._pairs import pronunciations
from fastdl.recipes.bert import masked_accuracy, neighbour_table
from fastdl.rl import DQN


def _train_seq2seq(model, data, steps, rng, lr=3e-3, batch=64):
    optimizer, losses = Adam(model.parameters(), lr=lr), []
    for step, (src, tgt) in enumerate(batches_for(data, steps, batch, rng)):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, 2 * (1 - step / steps) + 0.02)
        loss = seq2seq.loss(model(src, tgt[:, :-1]), tgt[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def _number_words(model, train, test, steps, seed):
    """(loss at the end, answers to the test numbers)."""
    losses = _train_seq2seq(model, train, steps, np.random.default_rng(seed))
    return float(np.mean(losses[-5:])), translate(model, test, max_len=12)


def _reader(train, attention):
    source, target = train.vocabularies
    return seq2seq.Seq2Seq(len(source), len(target), hidden=96, embed=48, attention=attention)


@gate(entry=4, name="seq2seq_number_words")
def seq2seq_number_words(seed=0, smoke=False):
    "GRU encoder-decoders, plain and with Luong's attention, turn English number words into digits: exact match."
    train, test = numbers("en", 8000, 100 if smoke else 1000)
    if smoke:
        loss, answers = _number_words(_reader(train, "luong"), train, test, 40, seed)
        return [
            Claim("loss after 40 steps", loss, "<=", 1.9, ("uniform", float(np.log(14)))),
            Claim("longest answer", max(map(len, answers)), "<=", 12),
        ]
    digits = [d for _, d in test.pairs]
    copy = exact_match([w for w, _ in test.pairs], digits)
    claims = []
    for attention, steps in ((None, 1100), ("luong", 1000)):
        _, answers = _number_words(_reader(train, attention), train, test, steps, seed)
        name = f"exact match, {attention or 'no'} attention"
        claims.append(Claim(name, exact_match(answers, digits), ">=", 0.98, ("copy of the source", copy)))
    return claims


@gate(entry=4, name="seq2seq_german_korean")
def seq2seq_german_korean(seed=0, smoke=False):
    "The same with attention for German and Korean (taken apart into jamo) number words: exact match."
    claims = []
    for language in ("ko",) if smoke else ("de", "ko"):
        train, test = numbers(language, 8000, 100 if smoke else 1000)
        loss, answers = _number_words(_reader(train, "luong"), train, test, 30 if smoke else 1000, seed)
        if smoke:
            return [Claim("loss after 30 steps, Korean", loss, "<=", 2.1, ("uniform", float(np.log(14))))]
        digits = [d for _, d in test.pairs]
        copy = exact_match([w for w, _ in test.pairs], digits)
        claims.append(Claim(f"exact match, {language}", exact_match(answers, digits), ">=", 0.98, ("copy", copy)))
    return claims


@gate(entry=4, name="grapheme_to_phoneme")
def grapheme_to_phoneme(seed=0, smoke=False):
    "A GRU encoder-decoder with attention spells words as sounds (CMU dictionary): errors on words it never saw."
    train, test = pronunciations(*((2000, 100) if smoke else (30_000, 1000)))
    data = ParallelText([(w, sounds[0]) for w, sounds in train.items()], "char", "symbols")
    judge = ParallelText([(w, s[0]) for w, s in test.items()], "char", "symbols", vocabularies=data.vocabularies)
    references = [tuple(map(list, s)) for s in test.values()]
    counts: dict = {}
    for word, sounds in data.pairs:  # letter -> the phoneme that stands at its place most often
        for i, letter in enumerate(word):
            phoneme = sounds[min(i * len(sounds) // len(word), len(sounds) - 1)]
            counts.setdefault(letter, {}).setdefault(phoneme, 0)
            counts[letter][phoneme] += 1
    table = {letter: max(c, key=c.get) for letter, c in counts.items()}
    base = [[table.get(c, "AH") for c in w] for w in test]
    base_error, base_right = phoneme_error_rate(base, references), exact_match(base, references)
    source, target = data.vocabularies
    model = seq2seq.Seq2Seq(len(source), len(target), hidden=128, embed=64, attention="luong")
    losses = _train_seq2seq(model, data, 40 if smoke else 2200, np.random.default_rng(seed))
    if smoke:
        return [
            Claim(
                "loss after 40 steps", float(np.mean(losses[-5:])), "<=", 3.2, ("uniform", float(np.log(len(target))))
            )
        ]
    answers = translate(model, judge, max_len=16)
    return [
        Claim("phoneme error rate", phoneme_error_rate(answers, references), "<=", 0.20, ("letter table", base_error)),
        Claim("words right", exact_match(answers, references), ">=", 0.40, ("letter table", base_right)),
    ]


@gate(entry=5, name="bert_masked_characters")
def bert_masked_characters(seed=0, smoke=False):
    """BERT (4 layers, 128) fills in masked characters of the King James Bible (15 %): accuracy on held-out text, against counts.

    Short windows come first (8 characters, then 16), as published BERT saw 128 tokens before 512: over 64 places at once the
    attention of this post-norm network stays even for the whole time, and it guesses by frequency (0.25).
    """
    tokenizer, train, test = bible()
    vocab = len(tokenizer)
    table = neighbour_table(train, test, vocab)
    most = float((test == tokenizer.encode(" ")[0]).mean())
    sizes = {"hidden": 64, "layers": 2} if smoke else {"hidden": 128, "layers": 4}
    model = bert.BertForMaskedLM(vocab=vocab + 2, heads=4, positions=16, dropout=0.0, pad=vocab + 1, **sizes)
    stages = ((8, 90), (16, 10)) if smoke else ((8, 300), (16, 1600))
    steps, rng = sum(n for _, n in stages), np.random.default_rng(seed)
    optimizer = adamw(model, 3e-3 if smoke else 2e-3, 0.01, (0.9, 0.98))
    schedule = warm_cosine(optimizer, steps, 20 if smoke else 50, 0.05)
    for T, n in stages:
        for _ in range(n):
            x, _y = random_windows(train, T, 1024 // T, rng)
            inputs, labels = bert.mask_tokens(x, vocab + 1, vocab, rng)
            places = labels != -100
            loss = bert.loss(model(inputs, places=places), labels[places])
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.eval()
    if smoke:
        inputs, labels = bert.mask_tokens(test[:6400].reshape(-1, 8), vocab + 1, vocab, rng)
        with no_grad():
            bits = bert.loss(model(inputs, places=labels != -100), labels[labels != -100]).item() / np.log(2)
        return [Claim("bits a masked character", bits, "<=", 4.2, ("order 0", 4.407))]
    accuracy = masked_accuracy(model, test, vocab, 16)
    return [
        Claim("masked characters right", accuracy, ">=", 0.60, ("table of both neighbours", table)),
        Claim("... above always a space by", accuracy - most, ">=", 0.3, ("always a space", most)),
    ]


@gate(entry=6, name="gpt_characters")
def gpt_characters(seed=0, smoke=False):
    "GPT (3 layers, 128, context 64) on King James characters: bits a character on held-out text, cache against none."
    tokenizer, train, test = bible()
    vocab = len(tokenizer)
    sizes = {"d": 64, "layers": 2} if smoke else {"d": 128, "layers": 3}
    model = gpt.GPT(vocab=vocab, context=64, heads=4, dropout=0.0, **sizes)
    steps, rng = 50 if smoke else 1000, np.random.default_rng(seed)
    optimizer = adamw(model, 5e-3 if smoke else 3e-3)
    batches = (random_windows(train, 64, 16 if smoke else 32, rng) for _ in range(steps))
    fit(model, batches, gpt.loss, optimizer, warm_cosine(optimizer, steps, 10 if smoke else 50))
    bits = gpt.bits_per_token(model, test[:4000] if smoke else test, 32)
    prompt = tokenizer.encode("In the beginning ")
    same = [model.generate(prompt, 80, temperature=0, use_cache=cache) for cache in (True, False)]
    unlike = int((same[0] != same[1]).sum())
    if smoke:
        return [
            Claim("bits a character after 50 steps", bits, "<=", 4.2, ("order 0", 4.407)),
            Claim("tokens that the cache changes", unlike, "==", 0),
        ]
    two = chain_bits(train, test, vocab, 2)
    return [
        Claim("bits a character", bits, "<=", 2.45, ("counts of 2 characters", two)),
        Claim("bits a character below counts of 3 characters by", chain_bits(train, test, vocab, 3) - bits, ">=", 0.0),
        Claim("tokens that the cache changes", unlike, "==", 0),
    ]


@gate(entry=3, name="dqn_cartpole")
def dqn_cartpole(seed=0, smoke=False):
    "Double DQN (4-128-128-2) on CartPole: mean return of the greedy policy over 100 fresh episodes."
    steps = 1500 if smoke else 30_000
    agent = DQN(
        "CartPole", double=True, lr=1e-3, batch=64, target_every=200, epsilon=(1.0, 0.05, steps // 4),
        train_every=1 if smoke else 2, seed=seed,
    )  # fmt: skip
    base = float(agent.random_returns(100).mean())
    agent.learn(steps, validate_every=steps // (5 if smoke else 20), validation=20 if smoke else 50)
    value = float(agent.evaluate(100).mean())
    count = sum(p.numel() for p in agent.network.parameters())
    return [
        Claim("mean return, 100 fresh episodes", value, ">=", 1.5 * base if smoke else 195, ("random actions", base)),
        Claim("parameters", count, "==", 17_410),
    ]


@gate(entry=3, name="dqn_catch")
def dqn_catch(seed=0, smoke=False):
    "DQN with a convolutional network on the pixels of Catch (10 x 5): share of 500 fresh games in which the ball is caught."
    steps = 1200 if smoke else 6000
    agent = DQN("Catch", lr=1e-3, target_every=100, epsilon=(1.0, 0.05, steps // 2), warm_up=200, seed=seed)
    base = float((agent.random_returns(500) > 0).mean())
    agent.learn(steps)
    caught = float((agent.evaluate(500) > 0).mean())
    bound = base + 0.03 if smoke else 0.9
    return [Claim("games in which the ball is caught", caught, ">=", bound, ("random actions", base))]


@gate(entry=6, name="gpt_in_context")
def gpt_in_context(seed=0, smoke=False):
    "Random segments that come twice: the second time GPT copies from its context; nothing of them can be learned beforehand."
    rng, most = np.random.default_rng(seed), 12

    def twice(n, length):
        segment = rng.integers(0, 16, (n, length))
        return np.concatenate([segment, segment], 1)

    model = gpt.GPT(vocab=16, context=2 * most, d=64, layers=2, heads=4, dropout=0.0)
    steps = 300 if smoke else 2500
    optimizer = adamw(model, 3e-3, 0.01)
    batches = (twice(32, int(rng.integers(4, most + 1))) for _ in range(steps))
    fit(model, ((x[:, :-1], x[:, 1:]) for x in batches), gpt.loss, optimizer, warm_cosine(optimizer, steps, 50))
    x = twice(500, most)
    with no_grad():
        first = gpt.loss(model(x[:, : most - 1]), x[:, 1:most]).item()
        second = gpt.loss(model(x[:, :-1])[:, most:], x[:, most + 1 :]).item()
    uniform = float(np.log(16))
    return [
        Claim("nats a token, second time", second, "<=", (0.9 if smoke else 0.5) * first, ("first time", first)),
        Claim("nats a token, first time", first, ">=", 0.95 * uniform, ("uniform", uniform)),
    ]
