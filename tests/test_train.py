"""The training loop: what it records, when it stops, what it says when something is wrong."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastdl
from fastdl import nn
from fastdl._history import History, plot, read
from fastdl.data import DataLoader, TensorDataset
from fastdl.io import checkpoints, load_latest
from fastdl.metrics import accuracy, confusion, topk
from fastdl.optim import SGD, Adam
from fastdl.optim.lr_scheduler import StepLR
from fastdl.train import Callback, EarlyStopping, Interrupted, Trainer, TrainingError


def squared(output, target):
    return ((output - target) ** 2).mean()


def error(output, target):
    return float(np.abs(output.array - target.array).mean())


def line(n=40):
    """y = 2 x - 1 and a little noise."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (n, 1)).astype(np.float32)
    return TensorDataset(x, 2 * x - 1 + 0.01 * rng.standard_normal((n, 1)).astype(np.float32))


def make(out=None, lr=0.5, **settings):
    fastdl.manual_seed(0)
    model = nn.Linear(1, 1)
    return Trainer(model, squared, SGD(model.parameters(), lr=lr), out=out, progress=False, **settings)


def loader(**settings):
    return DataLoader(line(), **{"batch_size": 8, "shuffle": True, "seed": 1, **settings})


def test_fit_learns_and_records(tmp_path):
    trainer = make(tmp_path, metrics={"error": error})
    records = trainer.fit(loader(), loader(shuffle=False), epochs=20)
    assert trainer.model.weight.item() == pytest.approx(2, abs=0.02)
    assert trainer.model.bias.item() == pytest.approx(-1, abs=0.02)
    assert len(records) == 20 and records == read(tmp_path / "history.jsonl")
    assert [r["epoch"] for r in records] == list(range(1, 21)) and records[-1]["step"] == 100
    assert set(records[0]) == {"epoch", "step", "lr", "loss", "error", "val_loss", "val_error", "seconds"}
    assert records[-1]["val_loss"] < 1e-3 < records[0]["loss"]
    assert load_latest(tmp_path / "checkpoints")["step"] == 100


def test_means_count_every_sample_once():
    """A last batch of one must not weigh as much as a full one."""

    class Zero(nn.Module):
        def forward(self, x):
            return x * 0

    data = TensorDataset(np.zeros((5, 1), np.float32), np.array([[1], [1], [1], [1], [6]], np.float32))
    trainer = Trainer(Zero(), squared, SGD([nn.Parameter(np.zeros(1, np.float32))]), progress=False)
    result = trainer.evaluate(DataLoader(data, batch_size=4))
    assert result == {"loss": 8.0}  # (4 * 1 + 36) / 5, not (1 + 36) / 2


def test_modes():
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            seen.append((self.training, fastdl.is_grad_enabled()))
            return super().forward(x)

    model = Spy(1, 1)
    trainer = Trainer(model, squared, SGD(model.parameters()), progress=False)
    trainer.fit(loader(batch_size=20), loader(batch_size=40), epochs=2)
    assert seen == [(True, True), (True, True), (False, False)] * 2
    assert model.training


def test_schedule_by_epoch_and_by_step():
    for every, expected in (("epoch", [0.4, 0.2, 0.1]), ("step", [0.4 * 0.5**5, 0.4 * 0.5**10, 0.4 * 0.5**15])):
        trainer = make(lr=0.4)
        trainer.scheduler, trainer.schedule_every = StepLR(trainer.optimizer, 1, 0.5), every
        records = trainer.fit(loader(), epochs=3)
        assert [r["lr"] for r in records] == pytest.approx(expected)


def test_callbacks_and_early_stopping():
    calls = []

    class Log(Callback):
        def on_fit_start(self, trainer):
            calls.append("start")

        def on_step(self, trainer, loss):
            calls.append(trainer.step)

        def on_epoch_end(self, trainer, record):
            calls.append(f"epoch {record['epoch']}")
            record["extra"] = 1.0

        def on_fit_end(self, trainer):
            calls.append("end")

    records = make(callbacks=[Log()]).fit(loader(batch_size=20), epochs=2)
    assert calls == ["start", 1, 2, "epoch 1", 3, 4, "epoch 2", "end"] and records[1]["extra"] == 1.0

    trainer = make(lr=0.0, callbacks=[EarlyStopping("val_loss", patience=3)])
    assert (
        len(trainer.fit(loader(), loader(shuffle=False), epochs=50)) == 4
    )  # the first is the best, then three in vain
    trainer = make(lr=0.5, callbacks=[EarlyStopping("val_loss", patience=3, min_delta=1e-3)])
    assert 4 <= len(trainer.fit(loader(), loader(), epochs=50)) < 20
    with pytest.raises(KeyError, match="no 'val_loss' in the record"):
        make(callbacks=[EarlyStopping()]).fit(loader())
    with pytest.raises(ValueError, match="mode"):
        EarlyStopping(mode="best")


def test_clip_norm():
    trainer = make(lr=1.0, clip_norm=0.01)
    before = np.concatenate([p.array.ravel() for p in trainer.model.parameters()])
    trainer.fit(loader(batch_size=40))
    after = np.concatenate([p.array.ravel() for p in trainer.model.parameters()])
    assert np.linalg.norm(after - before) == pytest.approx(0.01, rel=1e-3)


