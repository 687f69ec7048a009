"""The small trained networks that come with fastdl: light, readable, and as good as their page says, on what they never saw."""

import json

import numpy as np
import pytest

import fastdl_cli
from fastdl.autograd import Tensor, no_grad
from fastdl.data import mnist5k
from fastdl.io.safetensors import load_file
from fastdl.models import LeNet5
from fastdl.recipes import _vision_bundle as bundle
from fastdl.recipes import lenet

Image = pytest.importorskip("PIL.Image")


def test_they_are_light_and_described():
    files = sorted(bundle.EMBEDDED.glob("*.safetensors"))
    text = (bundle.EMBEDDED / "WEIGHTS.md").read_text()
    assert files and all(f.stat().st_size < 300_000 for f in files)
    assert all(f"fastdl train {f.stem}" in text for f in files)


def test_lenet_reads_digits(tmp_path, capsys):
    net = LeNet5()
    net.load_state_dict(load_file(lenet.WEIGHTS))
    x, y = (t.array for t in mnist5k().test.tensors)
    with no_grad():
        guess = net.eval()(Tensor(x)).array.argmax(1)
    assert (guess == y).mean() >= 0.97  # WEIGHTS.md: 0.974
    which = int(np.flatnonzero(guess == y)[0])
    Image.fromarray((255 * x[which, 0]).astype(np.uint8)).save(tmp_path / "digit.png")
    assert fastdl_cli.main(["predict", str(tmp_path / "digit.png")]) == 0
    assert capsys.readouterr().out.split()[0] == str(y[which])
