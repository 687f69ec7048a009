"""Gates: the short version of every one holds; claims can fail; the report keeps what it is given."""

import json

import pytest

import fastdl_cli
from fastdl import gates
from fastdl.gates import Claim, Gate, Outcome
from fastdl.gates.report import merge, record


@pytest.mark.parametrize("one", gates.gates(), ids=lambda g: f"{g.entry}-{g.name}")
def test_smoke(one):
    outcome = one.run(seed=0, smoke=True)
    assert outcome.holds, "; ".join(str(c) for c in outcome.claims if not c.holds)
    assert one.about, "the docstring of a gate says what is trained on what"


def test_a_claim_can_fail():
    assert Claim("accuracy", 0.9, ">=", 0.9).holds
    assert not Claim("accuracy", 0.8999, ">=", 0.9).holds
    assert Claim("error", 0.1, "<=", 0.1).holds and not Claim("error", 0.2, "<=", 0.1).holds
    assert not Claim("error", 0.1, "<", 0.1).holds and not Claim("gain", 0.1, ">", 0.1).holds
    for relation in gates.COMPARE:
        assert not Claim("loss", float("nan"), relation, 1.0).holds
    with pytest.raises(ValueError, match="relation"):
        Claim("accuracy", 0.9, "about", 0.9)


def outcome(value, name="one", seed=0):
    g = Gate(10, name, 2, lambda seed, smoke: [])
    return Outcome(g, [Claim("accuracy", value, ">=", 0.9, ("logistic regression", 0.8))], seed, 1.25, 2.5)


def test_the_report_keeps_other_gates_and_marks_what_fails(tmp_path):
    merge(tmp_path, [record(outcome(0.95), "2 threads"), record(outcome(0.5, "two"), "2 threads")])
    merge(tmp_path, [record(outcome(0.97, seed=3), "2 threads")])
    stored = {r["name"]: r for r in json.loads((tmp_path / "results.json").read_text())}
    assert stored["one"]["claims"][0]["value"] == 0.97 and stored["one"]["seed"] == 3
    page = (tmp_path / "results.md").read_text()
    assert "1 of 2 claims of 2 gates hold" in page
    assert "**0.5 fails**" in page and "0.97 |" in page and "logistic regression: 0.8" in page


def test_a_gate_without_claims_is_an_error():
    with pytest.raises(RuntimeError, match="claims nothing"):
        Gate(10, "empty", 2, lambda seed, smoke: []).run()


def test_command_line(capsys, monkeypatch):
    passing = Gate(10, "passing", 2, lambda seed, smoke: [Claim("accuracy", 0.95, ">=", 0.9)])
    failing = Gate(10, "failing", 2, lambda seed, smoke: [Claim("accuracy", 0.85, ">=", 0.9)])
    monkeypatch.setattr(gates, "_found", {"passing": passing})
    monkeypatch.setattr("fastdl.cli_gates.find", lambda name: [passing])
    assert fastdl_cli.main(["gate", "passing"]) == 0
    assert "holds  accuracy: 0.95 (>= 0.9)" in capsys.readouterr().out
    monkeypatch.setattr("fastdl.cli_gates.find", lambda name: [failing])
    with pytest.raises(SystemExit) as left:
        fastdl_cli.main(["gate", "failing"])
    assert left.value.code == 1
    assert "FAILS  accuracy: 0.85 (>= 0.9)" in capsys.readouterr().out


def test_a_name_that_is_none(capsys):
    assert fastdl_cli.main(["gate", "no_such_gate"]) == 2
    assert "no gate is called 'no_such_gate'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        fastdl_cli.main(["report", "lectures", "11"])
    assert left.value.code == 2
