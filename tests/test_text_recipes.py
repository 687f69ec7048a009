"""Recipes and commands of text models, on little data: they run, resume, write what generate, translate and embed read."""

import json

import numpy as np
import pytest

import fastdl_cli
from fastdl.data import pride_and_prejudice
from fastdl.data.text import ParallelText
from fastdl.recipes import _bundle, _pairs, bert, char_lstm, dqn, gpt, seq2seq, transformer


@pytest.fixture(scope="module")
def novel(tmp_path_factory):
    text = pride_and_prejudice()
    text = text if isinstance(text, str) else text[0]
    path = tmp_path_factory.mktemp("text") / "novel.txt"
    path.write_text(text[5000:13000], encoding="utf-8")
    return path


SMALL = {"progress": False, "epochs": 2}


def test_gpt_trains_and_generates(novel, tmp_path, capsys):
    settings = {**SMALL, "data": novel, "layers": 1, "d": 16, "heads": 2, "context": 32}
    result = gpt.run(tmp_path / "whole", **settings)
    assert result["metrics"]["bits per character"] < 5.6
    assert set(result["baselines"]) == {f"counts of {n} characters" for n in (1, 2, 3)}
    weights = tmp_path / "whole" / "gpt.safetensors"
    kind, model, tokenizer = _bundle.load(weights)
    assert kind == "gpt" and not model.training and tokenizer.decode(tokenizer.encode("her")) == "her"
    command = ["generate", str(weights), "--prompt", "her ", "--length", "40", "--seed", "3"]
    outputs = []
    for _ in range(2):
        assert fastdl_cli.main(command) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] and outputs[0].startswith("her ") and len(outputs[0]) == 45
    assert fastdl_cli.main([*command[:2], "--prompt", "her Ж"]) == 2
    assert "unknown character 'Ж'" in capsys.readouterr().err
    assert fastdl_cli.main([*command[:2], "--prompt", ""]) == 2
    assert "prompt is empty" in capsys.readouterr().err
    assert fastdl_cli.main([*command[:2], "--prompt", "h" * 100, "--length", "5", "--temperature", "0"]) == 0
    assert fastdl_cli.main(["translate", str(weights), "x"]) == 2
    assert "seq2seq or transformer" in capsys.readouterr().err
    assert fastdl_cli.main(["generate", str(tmp_path / "none"), "--prompt", "a"]) == 2


def test_char_lstm_through_the_command_line(novel, tmp_path, capsys):
    out = tmp_path / "lstm"
    command = ["train", "char_lstm", "--data", str(novel), "--epochs", "1", "--out", str(out)]
    assert fastdl_cli.main([*command, "--set", "hidden=16", "--set", "embed=8"]) == 0
    assert "bits per character" in capsys.readouterr().out
    assert fastdl_cli.main(["generate", str(out / "char_lstm.safetensors"), "--prompt", "a", "--top-k", "3"]) == 0
    assert char_lstm.run(tmp_path / "gru", cell="gru", hidden=8, data=novel, **SMALL)["metrics"]["perplexity"] > 1
    assert fastdl_cli.main(["train", "lenet", "--data", str(novel)]) == 2
    assert "no setting 'data'" in capsys.readouterr().err
    assert fastdl_cli.main(["train", "gpt", "--data", str(tmp_path / "missing.txt")]) == 2
    assert "missing.txt" in capsys.readouterr().err


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not UTF-8"):
        gpt.run(tmp_path, data=tmp_path / "binary", **SMALL)
    (tmp_path / "short").write_text("hello")
    with pytest.raises(ValueError, match="5 characters"):
        gpt.run(tmp_path, data=tmp_path / "short", **SMALL)


def test_bert_embeds(novel, tmp_path, capsys):
    result = bert.run(tmp_path, data=novel, layers=1, hidden=16, heads=2, length=16, **SMALL)
    assert 0 <= result["metrics"]["masked accuracy"] <= 1
    assert fastdl_cli.main(["embed", str(tmp_path / "bert.safetensors"), "her mother was there", "her"]) == 0
    vectors = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(v) for v in vectors] == [16, 16] and np.isfinite(vectors).all()