def test_batches_with_several_inputs():
    class Add(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(np.zeros(1, np.float32))

        def forward(self, a, b):
            return a + b * self.w

    x = np.ones((6, 1), np.float32)
    model = Add()
    trainer = Trainer(model, squared, SGD(model.parameters(), lr=0.3), progress=False)
    trainer.fit(DataLoader(TensorDataset(x, x, 4 * x), 2), epochs=10)
    assert model.w.item() == pytest.approx(3, abs=1e-3)


# ------------------------------------------------------------------------------------------------------------ errors


def test_nan_loss_names_step_and_lr_and_keeps_the_last_good_checkpoint(tmp_path):
    data = line()
    trainer = make(tmp_path, lr=0.1, checkpoint_steps=2)

    class Poison(Callback):
        def on_step(self, trainer, loss):
            if trainer.step == 8:  # the next batches are bad
                data.tensors[0].array[:] = np.nan

    trainer.callbacks = [Poison()]
    with pytest.raises(
        TrainingError, match=r"the loss is nan at step 9 \(epoch 2, lr 0.1\); the last good checkpoint is"
    ):
        trainer.fit(DataLoader(data, 8), epochs=5)
    found = load_latest(tmp_path / "checkpoints")
    assert found["step"] == 8 and np.isfinite(found["model"]["weight"]).all()
    np.testing.assert_array_equal(found["model"]["weight"], trainer.model.weight.array)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    trainer = make(tmp_path, lr=0.1, checkpoint_steps=1)

    class Break(Callback):
        def on_step(self, trainer, loss):
            if trainer.step == 3:
                trainer.model.weight.array[:] = np.inf

    trainer.callbacks = [Break()]
    with pytest.raises(TrainingError, match="weight is not finite at step 4"):
        trainer.fit(loader())
    assert load_latest(tmp_path / "checkpoints")["step"] == 2


def test_diverging_run_says_so():
    with pytest.raises(TrainingError, match=r"the loss is inf at step \d+ \(epoch \d+, lr 50\); hint: a smaller lr"):
        make(lr=50.0).fit(loader(), epochs=100)


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="schedule_every"):
        make(schedule_every="batch")
    with pytest.raises(ValueError, match="resume needs a folder"):
        make().fit(loader(), resume=True)
    with pytest.raises(ValueError, match="no batches"):
        make().fit(DataLoader([], 2))
    with pytest.raises(ValueError, match="no batches"):
        make().evaluate(DataLoader([], 2))


# ------------------------------------------------------------------------------------------------- resume and signals


def test_resume_without_a_checkpoint_starts_afresh(tmp_path):
    assert len(make(tmp_path).fit(loader(), epochs=1, resume=True)) == 1


def test_two_halves_equal_one_whole(tmp_path):
    whole = make(tmp_path / "whole", metrics={"error": error})
    expected = whole.fit(loader(), loader(), epochs=4)
    make(tmp_path / "half", metrics={"error": error}).fit(loader(), loader(), epochs=2)
    again = make(tmp_path / "half", metrics={"error": error})
    records = again.fit(loader(), loader(), epochs=4, resume=True)

    def timeless(records):
        return [{k: v for k, v in r.items() if k != "seconds"} for r in records]

    assert timeless(records) == timeless(expected) == timeless(read(tmp_path / "half" / "history.jsonl"))
    np.testing.assert_array_equal(whole.model.weight.array, again.model.weight.array)
    assert len(again.fit(loader(), loader(), epochs=4, resume=True)) == 4  # nothing left to do


def test_fresh_run_sets_old_checkpoints_aside(tmp_path):
    make(tmp_path).fit(loader(), epochs=5)
    make(tmp_path).fit(loader(), epochs=1)
    assert [p.name for p in checkpoints(tmp_path / "checkpoints")] == ["step-000000005"]
    assert checkpoints(tmp_path / "checkpoints.old")[0].name == "step-000000025"
    assert len(read(tmp_path / "history.jsonl")) == 1


def test_resume_with_other_data_is_refused(tmp_path):
    make(tmp_path).fit(loader(), epochs=1)
    with pytest.raises(ValueError, match="length 5, this loader 10"):
        make(tmp_path).fit(loader(batch_size=4), epochs=2, resume=True)
    with pytest.raises(ValueError, match="0 callbacks, this run 1"):
        make(tmp_path, callbacks=[Callback()]).fit(loader(), epochs=2, resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_leaves(tmp_path, number):
    class Send(Callback):
        def on_step(self, trainer, loss):
            if trainer.step == 7:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="interrupted at step 7") as caught:
        make(tmp_path, callbacks=[Send()]).fit(loader(), epochs=3)
    assert caught.value.code == 130 and signal.getsignal(number) is before
    assert load_latest(tmp_path / "checkpoints")["step"] == 7
    resumed = make(tmp_path, callbacks=[Callback()])
    resumed.fit(loader(), epochs=3, resume=True)
    whole = make()
    whole.fit(loader(), epochs=3)
    np.testing.assert_array_equal(resumed.model.weight.array, whole.model.weight.array)


