"""BLEU and chrF: how much of a translation is found in a reference.

Both are on the scale 0..100, over a whole set (corpus), and agree with sacrebleu's defaults.

Ref  Papineni, Roukos, Ward, Zhu, "BLEU: a Method for Automatic Evaluation of Machine Translation", 2002
     Popović, "chrF: character n-gram F-score for automatic MT evaluation", 2015
     Post, "A Call for Clarity in Reporting BLEU Scores", 2018 (the tokenisation 13a and the exponential smoothing)
"""

import math
import re
from collections import Counter

_RULES_13A = [
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),  # punctuation but . , - '
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),  # . and , unless a digit stands before
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),  # or behind them
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),  # a dash after a digit
]
_ENTITIES = {"&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">"}


def tokenize_13a(line: str) -> list[str]:
    """Words and punctuation of a line as the evaluation script mteval-v13a splits it.

    Example
    >>> tokenize_13a("It costs 1,000.50 (or so).")
    ['It', 'costs', '1,000.50', '(', 'or', 'so', ')', '.']
    """
    line = line.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES.items():
        line = line.replace(entity, character)
    line = f" {line} "
    for pattern, replacement in _RULES_13A:
        line = pattern.sub(replacement, line)
    return line.split()


def bleu(predictions, references, max_n: int = 4, smooth: str = "exp", tokenize=tokenize_13a, lowercase=False) -> float:
    """Corpus BLEU, 0..100: geometric mean of the clipped n-gram precisions of n = 1..max_n, times the brevity penalty.

    predictions  list of strings (tokenised by `tokenize`), or list of token lists (taken as they are)
    references   for each prediction one reference of the same kind, or a tuple of several
    smooth       for n-gram orders without a match: "exp" counts 1/2, 1/4, ... for the first, second, ...; "none" gives 0
    Notes        no n-gram of some order in all predictions: 0, as sacrebleu has it

    Example
    >>> round(bleu(["the cat sat on the mat"], ["the cat sat on a mat"]), 2)
    53.73
    """
    if smooth not in ("exp", "none"):
        raise ValueError(f"bleu: smooth must be 'exp' or 'none'; got {smooth!r}")
    if max_n < 1:
        raise ValueError(f"bleu: max_n must be at least 1; got {max_n}")
    match, total = [0] * max_n, [0] * max_n
    length = reference_length = 0
    for guess, options in _pairs(predictions, references, "bleu"):
        if isinstance(guess, str):
            guess, *options = (tokenize(s.lower() if lowercase else s) for s in (guess, *options))
        length += len(guess)
        reference_length += min((len(o) for o in options), key=lambda n: (abs(n - len(guess)), n))
        for n in range(1, max_n + 1):
            allowed: Counter = Counter()
            for option in options:
                allowed |= _ngrams(option, n)
            match[n - 1] += (_ngrams(guess, n) & allowed).total()
            total[n - 1] += max(len(guess) - n + 1, 0)
    if not any(match) or not all(total):
        return 0.0
    logs, floor = 0.0, 1.0
    for hit, count in zip(match, total, strict=True):
        if hit == 0:
            if smooth == "none":
                return 0.0
            floor *= 2
            hit = 1 / floor
        logs += math.log(hit / count)
    penalty = 1.0 if length >= reference_length else math.exp(1 - reference_length / length)
    return 100 * penalty * math.exp(logs / max_n)


def chrf(predictions, references, max_n: int = 6, beta: float = 2.0, word_n: int = 0) -> float:
    """chrF, 0..100: F score of character n-grams, white space left out, recall counting beta times as much as precision.

    predictions  list of strings
    references   for each a string, or a tuple of several of which the best counts
    word_n       2 gives chrF++: word n-grams up to this order too
    """
    orders = max_n + word_n
    sums = [[0, 0, 0] for _ in range(orders)]  # in the prediction, in the reference, in both
    for guess, options in _pairs(predictions, references, "chrf"):
        if not isinstance(guess, str):
            raise TypeError(f"chrf: compares strings; got {type(guess).__name__}; hint: ' '.join(tokens)")
        mine = _all_ngrams(guess, max_n, word_n)
        best = None
        for option in options:
            theirs = _all_ngrams(option, max_n, word_n)
            stats = [(a.total() if b else 0, b.total(), (a & b).total()) for a, b in zip(mine, theirs, strict=True)]
            score = _f_score(stats, beta)
            if best is None or score > best[0]:
                best = (score, stats)
        for total, counts in zip(sums, best[1], strict=True):
            for i in range(3):
                total[i] += counts[i]
    return _f_score(sums, beta)


def _f_score(stats, beta):
    used = [(match / a, match / b) for a, b, match in stats if a > 0 and b > 0]
    if not used:
        return 0.0
    precision = sum(p for p, _ in used) / len(used)
    recall = sum(r for _, r in used) / len(used)
    if precision + recall == 0:
        return 0.0
    return 100 * (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def _all_ngrams(line, max_n, word_n):
    characters = "".join(line.split())
    words = []
    for word in line.split() if word_n else ():
        words += _split_punctuation(word)
    return [_ngrams(characters, n) for n in range(1, max_n + 1)] + [_ngrams(words, n) for n in range(1, word_n + 1)]


def _split_punctuation(word):
    """A word without the punctuation at its end or start, which becomes a word of its own (chrF++)."""
    marks = "!\"#$%&'()*+,-./:;<=>?@[\\\\]^_`{|}~"
    if len(word) > 1 and word[-1] in marks:
        return [word[:-1], word[-1]]
    if len(word) > 1 and word[0] in marks:
        return [word[0], word[1:]]
    return [word]


def _ngrams(tokens, n) -> Counter:
    if isinstance(tokens, str):
        return Counter(tokens[i : i + n] for i in range(len(tokens) - n + 1))
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def _pairs(predictions, references, name):
    """(prediction, [references]) one after the other, checked."""
    if isinstance(predictions, str):
        raise TypeError(f"{name}: predictions is a list with one entry a sentence; hint: [{predictions[:20]!r}]")
    if len(predictions) != len(references) or not len(predictions):
        raise ValueError(
            f"{name}: needs as many references as predictions, at least one; got {len(references)} and {len(predictions)}"
        )
    for guess, reference in zip(predictions, references, strict=True):
        options = list(reference) if isinstance(reference, tuple) else [reference]
        if any(isinstance(o, str) != isinstance(guess, str) for o in options):
            raise TypeError(
                f"{name}: prediction and reference must both be strings or both lists of tokens; several references of one "
                f"prediction are a tuple; got {guess!r} and {reference!r}"
            )
        yield guess, options
