"""Every recipe keeps to the contract that `fastdl train` relies on."""

import importlib
import inspect

import pytest

import fastdl_cli
from fastdl import cli_train


@pytest.mark.parametrize("name", fastdl_cli.recipes())
def test_recipe_can_be_called_by_the_command(name):
    module = importlib.import_module(f"fastdl.recipes.{name}")
    assert module.__doc__, "the first lines say what is trained on what, and the baselines"
    parameters = inspect.signature(module.run).parameters
    for wanted, default in {"epochs": None, "seed": 0, "resume": False, "progress": True}.items():
        assert wanted in parameters, f"run() of {name} takes no {wanted}"
        assert parameters[wanted].default == default, (
            f"run() of {name}: {wanted} should be {default} where it is left out"
        )
    assert parameters["out"].default == f"runs/{name}"


def test_report_of_a_run(capsys):
    result = {
        "metrics": {"test accuracy": 0.974, "bits a character": 2.25},
        "baselines": {"order 2": 2.636},
        "seconds": 3.21,
        "files": ["runs/x/x.safetensors"],
    }
    cli_train.report(result)
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("test accuracy 97.40% after 3.2 s on ")
    assert others == ["  bits a character 2.25", "  baseline: order 2 2.636", "  runs/x/x.safetensors"]
