"""Texts at the edge: length 0 and 1, rows of padding, tokens out of range, prompts and lines that do not fit; never NaN."""

import numpy as np
import pytest

import fastdl_cli
from fastdl import decoding
from fastdl.autograd import Tensor
from fastdl.data.text import CharTokenizer, Vocabulary
from fastdl.models import bert, gpt, latent_ar, seq2seq, transformer
from fastdl.recipes import _bundle

V, SMALL = 9, {"d_model": 16, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 16}
READERS = {
    "gpt": lambda: gpt.GPT(vocab=V, context=8, d=16, layers=1, heads=2),
    "lstm": lambda: latent_ar.LatentAR(V, "lstm", embed=8, hidden=8),
    "linear": lambda: latent_ar.LatentAR(V, "linear", embed=8, hidden=8),
    "bert": lambda: bert.BertForMaskedLM(vocab=V, hidden=16, layers=1, heads=2, positions=8),
}
TRANSLATORS = {
    "plain": lambda: seq2seq.Seq2Seq(V, V, hidden=8),
    "luong": lambda: seq2seq.Seq2Seq(V, V, hidden=8, attention="luong"),
    "bahdanau": lambda: seq2seq.Seq2Seq(V, V, hidden=8, attention="bahdanau", cell="lstm"),
    "transformer": lambda: transformer.Transformer(src_vocab=V, tgt_vocab=V, max_len=8, **SMALL),
}


def ones(*shape):
    return np.ones(shape, np.int64)


@pytest.mark.parametrize("name", READERS)
def test_readers(name):
    model = READERS[name]().eval()
    for shape in ((2, 0), (2, 1), (0, 3), (2, 3)):
        found = model(ones(*shape))
        scores = (found[0] if isinstance(found, tuple) else found).array
        assert scores.shape == (*shape, V) and np.isfinite(scores).all()
    for token in (V, -1):
        with pytest.raises((IndexError, ValueError), match=f"{token} is o"):
            model(token * ones(2, 3))


@pytest.mark.parametrize("name", ("gpt", "bert"))
def test_readers_say_how_much_they_read(name):
    with pytest.raises(ValueError, match=r"9 tokens .*8"):
        READERS[name]()(ones(1, 9))


@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators(name):
    model = TRANSLATORS[name]().eval()
    for n, S, T in ((2, 0, 3), (2, 3, 0), (2, 1, 1), (0, 3, 3)):
        scores = model(ones(n, S) * 4, ones(n, T) * 4).array
        assert scores.shape == (n, T, V) and np.isfinite(scores).all()
    padded = np.array([[4, 5, 0], [0, 0, 0]])
    both, alone = model(padded, ones(2, 3) * 4).array, model(padded[:1], ones(1, 3) * 4).array
    assert np.isfinite(both).all() and np.allclose(both[:1], alone, atol=1e-6)
    with pytest.raises(ValueError, match="as many rows"):
        model(ones(2, 3), ones(3, 3))
    for src, tgt in ((V, 1), (1, V), (-1, 1)):
        with pytest.raises(IndexError, match="outside the table"):
            model(src * ones(2, 3), tgt * ones(2, 3))
    beams = "num_beams" if name == "transformer" else "beam"
    for k in (1, 3):
        assert len(model.generate(np.zeros((2, 3), np.int64), max_len=3, **{beams: k})) == 2
        assert model.generate(ones(0, 3), max_len=3, **{beams: k}) == []
    with pytest.raises(ValueError, match="number of beams must be at least 1"):
        model.generate(ones(2, 3), **{beams: 0})


@pytest.mark.parametrize("module, ignored", [(bert, -100), (gpt, -100), (seq2seq, 0), (transformer, 0)])
def test_a_loss_without_targets_is_zero_and_has_a_gradient(module, ignored):
    scores = Tensor(np.random.default_rng(0).standard_normal((2, 3, V)).astype(np.float32), requires_grad=True)
    loss = module.loss(scores, np.full((2, 3), ignored))
    loss.backward()
    assert loss.item() == 0 and not scores.grad.array.any()


