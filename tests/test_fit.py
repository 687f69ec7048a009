"""What the fit loop offers beside the plain step: callbacks, accumulation, several optimizers, frozen parts, pictures."""

import json

import numpy as np
import pytest

import fastdl
from fastdl import nn
from fastdl._history import Progress, _panels, clock, plot
from fastdl.data import DataLoader, TensorDataset
from fastdl.io import load_file
from fastdl.metrics import accuracy
from fastdl.optim import SGD, Adam
from fastdl.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from fastdl.train import (
    BestWeights,
    Callback,
    EarlyStopping,
    EMAWeights,
    EvaluateSteps,
    GeneralizationGap,
    GradientNorm,
    LRSchedule,
    StepLog,
    Trainer,
    TrainingError,
    plot_confusion,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 3)).astype(np.float32)
Y = (X @ [1.0, -2.0, 0.5] + 0.1 * RNG.standard_normal(50)).astype(np.float32)[:, None]


def loader(part=slice(None), batch_size=10, **settings):
    return DataLoader(TensorDataset(X[part], Y[part]), batch_size=batch_size, seed=1, **settings)


def make(lr=0.1, model=None, optimizer=SGD, **settings):
    fastdl.manual_seed(0)
    model = model or nn.Linear(3, 1)
    return Trainer(model, nn.MSELoss(), optimizer(model.parameters(), lr=lr), progress=False, **settings)


def weights(trainer):
    return {name: t.numpy().copy() for name, t in trainer.model.state_dict().items()}


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


# -------------------------------------------------------------------------------------------------------- accumulation


def test_accumulated_batches_equal_one_large_batch():
    """Batches of 4 with a last one of 2: the mean over samples, not the mean of means; 50 = 4 x 12 + 2."""
    large = make(clip_norm=0.5, optimizer=Adam)
    large.fit(loader(batch_size=12), epochs=3)
    small = make(clip_norm=0.5, accumulate=3, optimizer=Adam)
    records = small.fit(loader(batch_size=4), epochs=3)
    assert records[-1]["step"] == large.step == 3 * 5
    for name, value in weights(large).items():
        np.testing.assert_allclose(value, weights(small)[name], rtol=2e-5, atol=1e-6)


def test_accumulation_resumes_at_a_step(tmp_path):
    class Stop(Callback):
        def on_step(self, trainer, loss):
            if trainer.step == 7:
                raise RuntimeError("power cut")

    settings = {"accumulate": 2, "checkpoint_steps": 1}
    whole = make(out=tmp_path / "whole", callbacks=[Callback()], **settings)
    whole.fit(loader(batch_size=7, shuffle=True), epochs=3)
    with pytest.raises(RuntimeError, match="power cut"):
        make(out=tmp_path / "cut", callbacks=[Stop()], **settings).fit(loader(batch_size=7, shuffle=True), epochs=3)
    again = make(out=tmp_path / "cut", callbacks=[Callback()], **settings)
    again.fit(loader(batch_size=7, shuffle=True), epochs=3, resume=True)
    same(weights(whole), weights(again))
    assert again.step == whole.step == 3 * 4
    with pytest.raises(ValueError, match="accumulate must be an integer of at least 1; got 0"):
        make(accumulate=0)


# --------------------------------------------------------------------------------------------- steps of one's own, GAN


class Pair(nn.Module):
    def __init__(self):
        self.generator, self.critic = nn.Linear(2, 1), nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))


class Game(Trainer):
    """A generator that learns the mean of the data from a critic."""

    def training_step(self, batch):
        (real,) = batch
        bce = nn.functional.binary_cross_entropy_with_logits
        ones, zeros = fastdl.ones(len(real), 1), fastdl.zeros(len(real), 1)
        fake = self.model.generator(fastdl.randn(len(real), 2))
        critic = self.model.critic
        d = self.minimize(bce(critic(real), ones) + bce(critic(fake.detach()), zeros), "critic")
        g = self.minimize(bce(critic(fake), ones), "generator")
        return {"loss": g, "critic_loss": d}


def game(out, **settings):
    fastdl.manual_seed(0)
    model = Pair()
    optimizers = {name: Adam(getattr(model, name).parameters(), lr=0.05) for name in ("critic", "generator")}
    schedules = {"critic": StepLR(optimizers["critic"], 2, 0.5)}
    return Game(model, None, optimizers, scheduler=schedules, out=out, progress=False, **settings)


