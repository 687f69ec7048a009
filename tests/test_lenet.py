"""LeNet-5: its shape, its training run on real digits, and reading an image file."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastdl
from fastdl.data import mnist5k
from fastdl.io import load_file
from fastdl.models import LeNet5, lenet5
from fastdl.recipes import lenet

KEYS = {
    "conv1.weight": (6, 1, 5, 5), "conv1.bias": (6,), "conv2.weight": (16, 6, 5, 5), "conv2.bias": (16,),
    "fc1.weight": (120, 400), "fc1.bias": (120,), "fc2.weight": (84, 120), "fc2.bias": (84,),
    "fc3.weight": (10, 84), "fc3.bias": (10,),
}  # fmt: skip


def test_architecture():
    net = LeNet5()
    assert {k: v.shape for k, v in net.state_dict().items()} == KEYS
    assert sum(p.numel() for p in net.parameters()) == 61_706
    assert net(fastdl.rand(3, 1, 28, 28)).shape == (3, 10) and net.features(fastdl.rand(2, 1, 28, 28)).shape == (2, 400)
    assert lenet5(in_channels=3, num_classes=7, activation="tanh", pool="average")(fastdl.rand(1, 3, 28, 28)).shape == (
        1,
        7,
    )
    with pytest.raises(ValueError, match="activation must be relu or tanh"):
        lenet5(activation="gelu")
    with pytest.raises(ValueError, match="images must be 28 x 28; got"):
        net(fastdl.rand(1, 1, 32, 32))


def test_same_as_torch():
    torch = pytest.importorskip("torch")
    t = torch.nn

    class Net(t.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = t.Conv2d(1, 6, 5, padding=2), t.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = t.Linear(400, 120), t.Linear(120, 84), t.Linear(84, 10)

        def forward(self, x):
            for conv in (self.conv1, self.conv2):
                x = t.functional.max_pool2d(conv(x).relu(), 2)
            return self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())

    theirs, ours = Net(), LeNet5()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x, y = mnist5k().train.take(range(0, 4000, 500))
    loss = fastdl.nn.functional.cross_entropy(ours(x), y)
    other = t.functional.cross_entropy(theirs(torch.tensor(x.numpy())), torch.tensor(y.numpy()))
    assert loss.item() == pytest.approx(other.item(), rel=1e-5)
    loss.backward()
    other.backward()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("lenet")
    return out, lenet.run(out=out, progress=False)


def test_learns_real_digits_better_than_the_baselines(trained):
    out, result = trained
    assert result["test_accuracy"] >= 0.965 > max(result["baselines"].values())
    assert result["test_loss"] < 0.2
    names = {Path(file).name for file in result["files"]}
    assert {"lenet.safetensors", "history.jsonl"} <= names and all(
        Path(file).stat().st_size for file in result["files"]
    )
    assert {k: v.shape for k, v in load_file(out / "lenet.safetensors").items()} == KEYS


def test_the_accuracy_is_that_of_the_saved_weights(trained):
    out, result = trained
    net = LeNet5()
    net.load_state_dict(fastdl.load(out / "lenet.safetensors"))
    x, y = mnist5k().test.tensors
    with fastdl.no_grad():
        assert np.mean(net(x).argmax(1).numpy() == y.numpy()) == pytest.approx(result["test_accuracy"], abs=1e-9)


def test_resume_gives_the_same_bits(tmp_path):
    lenet.run(out=tmp_path / "whole", epochs=2, progress=False)
    script = "import sys; from fastdl.recipes import lenet; lenet.run(out=sys.argv[1], epochs=2, resume=True)"
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "cut")], stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline().startswith("epoch 1/2")
    process.terminate()
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "interrupted at step" in message
    result = lenet.run(out=tmp_path / "cut", epochs=2, resume=True, progress=False)
    digest = [hashlib.sha256((tmp_path / d / "lenet.safetensors").read_bytes()).hexdigest() for d in ("whole", "cut")]
    assert digest[0] == digest[1] and result["test_accuracy"] > 0.9


def test_bits_do_not_depend_on_the_number_of_threads(tmp_path):
    script = "import sys; from fastdl.recipes import lenet; lenet.run(out=sys.argv[1], epochs=1, progress=False)"
    digests = set()
    for threads in ("1", "2", "3"):
        environment = {**os.environ, "FASTDL_NUM_THREADS": threads}
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / threads)], check=True, env=environment, timeout=200
        )
        digests.add(hashlib.sha256((tmp_path / threads / "lenet.safetensors").read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.slow
@pytest.mark.timeout(1500)  # half a minute each on a quiet machine
@pytest.mark.parametrize("rung", ["numpy", "numba"])
def test_same_accuracy_on_other_rungs(trained, tmp_path, rung):
    if rung == "numba":
        pytest.importorskip("numba")
    with fastdl.use(rung):
        result = lenet.run(out=tmp_path, progress=False)
    assert result["test_accuracy"] == pytest.approx(trained[1]["test_accuracy"], abs=0.005)


# ------------------------------------------------------------------------------------------------------------ images


def test_predict_reads_image_files(trained, tmp_path):
    """Test digits written as PNG: as they are, enlarged, dark on light, in colour with transparent ground, as .npy."""
    image_lib = pytest.importorskip("PIL.Image")
    weights = trained[0] / "lenet.safetensors"
    x, y = mnist5k().test.tensors
    right = dict.fromkeys(("plain", "large", "paper", "clear", "array"), 0)
    chosen = range(0, 1000, 20)
    for i in chosen:
        grey = (x.array[i, 0] * 255).astype(np.uint8)
        plain = image_lib.fromarray(grey)
        big = plain.resize((140, 140), image_lib.Resampling.BICUBIC)
        paper = image_lib.new("L", (300, 200), 255)
        paper.paste(image_lib.fromarray(255 - np.asarray(big)), (90, 20))
        clear = image_lib.new("RGBA", (200, 200), (0, 0, 0, 0))
        clear.paste(image_lib.new("RGBA", big.size, (20, 0, 60, 255)), (30, 40), big)
        for name, image in (("plain", plain), ("large", big), ("paper", paper), ("clear", clear)):
            image.save(tmp_path / f"{name}.png")
        np.save(tmp_path / "array.npy", grey)
        for name in right:
            file = tmp_path / (f"{name}.npy" if name == "array" else f"{name}.png")
            digit, probabilities = lenet.predict(weights, file)
            assert len(probabilities) == 10 and sum(probabilities) == pytest.approx(1, abs=1e-5)
            right[name] += digit == y.array[i]
    assert right["plain"] == right["array"] >= 0.94 * len(chosen)
    assert min(right.values()) >= 0.86 * len(chosen), right


def test_prepare():
    stroke = np.zeros((100, 60))
    stroke[10:90, 25:35] = 1
    field = lenet.prepare(stroke)
    assert field.shape == (28, 28) and field.dtype == np.float32 and field.max() == 1
    rows, columns = np.flatnonzero(field.any(1)), np.flatnonzero(field.any(0))
    assert len(rows) == 20 and 2 <= len(columns) <= 3  # 80 x 10 pixels in a box of 20
    assert abs(rows.mean() - 13.5) <= 0.5 and abs(columns.mean() - 13.5) <= 0.5
    np.testing.assert_allclose(lenet.prepare(1 - stroke), field, atol=1e-6)
    np.testing.assert_allclose(lenet.prepare((stroke * 255).astype(np.uint8)), field, atol=1e-6)
    np.testing.assert_allclose(lenet.prepare(np.stack([stroke] * 3, -1)), field, atol=1e-6)
    ready = np.random.default_rng(0).integers(0, 100, (28, 28)).astype(np.uint8)
    np.testing.assert_allclose(lenet.prepare(ready), ready / 255, atol=1e-6)
    for bad, message in [
        (np.zeros((40, 40)), "the image is empty"),
        (np.zeros(5), "grey image"),
        (np.zeros((0, 4)), "grey"),
    ]:
        with pytest.raises(ValueError, match=message):
            lenet.prepare(bad)


def test_resize_keeps_the_mass():
    x = np.random.default_rng(0).random((37, 23))
    for shape in ((20, 12), (1, 1), (37, 23), (50, 60)):
        y = lenet._area_resize(x, *shape)
        assert y.shape == shape and y.mean() == pytest.approx(x.mean())
    np.testing.assert_allclose(lenet._area_resize(x, 37, 23), x)
    np.testing.assert_allclose(lenet._area_resize(np.arange(6.0).reshape(1, 6), 1, 3), [[0.5, 2.5, 4.5]])


def test_errors(tmp_path, trained):
    weights = trained[0] / "lenet.safetensors"
    (tmp_path / "x.png").write_bytes(b"\x89PNG nonsense")
    with pytest.raises(ValueError, match="not an image that Pillow can read"):
        lenet.predict(weights, tmp_path / "x.png")
    with pytest.raises(FileNotFoundError):
        lenet.predict(weights, tmp_path / "y.png")
    fastdl.save({"w": fastdl.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"(?s)holds no weights of LeNet-5.*missing keys: conv1\.weight"):
        lenet.predict(tmp_path / "other.safetensors", np.eye(28, dtype=np.float32))
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        lenet.run(out=tmp_path, epochs=0)
