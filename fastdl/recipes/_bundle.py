"""A text model in one .safetensors file: weights, sizes, vocabulary; so that it can be used without its training script."""

import json
from dataclasses import asdict

from fastdl.data.text import CharTokenizer, Vocabulary
from fastdl.io.safetensors import load_file, read_metadata, save_file
from fastdl.models import bert, gpt, latent_ar, seq2seq, transformer

KINDS = {
    "gpt": lambda c: gpt.GPT(gpt.GPTConfig(**c)),
    "char_lstm": lambda c: latent_ar.LatentAR(**c),
    "bert": lambda c: bert.BertForMaskedLM(bert.BertConfig(**c)),
    "seq2seq": lambda c: seq2seq.Seq2Seq(config=seq2seq.Seq2SeqConfig(**c)),
    "transformer": lambda c: transformer.Transformer(transformer.TransformerConfig(**c)),
}


def save(kind, model, path, tokenizer=None, vocabularies=None, units=None):
    """Write the file; tokenizer of a language model, or vocabularies and units of a translator."""
    config = model.config if isinstance(model.config, dict) else asdict(model.config)
    metadata = {"fastdl": kind, "config": json.dumps(config)}
    if tokenizer is not None:
        metadata["chars"] = json.dumps(tokenizer.chars)
    if vocabularies is not None:
        metadata["vocabularies"] = json.dumps([v.symbols[4:] for v in vocabularies])
        metadata["units"] = json.dumps(units)
    shared, tensors = set(), {}
    for key, value in model.state_dict().items():
        if id(value.array.base if value.array.base is not None else value.array) not in shared:
            tensors[key] = value
        shared.add(id(value.array.base if value.array.base is not None else value.array))
    save_file(tensors, path, metadata)


def load(path, kinds=None):
    """(kind, model in evaluation mode, tokenizer or (vocabularies, units)) of a file that save wrote."""
    metadata = read_metadata(path)
    kind = metadata.get("fastdl")
    if kind not in KINDS:
        raise ValueError(f"{path} holds weights, but not a text model of fastdl (train one: fastdl train gpt)")
    if kinds is not None and kind not in kinds:
        raise ValueError(f"{path} holds a {kind}; this needs {' or '.join(kinds)}")
    model = KINDS[kind](json.loads(metadata["config"]))
    own, stored = model.state_dict(), load_file(path)
    strange = [key for key in stored if key not in own]
    if strange:
        raise ValueError(f"{path} does not fit a {kind} of its own sizes: {', '.join(strange[:5])}")
    model.load_state_dict(stored, strict=False)  # what two names share is stored once
    if "chars" in metadata:
        return kind, model.eval(), CharTokenizer(chars=json.loads(metadata["chars"]))
    vocabularies = tuple(Vocabulary(s) for s in json.loads(metadata["vocabularies"]))
    return kind, model.eval(), (vocabularies, json.loads(metadata["units"]))