def test_two_optimizers_in_a_step_of_ones_own(tmp_path):
    real = (3 + 0.5 * RNG.standard_normal((200, 1))).astype(np.float32)

    def data():
        return DataLoader(TensorDataset(real), batch_size=20, shuffle=True, seed=2)

    trainer = game(tmp_path / "a")
    records = trainer.fit(data(), epochs=6)
    assert set(records[0]) == {"epoch", "step", "lr_critic", "lr_generator", "loss", "critic_loss", "seconds"}
    assert records[-1]["lr_critic"] == pytest.approx(0.05 / 4) and records[-1]["lr_generator"] == 0.05
    made = trainer.model.generator(fastdl.randn(500, 2)).array
    assert abs(made.mean() - 3) < 1.5 < abs(0 - 3)  # it moved towards the data
    game(tmp_path / "b").fit(data(), epochs=3)
    again = game(tmp_path / "b")
    again.fit(data(), epochs=6, resume=True)
    same(weights(trainer), weights(again))
    with pytest.raises(ValueError, match="the checkpoint has another optimizer"):
        make(out=tmp_path / "b").fit(loader(), epochs=7, resume=True)


def test_loss_of_ones_own_step_must_be_finite(tmp_path):
    trainer = game(None)
    trainer.model.critic[0].weight.array[:] = np.nan
    with pytest.raises(TrainingError, match="the loss is nan at step 1"):
        trainer.fit(DataLoader(TensorDataset(np.ones((4, 1), np.float32)), 2))


# ---------------------------------------------------------------------------------------------------------- callbacks


class Worsen(Callback):
    """After epoch 3 the weights go astray."""

    def on_step(self, trainer, loss):
        if trainer.epoch >= 3:
            trainer.model.bias.array[...] += 1


@pytest.mark.parametrize("epochs", [4, 20])
def test_early_stopping_restores_the_best_epoch(tmp_path, epochs):
    """Whether patience ends the run or the epochs do."""
    best = BestWeights()
    trainer = make(callbacks=[Worsen(), EarlyStopping(patience=3, restore_best=True), best], out=tmp_path)
    records = trainer.fit(loader(slice(40)), loader(slice(40, 50)), epochs=epochs)
    losses = [r["val_loss"] for r in records]
    assert len(records) == min(epochs, 6) and int(np.argmin(losses)) == 2 == best.best_epoch - 1
    assert trainer.evaluate(loader(slice(40, 50)))["loss"] == pytest.approx(min(losses), rel=1e-6)
    for name, value in load_file(tmp_path / "best.safetensors").items():
        np.testing.assert_array_equal(value, weights(trainer)[name])


def test_best_weights_survive_a_resume(tmp_path):
    def run(out, epochs, resume=False):
        callbacks = [Worsen(), EarlyStopping(patience=3, restore_best=True)]
        trainer = make(callbacks=callbacks, out=out)
        trainer.fit(loader(slice(40)), loader(slice(40, 50)), epochs=epochs, resume=resume)
        return trainer

    whole = run(tmp_path / "whole", 20)
    run(tmp_path / "half", 4)
    same(weights(whole), weights(run(tmp_path / "half", 20, resume=True)))
    with pytest.raises(ValueError, match="the Trainer needs a folder"):
        make(callbacks=[BestWeights()]).fit(loader())


def test_averaged_weights_follow_their_formula_and_are_judged():
    seen = []

    class Watch(Callback):
        def on_step(self, trainer, loss):
            seen.append(trainer.model.weight.array.copy())

    ema = EMAWeights(decay=0.9)
    trainer = make(callbacks=[Watch(), ema, EarlyStopping(restore_best=True)], lr=0.3)
    first = trainer.model.weight.array.copy()
    records = trainer.fit(loader(slice(40)), loader(slice(40, 50)), epochs=6)
    mean = first
    for n, w in enumerate(seen):
        d = min(0.9, (1 + n) / (10 + n))
        mean = d * mean + (1 - d) * w
    np.testing.assert_allclose(ema.average["weight"], mean, rtol=1e-5)
    assert not np.array_equal(seen[-1], ema.average["weight"])
    # what was validated, what early stopping kept and what the model has now are the averaged weights
    assert trainer.evaluate(loader(slice(40, 50)))["loss"] == pytest.approx(
        min(r["val_loss"] for r in records), rel=1e-5
    )
    with pytest.raises(ValueError, match="decay must lie in"):
        EMAWeights(1.0)


def test_averaging_does_not_change_what_is_learned(tmp_path):
    plain, averaged = make(out=tmp_path / "a"), make(out=tmp_path / "b", callbacks=[EMAWeights()])
    for trainer in (plain, averaged):
        trainer.fit(loader(), loader(), epochs=3)
    last = [load_file(tmp_path / x / "checkpoints" / "step-000000015" / "model.safetensors") for x in "ab"]
    same(*[{k: np.asarray(v) for k, v in part.items()} for part in last])


