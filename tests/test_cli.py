"""The `fastdl` command: what it prints, and that bad input gives one line and exit code 2."""

import json
import os
import subprocess
import sys

import pytest

import fastdl_cli
from fastdl import _info, kernels, study
from fastdl.kernels._registry import _module

COMPILED = not isinstance(_module("matmul", "cython"), str)


def run(capsys, *words):
    code = fastdl_cli.main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def test_help_does_not_import_numpy():
    check = (
        "import sys, fastdl_cli\n"
        "try: fastdl_cli.main(['study', '--help'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "assert 'numpy' not in sys.modules and 'fastdl' not in sys.modules, 'imported too much'\n"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "conv2d" in done.stdout


def test_no_command_prints_the_help(capsys):
    code, out, _ = run(capsys)
    assert code == 0 and "study" in out and "train" in out


def test_module_and_command_are_the_same():
    done = subprocess.run([sys.executable, "-m", "fastdl", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("fastdl 0.")


def test_info_names_machine_threads_and_rungs(capsys):
    code, out, _ = run(capsys, "info")
    assert code == 0
    for word in ("cpu", "isa", "threads", "numpy", "optional", "naive", "cython", *kernels.names()):
        assert word in out, word
    assert "\033" not in out  # not a terminal


def test_info_json_has_the_same_facts(capsys):
    code, out, _ = run(capsys, "info", "--json")
    report = json.loads(out)
    assert code == 0 and report["compiled"] == COMPILED and report["threads"] >= 1
    assert {row[0] for row in report["kernels"]} == set(kernels.names())
    assert (report["isa"] in report["isas"]) if COMPILED else report["isa"] is None


def test_info_says_clearly_that_there_are_no_compiled_kernels():
    report = {**_info.collect(), "compiled": False, "isa": None, "isas": []}
    text = _info.render(report)
    assert "NONE: no C compiler" in text and "pip install" in text


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
def test_colour_only_where_it_is_wanted(monkeypatch, variable):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert (_info.bold("x") == "x") == bool(variable)


def test_study_measures_every_rung_and_draws(capsys, tmp_path):
    picture, numbers = tmp_path / "ladder.png", tmp_path / "ladder.json"
    code, out, _ = run(
        capsys, "study", "matmul", "--case", "bias and relu", "--plot", str(picture), "--json", str(numbers)
    )
    assert code == 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    (ladder,) = json.loads(numbers.read_text())
    assert ladder["flops"] == 2 * 13 * 37 * 41
    assert [step["rung"] for step in ladder["steps"]] == list(kernels.RUNGS)
    for step in ladder["steps"]:
        if not step["remark"]:
            assert step["seconds"] > 0 and step["error"] < 1e-5 and step["lines"] > 3
            assert f"matmul_{step['rung']}" in out


def test_study_lets_naive_out_where_it_would_take_too_long():
    (ladder,) = study.measure("matmul", "1024 cubed", rungs=["naive", "numpy"])
    naive, numpy = ladder.steps
    assert naive.seconds is None and "too long" in naive.remark
    assert numpy.seconds and numpy.gflops and ladder.speedup(numpy) == (1.0, "numpy")
    assert "float64" in ladder.reference and "NumPy" in ladder.reference


def test_study_brief_takes_one_case_that_naive_can_do():
    (chosen,) = study.choose("matmul", None, patience=0.05, brief=True)
    case, flops, naive_can = chosen
    assert naive_can and flops > 0 and case.entry == "matmul_forward"


def test_study_error_is_relative_to_the_reference():
    import numpy as np

    assert study.deviation((np.array([1.0, 2.5]),), (np.array([1.0, 2.0]),)) == pytest.approx(0.5 / np.sqrt(2.5))


def test_code_lines_skip_comments_and_docstrings(tmp_path):
    python = tmp_path / "a.py"
    python.write_text('"""Doc\n\nmore."""\n\n# comment\nx = 1  # kept\n\ndef f():\n    """Doc."""\n    return x\n')
    c = tmp_path / "a.c"
    c.write_text("/* one\n * two */\nint x;\n// three\n\nint y; /* kept */\n")
    assert study.code_lines(python) == 3 and study.code_lines(c) == 2


@pytest.mark.parametrize(
    "words, says",
    [
        (["study", "conv3d"], "unknown kernel 'conv3d'"),
        (["study", "matmul", "--case", "no such case"], "no such case"),
        (["bench", "kernels", "--threads", "1", "--only", "no such workload"], "no workload of kernels"),
        (["predict", "no/weights.safetensors", "x.png"], "no/weights.safetensors: No such file"),
    ],
)
def test_bad_input_gives_one_line_and_code_2(capsys, words, says):
    code, out, err = run(capsys, *words)
    assert code == 2 and says in err
    assert err.count("\n") == 1 and "Traceback" not in err and not out


@pytest.mark.parametrize(
    "words", [["train", "no_such_model"], ["study"], ["study", "matmul", "--threads", "0"], ["frobnicate"], ["--nope"]]
)
def test_bad_arguments_give_code_2(capsys, words):
    with pytest.raises(SystemExit) as stop:
        fastdl_cli.main(words)
    err = capsys.readouterr().err
    assert stop.value.code == 2 and "error:" in err and "Traceback" not in err


def test_environment_that_cannot_be_used_is_said_in_one_line():
    for variable, value in (("FASTDL_NUM_THREADS", "many"), ("FASTDL_ISA", "sse9"), ("FASTDL_BACKEND", "gpu")):
        if variable == "FASTDL_ISA" and not COMPILED:
            continue
        done = subprocess.run(
            [sys.executable, "-m", "fastdl_cli", "info"],
            env={**os.environ, variable: value},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2, variable
        assert variable in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_ctrl_c_is_not_a_crash(capsys, monkeypatch):
    from fastdl import cli

    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "info", interrupted)
    code, _, err = run(capsys, "info")
    assert code == 130 and err.strip() == "fastdl: interrupted"
