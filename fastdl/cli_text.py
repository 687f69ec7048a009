"""`fastdl generate`, `fastdl translate`, `fastdl embed`: models of text that `fastdl train` wrote."""

import json
import sys
from pathlib import Path

import numpy as np

from fastdl.cli_common import use_machine
from fastdl.data.text import BOS
from fastdl.decoding import check_draws
from fastdl.random import manual_seed


def _open(path, kinds):
    with open(path, "rb"):  # the system's own words for a file that is missing
        pass
    from fastdl.recipes import _bundle

    return _bundle.load(path, kinds)


def _encode(tokenizer, text, what):
    """Numbers of a text's characters; an error that names those the model never saw."""
    strange = sorted(set(text) - set(tokenizer.chars))
    if strange:
        names = ", ".join(map(repr, strange[:10]))
        raise ValueError(
            f"unknown character{'s' if len(strange) > 1 else ''} {names} in the {what}; this model was trained on texts "
            f"with {''.join(tokenizer.chars)!r} only; leave the others out"
        )
    return tokenizer.encode(text)


def generate(args):
    """Prints the prompt and what follows it, as it is drawn."""
    use_machine(args)
    _, model, tokenizer = _open(args.model, ("gpt", "char_lstm"))
    if not args.prompt:
        raise ValueError("the prompt is empty; give the beginning of a text: --prompt 'In the '")
    prompt = _encode(tokenizer, args.prompt, "prompt")
    check_draws("options", args.temperature, args.top_k, args.top_p, args.repetition_penalty)
    manual_seed(args.seed)

    def show(tokens):
        sys.stdout.write(tokenizer.decode(tokens))
        sys.stdout.flush()

    sys.stdout.write(args.prompt)
    model.generate(
        prompt, args.length, temperature=args.temperature, top_k=args.top_k, top_p=args.top_p,
        repetition_penalty=args.repetition_penalty, on_token=show,
    )  # fmt: skip
    print()


def translate(args):
    """One line out for each line in: the arguments, or standard input."""
    from fastdl.data.text import join, pad, split
    from fastdl.recipes._pairs import words

    use_machine(args)
    kind, model, (vocabularies, units) = _open(args.model, ("seq2seq", "transformer"))
    if args.attention and kind == "seq2seq" and model.decoder.attention is None:
        raise ValueError("--attention: this model was trained without attention; there is nothing to draw")
    drawn = 0
    lines = args.text or [line.rstrip("\n") for line in sys.stdin]
    beam = {"beam" if kind == "seq2seq" else "num_beams": args.beam}
    for line in lines:
        unit = "char" if units[0] == "symbols" else units[0]
        symbols = split(words(line) if unit == "word" else line, unit)
        if not line.strip() or not symbols:
            print(flush=True)
            continue
        known = set(vocabularies[0].symbols)
        if not known & set(symbols):  # upper or lower case, if that helps
            symbols = next(
                (s for s in (split(line.upper(), unit), split(line.lower(), unit)) if known & set(s)), symbols
            )
        unknown = sorted(set(symbols) - known)
        if unknown:
            print(f"fastdl translate: not in the vocabulary: {' '.join(unknown[:10])}", file=sys.stderr)
        most = getattr(model.config, "max_len", None)  # of a Transformer; a recurrent model reads on and on
        if most is not None and len(symbols) + 1 > most:
            raise ValueError(
                f"the line {line[:40]!r}... has {len(symbols)} symbols, this model reads at most {most - 1}; divide it"
            )
        source = pad([vocabularies[0].encode(symbols, eos=True)])
        found = model.generate(source, max_len=args.length, **beam)[0]
        answer = vocabularies[1].decode(found)
        print(" ".join(answer) if units[1] == "symbols" else join(answer, units[1]), flush=True)
        if args.attention:
            drawn += 1
            _draw_attention(model, vocabularies, source, found, _numbered(args.attention, drawn))


def _numbered(path, i):
    """maps.png, maps_2.png, maps_3.png: a picture for each line."""
    path = Path(path)
    return path if i == 1 else path.with_name(f"{path.stem}_{i}{path.suffix}")


def _draw_attention(model, vocabularies, source, found, path):
    """The last layer's heads: what each symbol of the answer looked at in the source."""
    import matplotlib.pyplot as plt

    from fastdl.visualize import attention_map

    read = np.concatenate([[BOS], found[:-1]])[None]
    sources, targets = ([v.symbols[i] for i in ids] for v, ids in zip(vocabularies, (source[0], found), strict=True))
    figure = attention_map(model.attention_maps(source, read)[-1][0], sources, targets)
    figure.savefig(path, dpi=90)
    plt.close(figure)
    print(f"fastdl translate: attention in {path}", file=sys.stderr)


def embed(args):
    """A JSON list of numbers for each text: the mean of BERT's last hidden states."""
    from fastdl.autograd import no_grad

    use_machine(args)
    _, model, tokenizer = _open(args.model, ("bert",))
    most = model.config.positions
    for text in args.text or [line.rstrip("\n") for line in sys.stdin]:
        if not text:
            raise ValueError("an empty text has no embedding")
        ids = _encode(tokenizer, text, "text")
        with no_grad():
            states = [model.bert(ids[None, i : i + most])[0].array[0] for i in range(0, len(ids), most)]
        mean = np.concatenate(states).mean(0)
        print(json.dumps([round(float(x), 6) for x in mean]))