def test_gradient_norms(tmp_path):
    log = GradientNorm(layers=True)
    trainer = make(lr=0.0, callbacks=[log], clip_norm=1e-3)
    (record,) = trainer.fit(loader(batch_size=50))
    error = X @ trainer.model.weight.array.T + trainer.model.bias.array - Y
    dw, db = 2 * (error * X).mean(0), 2 * error.mean()
    assert record["grad_norm"] == record["grad_norm_max"] == pytest.approx(np.sqrt((dw**2).sum() + db**2), rel=1e-4)
    assert record["grad_norm.weight"] == pytest.approx(np.linalg.norm(dw), rel=1e-4)  # before clipping


@pytest.mark.parametrize("file", ["steps.csv", "steps.jsonl"])
def test_log_of_steps_survives_a_resume(tmp_path, file):
    def run(out, epochs, resume=False):
        trainer = make(callbacks=[StepLog(file, every=2)], out=out, scheduler=None)
        trainer.fit(loader(shuffle=True), epochs=epochs, resume=resume)
        return (out / file).read_text()

    whole = run(tmp_path / "whole", 4)
    run(tmp_path / "half", 2)
    with open(tmp_path / "half" / file, "a") as torn:
        torn.write("12,3,0.1,lost after the chec")
    assert run(tmp_path / "half", 4, resume=True) == whole
    lines = whole.splitlines()
    assert len(lines) == 10 + file.endswith(".csv") and (lines[0] == "step,epoch,lr,loss") == file.endswith(".csv")
    first = lines[1] if file.endswith(".csv") else json.loads(lines[0])
    assert first.startswith("2,1,0.1,") if isinstance(first, str) else (first["step"], first["epoch"]) == (2, 1)
    assert run(tmp_path / "whole", 1).count("\n") == 2 + file.endswith(".csv")  # a fresh run begins a fresh file
    with pytest.raises(ValueError, match=r"needs a \.csv or \.jsonl file"):
        StepLog("steps.txt")
    with pytest.raises(ValueError, match="needs a folder"):
        make(callbacks=[StepLog(file)]).fit(loader())


def test_validation_between_steps_changes_nothing(tmp_path):
    def run(out, epochs, resume=False, judge=True):
        fastdl.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))
        between = EvaluateSteps(loader(slice(40, 50)), every=3) if judge else Callback()
        trainer = make(model=model, callbacks=[between], out=out)
        trainer.fit(loader(slice(40), shuffle=True), epochs=epochs, resume=resume)
        return trainer, between

    judged, between = run(tmp_path / "a", 3)
    assert [r["step"] for r in between.records] == [3, 6, 9, 12]
    assert between.records[-1]["loss"] == judged.evaluate(loader(slice(40, 50)))["loss"]
    same(weights(judged), weights(run(tmp_path / "b", 3, judge=False)[0]))
    run(tmp_path / "c", 2)
    again, after = run(tmp_path / "c", 3, resume=True)
    assert after.records == between.records
    same(weights(judged), weights(again))
    with pytest.raises(ValueError, match="every must be at least 1"):
        EvaluateSteps(None, 0)


def test_generalization_gap_is_measured_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 1))
    trainer = make(model=model, callbacks=[GeneralizationGap(loader(slice(40)))])
    records = trainer.fit(loader(slice(40)), loader(slice(40, 50)), epochs=2)
    judged = trainer.evaluate(loader(slice(40)))["loss"]
    assert records[-1]["fit_loss"] == pytest.approx(judged) and records[-1]["fit_loss"] != records[-1]["loss"]
    assert records[-1]["gap"] == records[-1]["val_loss"] - records[-1]["fit_loss"]
    assert trainer.model.training
    with pytest.raises(KeyError, match="pass validation data"):
        make(callbacks=[GeneralizationGap(loader())]).fit(loader())


def test_second_schedule_and_plateau():
    trainer = make(lr=0.4)
    trainer.callbacks = [LRSchedule(StepLR(trainer.optimizer, 5, 0.5), every="step")]
    assert [r["lr"] for r in trainer.fit(loader(), epochs=3)] == pytest.approx([0.2, 0.1, 0.05])

    trainer = make(callbacks=[Worsen()])
    trainer.scheduler = ReduceLROnPlateau(trainer.optimizer, factor=0.5, patience=1)
    rates = [r["lr"] for r in trainer.fit(loader(), loader(), epochs=6)]
    assert rates == pytest.approx([0.1] * 5 + [0.05])  # epochs 4 and 5 are worse than 3
    trainer = make()
    trainer.scheduler = ReduceLROnPlateau(trainer.optimizer)
    with pytest.raises(KeyError, match="no 'val_loss' in the record"):
        trainer.fit(loader())
    with pytest.raises(ValueError, match="every must be"):
        LRSchedule(None, every="batch")


