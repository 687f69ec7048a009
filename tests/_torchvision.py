"""torchvision, also where its wheel was built for CUDA: see bench/torchvision_cpu.py."""

import importlib

import pytest


def load(operators=False):
    """The module torchvision; skips the test where torch or torchvision is not installed.

    operators: skips it too where the compiled operators do not load.
    """
    from test_bench import bench

    pytest.importorskip("torch")
    module = importlib.import_module(f"{bench.__name__}.torchvision_cpu")
    try:
        torchvision = module.load()
    except ModuleNotFoundError as missing:
        pytest.skip(str(missing))
    if operators and not module.has_operators():
        pytest.skip("torchvision's compiled operators do not load here")
    return torchvision
