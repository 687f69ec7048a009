"""Schedules: 200 steps beside torch's, alone and combined; state through a file; errors."""

import math

import numpy as np
import pytest

import fastdl
from fastdl import optim
from fastdl.nn import Parameter
from fastdl.optim import lr_scheduler as ours
from fastdl.optim import swa_utils

pytestmark = pytest.mark.filterwarnings("ignore:Detected call of")

SCHEDULES = [
    ("StepLR", {"step_size": 30, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [80, 20, 20, 150], "gamma": 0.3}),
    ("ExponentialLR", {"gamma": 0.97}),
    ("ConstantLR", {"factor": 0.2, "total_iters": 40}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.8, "total_iters": 60}),
    ("LinearLR", {}),
    ("PolynomialLR", {"total_iters": 120, "power": 2.0}),
    ("CosineAnnealingLR", {"T_max": 50, "eta_min": 0.01}),
    ("CosineAnnealingLR", {"T_max": 1}),
    ("CosineAnnealingWarmRestarts", {"T_0": 30, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 8, "T_mult": 2}),
    ("OneCycleLR", {"max_lr": [1.0, 3.0], "total_steps": 205}),
    (
        "OneCycleLR",
        {"max_lr": 2.0, "epochs": 5, "steps_per_epoch": 41, "anneal_strategy": "linear", "three_phase": True},
    ),
    ("OneCycleLR", {"max_lr": 2.0, "total_steps": 201, "pct_start": 0.1, "div_factor": 5, "cycle_momentum": False}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": [0.5, 1.0], "step_size_up": 17}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 10, "step_size_down": 25, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 10, "mode": "exp_range", "gamma": 0.99}),
    (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 9, "scale_fn": lambda n: 1 / n, "cycle_momentum": False},
    ),
    ("LambdaLR", {"lr_lambda": [lambda t: 0.9**t, lambda t: 1 / (1 + t)]}),
    ("MultiplicativeLR", {"lr_lambda": lambda t: 0.95 + 0.1 * (t % 2)}),
]
IDS = [f"{name}-{i}" for i, (name, _) in enumerate(SCHEDULES)]


def two_groups(cls="SGD", **settings):
    a, b = (Parameter(np.zeros(1, np.float32)) for _ in range(2))
    settings = settings or ({"momentum": 0.9} if cls == "SGD" else {})
    return getattr(optim, cls)([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 2.0}], lr=1.0, **settings)


def torch_groups(torch, cls="SGD", **settings):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 2.0)]
    settings = settings or ({"momentum": 0.9} if cls == "SGD" else {})
    optimizer = getattr(torch.optim, cls)(groups, lr=1.0, **settings)
    optimizer.step()  # so that torch does not warn about the order of the calls
    return optimizer


def look(optimizer):
    """Rates and momenta of all groups."""
    return [
        (g["lr"], *([g["betas"][0]] if "betas" in g else [g["momentum"]] if "momentum" in g else []))
        for g in optimizer.param_groups
    ]