def test_batches_may_be_changed_on_the_way():
    class Double(Callback):
        def on_batch(self, trainer, batch):
            x, y = batch
            return x, 2 * y

    trainer = make(callbacks=[Double()])
    trainer.fit(loader(), epochs=60)
    np.testing.assert_allclose(trainer.model.weight.array[0], [2, -4, 1], atol=0.15)


def test_frozen_parts_stay_in_evaluation_mode():
    modes = []

    class Spy(nn.Dropout):
        def forward(self, x):
            modes.append(self.training)
            return super().forward(x)

    model = nn.Sequential(Spy(0.5), nn.Linear(3, 1))
    trainer = make(model=model, frozen=[model[0]])
    trainer.fit(loader(batch_size=50), loader(batch_size=50), epochs=2)
    assert modes == [False] * 4 and model.training and not model[0].training


def test_data_without_a_length():
    class Stream:
        def __iter__(self):
            for i in range(3):
                yield fastdl.tensor(X[i::3]), fastdl.tensor(Y[i::3])

    records = make().fit(Stream(), epochs=2)
    assert records[-1]["step"] == 6 and records[-1]["loss"] < records[0]["loss"]


# ----------------------------------------------------------------------------------------------- judging and pictures


def test_predict_and_evaluate_agree():
    fastdl.manual_seed(0)
    model = nn.Linear(3, 4)
    labels = RNG.integers(0, 4, 50)
    data = DataLoader(TensorDataset(X, labels), batch_size=12)
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), SGD(model.parameters()), metrics={"accuracy": accuracy}, progress=False
    )
    scores, truth = trainer.predict(data)
    assert scores.shape == (50, 4) and (truth == labels).all()
    assert trainer.evaluate(data)["accuracy"] == pytest.approx((scores.argmax(1) == labels).mean())
    with pytest.raises(ValueError, match="no batches"):
        trainer.predict(DataLoader([], 2))


def test_panels_of_the_history():
    record = {
        "epoch": 1,
        "step": 3,
        "lr": 0.1,
        "loss": 1.0,
        "accuracy": 0.5,
        "val_loss": 2.0,
        "val_accuracy": 0.4,
        "gap": 1.0,
    }
    record |= {"grad_norm": 1.0, "grad_norm_max": 2.0, "grad_norm.fc.weight": 0.5, "fit_loss": 1.0, "seconds": 1.0}
    names = [n for n in record if n not in ("epoch", "step", "seconds")]
    expected = {
        "loss": ["loss", "val_loss", "fit_loss"],
        "accuracy": ["accuracy", "val_accuracy"],
        "gap": ["gap"],
        "gradient norm": ["grad_norm", "grad_norm_max"],
    }
    assert _panels(names, [record]) == expected
    assert _panels(names, [record, {**record, "lr": 0.01}])["learning rate"] == ["lr"]


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    record = {"epoch": 1, "lr": 0.1, "loss": 1.0, "grad_norm": 1.0}
    plot([record, {**record, "epoch": 2, "lr": 0.05}], tmp_path / "h.png")
    plot_confusion([[5, 1], [0, 4]], tmp_path / "c.png", labels=["cat", "dog"], title="pets")
    plot_confusion(np.eye(30, dtype=int), tmp_path / "many.png")
    for name in ("h.png", "c.png", "many.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match=r"square matrix of counts; got shape \(2, 3\)"):
        plot_confusion(np.zeros((2, 3)), tmp_path / "x.png")
    with pytest.raises(ValueError, match="2 classes and 1 labels"):
        plot_confusion(np.zeros((2, 2)), tmp_path / "x.png", labels=["a"])


def test_bar_shows_means_speed_and_time_left(monkeypatch):
    pytest.importorskip("tqdm")

    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = Progress(True, 3)
    progress.start_epoch(1, 4, 0)
    for _ in range(4):
        progress.step(1.0, 50, {"loss": 0.25, "accuracy": 0.5})
    progress.bar.refresh()
    progress.end_epoch({"epoch": 1, "loss": 0.25, "seconds": 1.0})
    for word in ("loss 0.2500  accuracy 0.5000", "samples/s", "left", "4/4", "epoch 1/3"):
        assert word in terminal.text, word
    assert progress.samples == 200 and clock(75) == "1:15" and clock(3700) == "1:01:40" and clock(4) == "0:04"
    progress.start_epoch(2, 10, 4)  # resumed after four batches
    progress.step(0.25)
    progress.end_epoch({"epoch": 2, "loss": 0.5, "seconds": 1.0})
    for word in ("epoch 2/3", "4/10", "loss 0.5000"):
        assert word in terminal.text, word