def test_bert_pools_the_first_token_only_where_there_is_one():
    model = bert.Bert(vocab=V, hidden=16, layers=1, heads=2, positions=8).eval()
    with pytest.raises(ValueError, match="no first token"):
        model(ones(2, 0))
    hidden, pooled = model(ones(2, 4), np.array([[1, 1, 0, 0], [0, 0, 0, 0]]))
    assert np.isfinite(hidden.array).all() and np.isfinite(pooled.array).all()


@pytest.mark.parametrize(
    "bad", [{"temperature": -1}, {"temperature": np.nan}, {"top_k": 0}, {"top_p": 0}, {"repetition_penalty": 0}]
)
def test_draws_are_refused_before_the_first(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        decoding.decode(None, np.zeros((1, 3)), 1, **bad)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("models"), CharTokenizer("abcdefgh ")
    words = Vocabulary.build([list("abc")]), Vocabulary.build([list("xyz")])
    sizes = dict(zip(("src_vocab", "tgt_vocab"), map(len, words), strict=True))
    translators = {
        "seq2seq": seq2seq.Seq2Seq(*sizes.values(), hidden=8),
        "transformer": transformer.Transformer(**sizes, max_len=8, shared="output", **SMALL),
    }
    for name, model in translators.items():
        _bundle.save(name, model, folder / name, vocabularies=words, units=("char", "char"))
    settings = {"hidden": 16, "layers": 1, "heads": 2, "positions": 8, "pad": len(tokenizer.chars) + 1}
    _bundle.save("bert", bert.BertForMaskedLM(vocab=len(tokenizer.chars) + 2, **settings), folder / "bert", tokenizer)
    _bundle.save("gpt", READERS["gpt"](), folder / "gpt", tokenizer)
    (folder / "junk").write_text("hello")
    return folder


@pytest.mark.parametrize(
    "command, message",
    [
        (["generate", "gpt", "--prompt", "abz"], "unknown character 'z' in the prompt"),
        (["generate", "gpt", "--prompt", "a", "--temperature", "-1"], "temperature must be at least 0"),
        (["generate", "gpt", "--prompt", "a", "--repetition-penalty", "0"], "repetition_penalty must be above 0"),
        (["generate", "junk", "--prompt", "a"], "too short for a safetensors file"),
        (["generate", "nowhere", "--prompt", "a"], "No such file"),
        (["translate", "transformer", "abcabcabcabc"], "has 12 symbols, this model reads at most 7"),
        (["embed", "bert", "abz"], "unknown character 'z' in the text"),
        (["embed", "gpt", "a"], "holds a gpt; this needs bert"),
    ],
)
def test_commands_refuse(files, capsys, command, message):
    """With one sentence and before anything is printed."""
    assert fastdl_cli.main([command[0], str(files / command[1]), *command[2:]]) == 2
    out, err = capsys.readouterr()
    assert message in err and out == "" and "Traceback" not in err


def test_commands_go_on(files, capsys):
    """A prompt longer than the context, a line of blanks, one of unknown symbols, a text longer than BERT reads."""
    assert fastdl_cli.main(["generate", str(files / "gpt"), "--prompt", "abc" * 10, "--length", "5"]) == 0
    assert len(capsys.readouterr().out) == 36
    for name in ("seq2seq", "transformer"):
        assert fastdl_cli.main(["translate", str(files / name), "abc", "  ", "é", "--length", "4"]) == 0
        out, err = capsys.readouterr()
        assert out.count("\n") == 3 and out.split("\n")[1] == "" and "not in the vocabulary: é" in err
    assert fastdl_cli.main(["embed", str(files / "bert"), "abc" * 9]) == 0
    assert "nan" not in capsys.readouterr().out.lower()
