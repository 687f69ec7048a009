"""A run that is killed at any moment and resumed ends with the same bits as one that was left alone."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fastdl._history import read
from fastdl.io import checkpoints, load_file

# A network with everything that has state: momentum, running statistics, dropout's random numbers, a schedule by step, a
# shuffled loader with threads, random noise on the data, early stopping. A checkpoint after every second step.
SCRIPT = """
import sys
import numpy as np
import fastdl
from fastdl import nn
from fastdl.data import DataLoader, Dataset, batch_rng, digits
from fastdl.optim import Adam
from fastdl.optim.lr_scheduler import CosineAnnealingLR
from fastdl.train import Callback, EarlyStopping, Trainer

out, epochs = sys.argv[1], 6


class Noisy(Dataset):
    def __init__(self, part):
        self.part = part

    def __len__(self):
        return 320

    def __getitem__(self, i):
        x, y = self.part[i]
        noise = batch_rng().standard_normal(x.shape).astype(np.float32)
        return x.array.reshape(-1) + 0.1 * noise.reshape(-1), y.array


class Net(nn.Module):
    def __init__(self):
        self.a, self.b = nn.Linear(64, 24), nn.Linear(24, 10)
        self.seen = nn.Buffer(np.zeros(24, np.float32))

    def forward(self, x):
        h = self.a(x).relu()
        if self.training:
            self.seen.array[...] = 0.9 * self.seen.array + 0.1 * h.array.mean(0)
            h = h * (fastdl.rand(24) > 0.2)
        return self.b(h)


def loss(scores, labels):
    chosen = scores.gather(1, labels.reshape(-1, 1))
    return (scores.logsumexp(1) - chosen.reshape(-1)).mean()


class Report(Callback):
    def on_step(self, trainer, value):
        print(trainer.step, flush=True)


fastdl.manual_seed(3)
train, test = digits()
learn = DataLoader(Noisy(train), 16, shuffle=True, num_workers=2, seed=3)
judge = DataLoader(Noisy(test), 80)
model = Net()
optimizer = Adam(model.parameters(), lr=0.01)
trainer = Trainer(
    model, loss, optimizer, scheduler=CosineAnnealingLR(optimizer, epochs * len(learn)), schedule_every="step",
    callbacks=[Report(), EarlyStopping(patience=10)], out=out, checkpoint_steps=2, progress=False,
)
trainer.fit(learn, judge, epochs, resume=True)
print("finished", flush=True)
"""
STEPS = 6 * 20


def command(out):
    return [sys.executable, "-c", SCRIPT, str(out)]


def fingerprint(out):
    """What a finished run leaves, without the times."""
    folder = checkpoints(out / "checkpoints")[0]
    sums = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("model.safetensors", "optim.safetensors")
    }
    records = [{k: v for k, v in r.items() if k != "seconds"} for r in read(out / "history.jsonl")]
    return folder.name, sums, records


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    done = subprocess.run(command(out), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and done.stdout.endswith(f"{STEPS}\nfinished\n"), done.stderr
    return fingerprint(out)


def test_undisturbed_run_is_reproducible_and_learned(undisturbed, tmp_path):
    subprocess.run(command(tmp_path), check=True, capture_output=True, timeout=200)
    assert fingerprint(tmp_path) == undisturbed
    name, _, records = undisturbed
    assert name == f"step-{STEPS:09d}" and len(records) == 6
    assert records[-1]["val_loss"] < 0.8 * records[0]["val_loss"]
    assert np.any(load_file(checkpoints(tmp_path / "checkpoints")[0] / "model.safetensors")["seen"] > 0)


@pytest.mark.parametrize("number, wanted", [(signal.SIGKILL, 20), (signal.SIGTERM, 8)])
def test_kills(undisturbed, tmp_path, number, wanted):
    """Each life makes a few steps and dies a random moment later: in a step, in a validation, in the middle of a save."""
    rng = np.random.default_rng(int(number))
    kills, reached = 0, 0
    while kills < wanted:
        process = subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(int(rng.integers(1, 4))):
            line = process.stdout.readline().strip()
            assert line and line != "finished", (line, process.stderr.read())
        time.sleep(float(rng.uniform(0, 0.004)))
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)
        assert process.returncode == (-9 if number == signal.SIGKILL else 130), errors
        reached = max(reached, int(line), *map(int, printed.split()))
        kills += 1
    assert 10 < reached < STEPS
    done = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert fingerprint(tmp_path) == undisturbed


def test_damaged_newest_checkpoint_costs_two_steps_not_the_run(undisturbed, tmp_path):
    process = subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) == 21:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait(60)
    newest = checkpoints(tmp_path / "checkpoints")[0] / "optim.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    done = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and 17 <= int(done.stdout.split()[0]) <= 21, done.stderr
    assert fingerprint(tmp_path) == undisturbed