def compare(mine, its, optimizer, reference, steps=200, args=None):
    for n in range(steps):
        np.testing.assert_allclose(look(optimizer), look(reference), rtol=1e-9, atol=1e-12, err_msg=f"after {n} steps")
        assert [g["lr"] for g in optimizer.param_groups] == mine.get_last_lr()
        extra = () if args is None else (args(n),)
        mine.step(*extra)
        its.step(*extra)
    np.testing.assert_allclose(look(optimizer), look(reference), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name, settings", SCHEDULES, ids=IDS)
@pytest.mark.parametrize("cls", ["SGD", "Adam"])
def test_same_as_torch_over_200_steps(name, settings, cls):
    torch = pytest.importorskip("torch")
    optimizer, reference = two_groups(cls), torch_groups(torch, cls)
    mine = getattr(ours, name)(optimizer, **settings)
    its = getattr(torch.optim.lr_scheduler, name)(reference, **settings)
    compare(mine, its, optimizer, reference)


def build(library, optimizer, kind):
    if kind == "warm-up, then cosine":
        parts = [library.LinearLR(optimizer, 0.1, 1.0, 20), library.CosineAnnealingLR(optimizer, 150, 1e-3)]
        return library.SequentialLR(optimizer, parts, milestones=[20])
    if kind == "three":
        parts = [
            library.ConstantLR(optimizer, 0.1, 1000),
            library.ExponentialLR(optimizer, 0.9),
            library.StepLR(optimizer, 7, 0.5),
        ]
        return library.SequentialLR(optimizer, parts, milestones=[10, 60])
    if kind == "chained":
        parts = [
            library.ConstantLR(optimizer, 0.1, 30),
            library.ExponentialLR(optimizer, 0.98),
            library.MultiStepLR(optimizer, [50, 90], 0.5),
        ]
        return library.ChainedScheduler(parts)
    if kind == "chained cosine":
        return library.ChainedScheduler(
            [library.LinearLR(optimizer, 0.3, 1.0, 25), library.CosineAnnealingLR(optimizer, 60, 1e-4)]
        )
    raise AssertionError(kind)


KINDS = ["warm-up, then cosine", "three", "chained", "chained cosine"]


@pytest.mark.parametrize("kind", KINDS)
def test_combined_same_as_torch(kind):
    torch = pytest.importorskip("torch")
    optimizer, reference = two_groups(), torch_groups(torch)
    mine, its = build(ours, optimizer, kind), build(torch.optim.lr_scheduler, reference, kind)
    compare(mine, its, optimizer, reference, steps=150 if kind == "chained cosine" else 200)


@pytest.mark.parametrize(
    "settings",
    [
        {"patience": 3},
        {"mode": "max", "patience": 2, "factor": 0.5, "cooldown": 4, "threshold_mode": "abs", "threshold": 0.05},
        {"patience": 0, "factor": 0.7, "min_lr": [0.05, 0.2]},
    ],
)
def test_plateau_same_as_torch(settings):
    torch = pytest.importorskip("torch")
    optimizer, reference = two_groups(), torch_groups(torch)
    mine = ours.ReduceLROnPlateau(optimizer, **settings)
    its = torch.optim.lr_scheduler.ReduceLROnPlateau(reference, **settings)
    values = 1 / (1 + np.arange(200) / 20) + 0.05 * np.random.default_rng(0).standard_normal(200)
    compare(mine, its, optimizer, reference, args=lambda n: float(values[n]))
    assert mine.get_last_lr()[0] < 0.1
    assert (mine.best, mine.num_bad_epochs) == (its.best, its.num_bad_epochs)


def test_restarts_go_to_any_moment():
    torch = pytest.importorskip("torch")
    optimizer, reference = two_groups(), torch_groups(torch)
    mine = ours.CosineAnnealingWarmRestarts(optimizer, 4, 2)
    its = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(reference, 4, 2)
    for moment in (0, 0.25, 3.9, 4, 11.5, 12.0, 20, 3.5):
        mine.step(moment)
        its.step(moment)
        np.testing.assert_allclose(look(optimizer), look(reference), rtol=1e-9)


@pytest.mark.parametrize("anneal", ["cos", "linear"])
def test_swalr_same_as_torch(anneal):
    torch = pytest.importorskip("torch")
    optimizer, reference = two_groups(), torch_groups(torch)
    first = ours.ExponentialLR(optimizer, 0.9)
    its_first = torch.optim.lr_scheduler.ExponentialLR(reference, 0.9)
    for _ in range(7):
        first.step()
        its_first.step()
    mine = swa_utils.SWALR(optimizer, [0.05, 0.3], 12, anneal)
    its = torch.optim.swa_utils.SWALR(reference, [0.05, 0.3], 12, anneal)
    compare(mine, its, optimizer, reference, steps=30)


def test_warm_ups_by_hand():
    def rates(make, count):
        optimizer = optim.SGD([Parameter(np.zeros(1, np.float32))], lr=2.0)
        schedule = make(optimizer)
        seen = []
        for _ in range(count):
            seen.append(optimizer.param_groups[0]["lr"])
            schedule.step()
        return seen

    assert rates(lambda o: ours.WarmupLR(o, 4), 6) == pytest.approx([0.5, 1, 1.5, 2, 2, 2])
    assert rates(lambda o: ours.WarmupLR(o, 2, 6, "linear"), 8) == pytest.approx([1, 2, 2, 1.5, 1, 0.5, 0, 0])
    cosine = [1, 2, 2, 1 + math.sqrt(0.5), 1, 1 - math.sqrt(0.5), 0, 0]
    assert rates(lambda o: ours.WarmupLR(o, 2, 6, "cosine"), 8) == pytest.approx(cosine)
    noam = rates(lambda o: ours.NoamLR(o, 16, 4), 9)  # 2 * 16^-1/2 min(s^-1/2, s / 8) at s = 1, ..., 9
    assert noam[:4] == pytest.approx([1 / 16, 1 / 8, 3 / 16, 1 / 4])
    assert noam[8] == pytest.approx(1 / 6)


@pytest.mark.parametrize("name, settings", SCHEDULES, ids=IDS)
def test_state_goes_through_a_file(name, settings, tmp_path):
    def make():
        optimizer = two_groups()
        return optimizer, getattr(ours, name)(optimizer, **settings)

    optimizer, schedule = make()
    for _ in range(37):
        schedule.step()
    fastdl.save({"schedule": schedule.state_dict()}, tmp_path / "schedule.safetensors")
    other, again = make()
    again.load_state_dict(fastdl.load(tmp_path / "schedule.safetensors")["schedule"])
    for _ in range(60):
        assert look(other) == look(optimizer)
        schedule.step()
        again.step()


@pytest.mark.parametrize("kind", KINDS)
def test_state_of_combined_goes_through_a_file(kind, tmp_path):
    optimizer, other = two_groups(), two_groups()
    schedule, again = build(ours, optimizer, kind), build(ours, other, kind)
    for _ in range(15):
        schedule.step()
    fastdl.save({"schedule": schedule.state_dict()}, tmp_path / "schedule.safetensors")
    again.load_state_dict(fastdl.load(tmp_path / "schedule.safetensors")["schedule"])
    for _ in range(60):
        assert look(other) == look(optimizer)
        schedule.step()
        again.step()


def test_state_of_plateau_goes_through_a_file(tmp_path):
    optimizer, other = two_groups(), two_groups()
    schedule, again = (ours.ReduceLROnPlateau(o, patience=2) for o in (optimizer, other))
    fastdl.save({"schedule": schedule.state_dict()}, tmp_path / "new.safetensors")  # the best so far is infinite
    again.load_state_dict(fastdl.load(tmp_path / "new.safetensors")["schedule"])
    assert again.best == math.inf
    for value in (1.0, 0.5, 0.6, 0.7):
        schedule.step(value)
    again.load_state_dict(schedule.state_dict())
    for value in (0.7, 0.8, 0.1, 0.2):
        schedule.step(value)
        again.step(fastdl.tensor(value))
        assert look(other) == look(optimizer)


def test_errors():
    optimizer, other = two_groups(), two_groups()
    adagrad = optim.Adagrad([Parameter(np.zeros(1, np.float32))])
    step = ours.StepLR(optimizer, 3)
    for bad, message in [
        (lambda: ours.LinearLR(optimizer, start_factor=0), r"start_factor must lie in \(0, 1\]"),
        (lambda: ours.LinearLR(optimizer, end_factor=2), r"end_factor must lie in \[0, 1\]"),
        (lambda: ours.ConstantLR(optimizer, factor=2), r"factor must lie in \[0, 1\]"),
        (lambda: ours.PolynomialLR(optimizer, 0), "total_iters must be at least 1"),
        (lambda: ours.CosineAnnealingWarmRestarts(optimizer, 0), "T_0 must be a whole number"),
        (lambda: ours.CosineAnnealingWarmRestarts(optimizer, 5, T_mult=1.5), "T_mult must be a whole number"),
        (lambda: ours.OneCycleLR(optimizer, 1.0), "give total_steps, or epochs and steps_per_epoch"),
        (lambda: ours.OneCycleLR(optimizer, [1.0], 10), "1 values of max_lr for 2 parameter groups"),
        (lambda: ours.OneCycleLR(optimizer, 1.0, 10, pct_start=2), "pct_start"),
        (lambda: ours.OneCycleLR(optimizer, 1.0, 10, anneal_strategy="exp"), "anneal_strategy must be cos or linear"),
        (lambda: ours.OneCycleLR(adagrad, 1.0, 10), "no momentum or betas to cycle; hint: cycle_momentum=False"),
        (lambda: ours.CyclicLR(optimizer, 0.1, 1.0, mode="round"), "mode must be"),
        (lambda: ours.CyclicLR(optimizer, 0.1, 1.0, scale_fn=abs, scale_mode="days"), "scale_mode must be"),
        (lambda: ours.ReduceLROnPlateau(optimizer, factor=1.0), "factor must be below 1"),
        (lambda: ours.ReduceLROnPlateau(optimizer, mode="up"), "mode must be min or max"),
        (lambda: ours.ReduceLROnPlateau(optimizer, threshold_mode="up"), "threshold_mode must be"),
        (lambda: ours.ReduceLROnPlateau(optimizer, min_lr=[0.1]), "1 values of min_lr for 2"),
        (lambda: ours.SequentialLR(optimizer, [step, step], []), r"2 schedules need 1 milestones; got \[\]"),
        (lambda: ours.SequentialLR(other, [step, step], [3]), "schedule 0 is of another optimizer"),
        (lambda: ours.SequentialLR(optimizer, [step] * 3, [5, 3]), "milestones must grow"),
        (lambda: ours.ChainedScheduler([step, ours.StepLR(other, 3)]), "schedule 1 is of another optimizer"),
        (lambda: ours.ChainedScheduler([]), "at least one schedule"),
        (lambda: ours.ChainedScheduler([ours.ReduceLROnPlateau(optimizer)]), "needs a metric"),
        (lambda: ours.WarmupLR(optimizer, 5, then="up"), "then must be"),
        (lambda: ours.WarmupLR(optimizer, 5, 5, then="linear"), "total_steps above warmup_steps = 5; got 5"),
        (lambda: ours.NoamLR(optimizer, 0), "model_size must be at least 1"),
        (lambda: step.load_state_dict({"last_epoch": 3}), "the state has no base_lrs"),
        (lambda: step.load_state_dict({"last_epoch": 3, "base_lrs": [1.0]}), "of 1 parameter groups, not 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            bad()
    last = ours.OneCycleLR(two_groups(), 1.0, 2)
    last.step()
    last.step()
    with pytest.raises(ValueError, match="step 3 is beyond the 2 of the cycle"):
        last.step()