@pytest.fixture
def few_numbers(monkeypatch):
    pairs = [("one", "1"), ("two", "2"), ("three", "3"), ("four", "4"), ("ten", "10")] * 8
    train = ParallelText(pairs)
    test = ParallelText(pairs[:5], vocabularies=train.vocabularies)
    monkeypatch.setattr(_pairs, "load", lambda data: (train, test, [t for _, t in pairs[:5]]))


@pytest.mark.parametrize("attention", ["luong", "none"])
def test_seq2seq_translates(few_numbers, tmp_path, capsys, attention):
    result = seq2seq.run(
        tmp_path, data="numbers", hidden=32, attention=attention, batch=8, epochs=12, progress=False, lr=1e-2
    )
    assert result["metrics"]["exact match accuracy"] > result["baselines"]["copy of the source, exact match accuracy"]
    assert fastdl_cli.main(["translate", str(tmp_path / "seq2seq.safetensors"), "two", "", "TEN"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[0] == "2" and lines[1] == "" and lines[2] == "10"
    assert (tmp_path / "answers.tsv").read_text().count("\n") == 6
    picture = tmp_path / "maps.png"
    code = fastdl_cli.main(
        ["translate", str(tmp_path / "seq2seq.safetensors"), "two", "ten", "--attention", str(picture)]
    )
    if attention == "none":
        assert code != 0 and "without attention" in capsys.readouterr().err and not picture.exists()
    else:
        pytest.importorskip("matplotlib")
        assert code == 0 and picture.exists() and (tmp_path / "maps_2.png").exists()


def test_a_translator_learns_from_a_file_of_pairs(tmp_path, capsys):
    pairs = [(f"{a} {b}", f"{b.upper()} , {a.upper()}") for a in "abcdef" for b in "uvwxyz"]
    file = tmp_path / "pairs.tsv"
    file.write_text("\n\n".join("\t".join(p) for p in pairs + pairs[:3]), encoding="utf-8")
    train, test, references = _pairs.load(file)
    assert len(train) + len(test) == 39 and references == [t for _, t in test.pairs]
    assert not {s for s, _ in train.pairs} & {s for s, _ in test.pairs}
    assert ("a u", "u , a") in train.pairs + test.pairs
    sizes = ["--set", "d_model=16", "--set", "layers=1", "--set", "heads=2"]
    options = ["--data", str(file), "--epochs", "1", "--out", str(tmp_path / "run")]
    assert fastdl_cli.main(["train", "transformer", *options, *sizes]) == 0
    assert "BLEU" in capsys.readouterr().out
    for text, words in (("a\tb\nc d\n", "line 2"), ("a\tb\tc", "line 1"), ("a\tb\n", "too few"), (" \t!\n", "line 1")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=words):
            _pairs.load(file)
    with pytest.raises(ValueError, match="numbers, cmudict, bible or a file"):
        _pairs.load(tmp_path / "no_file")


def test_transformer_translates_and_repeats_to_the_bit(few_numbers, tmp_path, capsys):
    settings = {"data": "numbers", "d_model": 16, "layers": 1, "heads": 2, "batch": 8, "progress": False}
    whole = transformer.run(tmp_path / "whole", epochs=2, **settings)
    assert whole["metrics"]["exact match accuracy"] >= 0
    again = transformer.run(tmp_path / "again", epochs=2, **settings)
    files = [(tmp_path / d / "transformer.safetensors").read_bytes() for d in ("whole", "again")]
    assert files[0] == files[1] and again["metrics"] == whole["metrics"]
    assert fastdl_cli.main(["translate", str(tmp_path / "whole" / "transformer.safetensors"), "twoé"]) == 0
    assert "not in the vocabulary: é" in capsys.readouterr().err


def test_a_dictionary_finds_the_words_that_go_together():
    pairs = [(["the", "dog"], ["der", "hund"]), (["the", "cat"], ["der", "kater"]), (["a", "cat"], ["ein", "kater"])]
    assert _pairs.dictionary(pairs) == {"the": "der", "dog": "hund", "cat": "kater", "a": "ein"}
    assert _pairs.words("And God said, Let") == "and god said , let"


def test_dqn_recipe(tmp_path):
    result = dqn.run(tmp_path, steps=700, progress=False)
    assert result["metrics"]["mean return"] > 5 and (tmp_path / "returns.csv").exists()
    with pytest.raises(ValueError, match="resumed"):
        dqn.run(tmp_path, resume=True)