def test_exit_code_and_one_line_after_ctrl_c(tmp_path):
    script = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from test_train import *
class Send(Callback):
    def on_step(self, trainer, loss):
        if trainer.step == 3: os.kill(os.getpid(), signal.SIGINT)
trainer = make(sys.argv[1], callbacks=[Send()])
trainer.progress = True
trainer.fit(loader(), epochs=3)
"""
    command = [sys.executable, "-c", script, str(tmp_path), os.path.dirname(__file__)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 130 and done.stdout == ""
    assert done.stderr.startswith("interrupted at step 3; saved in") and done.stderr.count("\n") == 1, done.stderr


def test_second_ctrl_c_stops_at_once(tmp_path):
    class Send(Callback):
        def on_step(self, trainer, loss):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, callbacks=[Send()]).fit(loader())


def test_fit_in_a_thread(tmp_path):
    """Signals can only be watched in the main thread; elsewhere training just runs."""
    result = []
    thread = threading.Thread(target=lambda: result.append(make(tmp_path).fit(loader())))
    thread.start()
    thread.join()
    assert len(result[0]) == 1


# ------------------------------------------------------------------------------------------------ history and pictures


def test_history_file_survives_a_torn_line(tmp_path):
    history = History(tmp_path / "h.jsonl")
    history.start(0)
    for n in range(3):
        history.add({"epoch": n, "loss": 1.0})
    with open(tmp_path / "h.jsonl", "a") as file:
        file.write('{"epoch": 3, "lo')
    assert len(read(tmp_path / "h.jsonl")) == 3
    again = History(tmp_path / "h.jsonl")
    again.start(2)
    again.add({"epoch": 2})
    assert [json.loads(x)["epoch"] for x in (tmp_path / "h.jsonl").read_text().splitlines()] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="has 3 records, the checkpoint expects at least 5"):
        again.start(5)


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    records = [{"epoch": n, "loss": 1 / n, "val_loss": 2 / n, "accuracy": 0.5, "val_accuracy": 0.4} for n in (1, 2, 3)]
    for name in ("h.png", "h.svg"):
        plot(records, tmp_path / name, "title")
        assert (tmp_path / name).stat().st_size > 5000
    plot([{"epoch": 1, "loss": 0.0}], tmp_path / "one.png")
    make(tmp_path / "run").fit(loader())
    assert (tmp_path / "run" / "history.png").read_bytes()[:4] == b"\x89PNG"


def test_progress_without_a_terminal_is_one_line_an_epoch(capsys):
    trainer = make()
    trainer.progress = True
    trainer.fit(loader(), loader(), epochs=2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("epoch 1/2  loss ") and "val loss" in lines[1]


# ----------------------------------------------------------------------------------------------------------- metrics


def test_accuracy_topk_confusion():
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.3, 0.3, 0.4]])
    for dtype in (np.uint8, np.int32, np.int64):
        labels = np.array([1, 2, 2, 0], dtype)
        assert accuracy(scores, labels) == accuracy(fastdl.tensor(scores), fastdl.from_numpy(labels)) == 0.5
        assert topk(scores, labels, 1) == 0.5 and topk(scores, labels, 2) == 0.75 and topk(scores, labels, 3) == 1
        expected = [[0, 0, 1], [0, 1, 0], [1, 0, 1]]
        assert confusion(scores.argmax(1), labels, 3).tolist() == expected
    images = np.zeros((2, 3, 4, 5))
    images[:, 1] = 1
    assert accuracy(images, np.ones((2, 4, 5), int)) == 1.0


def test_metric_errors():
    scores, labels = np.zeros((4, 3)), np.zeros(4, int)
    for bad, kind, message in [
        (lambda: accuracy(scores, labels.astype(float)), TypeError, "labels must be integers, not float64"),
        (lambda: accuracy(scores, labels[:3]), ValueError, r"\(4, 3\) and labels \(3,\) do not fit"),
        (lambda: accuracy(scores[:0], labels[:0]), ValueError, "no labels"),
        (lambda: topk(scores, labels, 4), ValueError, "between 1 and the number of classes 3"),
        (lambda: confusion(labels, labels[:2], 3), ValueError, "same shape"),
        (lambda: confusion(labels + 3, labels, 3), ValueError, r"predictions must lie in 0..2; found 3..3"),
        (lambda: confusion(labels, labels - 1, 3), ValueError, "labels must lie in"),
        (lambda: confusion(labels * 1.0, labels, 3), TypeError, "predictions must be integers"),
    ]:
        with pytest.raises(kind, match=message):
            bad()


def test_adam_state_of_a_run_is_in_the_checkpoint(tmp_path):
    trainer = make(tmp_path)
    trainer.optimizer = Adam(trainer.model.parameters())
    trainer.fit(loader())
    state = load_latest(tmp_path / "checkpoints")["optimizer"]["state"]
    assert state[0]["step"] == 5 and state[0]["exp_avg"].shape == (1, 1)
