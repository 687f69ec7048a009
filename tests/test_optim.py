"""Optimizers and schedules: hand-worked numbers, PyTorch side by side, state, errors."""

import math

import numpy as np
import pytest

import fastdl
from fastdl.nn import Parameter
from fastdl.optim import SGD, Adam, AdamW, Optimizer
from fastdl.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, StepLR


def quadratic(make, steps, dtype=np.float64):
    """w after each of `steps` steps on L(w) = w^2 from w = 1."""
    w = Parameter(np.ones(1, dtype))
    optimizer = make([w])
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
        seen.append(w.item())
    return seen


# Worked out by hand (float64), after steps 1, 2, 3 and 10.
GOLDEN = [
    ("momentum", lambda p: SGD(p, lr=0.1, momentum=0.9), (0.8, 0.46, 0.062, 0.00439987)),
    ("nesterov", lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True), (0.62, 0.2224, -0.108352, 0.05136074)),
    ("adam", lambda p: Adam(p, lr=0.1), (0.9, 0.80041223, 0.70158627, 0.07624916)),
    ("lecture", lambda p: Adam(p, lr=0.1, eps_inside_sqrt=True), (0.90000012, 0.80041242, 0.70158651, 0.07624953)),
    ("eps out", lambda p: Adam(p, lr=0.1, eps=1e-2), (0.90049751, 0.80142745, 0.70313616, None)),
    ("eps in", lambda p: Adam(p, lr=0.1, eps=1e-2, eps_inside_sqrt=True), (0.94654775, 0.88100325, 0.80955525, None)),
]


@pytest.mark.parametrize("make, values", [g[1:] for g in GOLDEN], ids=[g[0] for g in GOLDEN])
def test_golden_values(make, values):
    seen = quadratic(make, 10)
    for step, value in zip((1, 2, 3, 10), values, strict=True):
        if value is not None:
            assert seen[step - 1] == pytest.approx(value, abs=6e-9)
    single = quadratic(make, 10, np.float32)
    np.testing.assert_allclose(single, seen, rtol=1e-5, atol=1e-6)


SETTINGS = [
    (SGD, {"lr": 0.1}),
    (SGD, {"lr": 0.1, "momentum": 0.9}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    (SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05}),
    (SGD, {"lr": 0.1, "momentum": 0.8, "maximize": True}),
    (Adam, {"lr": 0.01}),
    (Adam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (Adam, {"lr": 0.01, "amsgrad": True, "betas": (0.5, 0.6)}),
    (Adam, {"lr": 0.01, "maximize": True, "weight_decay": 0.1}),
    (AdamW, {"lr": 0.01}),
    (AdamW, {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True}),
]


def layouts():
    """Parameters as they lie in a network: plain, transposed (Linear), 0-d, 4-D, empty."""
    rng = np.random.default_rng(0)
    return [
        rng.standard_normal((3, 5)),
        rng.standard_normal((7, 4)).T,
        rng.standard_normal(()),
        rng.standard_normal((2, 3, 3, 3)),
        np.zeros((0, 2)),
    ]


@pytest.mark.parametrize("cls, settings", SETTINGS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_as_torch(cls, settings, dtype):
    torch = pytest.importorskip("torch")
    arrays = [a.astype(dtype) for a in layouts()]
    ours = [Parameter(a.copy(order="K")) for a in arrays]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in arrays]
    optimizer, reference = cls(ours, **settings), getattr(torch.optim, cls.__name__)(theirs, **settings)
    rng = np.random.default_rng(1)
    for step in range(12):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            g = rng.standard_normal(p.shape).astype(dtype)
            skip = i == 0 and step % 3 == 1  # a parameter that took no part in this step
            p.grad = None if skip else fastdl.from_numpy(np.asarray(g))
            q.grad = None if skip else torch.tensor(g)
        optimizer.step()
        reference.step()
    tolerance = 1e-12 if dtype == "float64" else 3e-6
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=tolerance, atol=tolerance)
    mine, its = optimizer.state_dict(), reference.state_dict()
    assert mine["state"].keys() == its["state"].keys()
    for number, values in its["state"].items():
        assert mine["state"][number].keys() == {k for k, v in values.items() if v is not None}
        for name, value in values.items():
            if value is not None:
                got = mine["state"][number][name]
                got = got.numpy() if isinstance(got, fastdl.Tensor) else got
                np.testing.assert_allclose(got, value.numpy(), rtol=tolerance, atol=tolerance)
    assert [g["params"] for g in mine["param_groups"]] == [g["params"] for g in its["param_groups"]]


@pytest.mark.parametrize("cls, settings", SETTINGS)
def test_state_goes_through_a_file_and_resumes_bit_for_bit(cls, settings, tmp_path):
    def make():
        params = [Parameter(a.astype(np.float32)) for a in layouts()]
        return params, cls([{"params": params[:2]}, {"params": params[2:], "lr": 0.05}], **settings)

    def run(params, optimizer, first, last):
        for step in range(first, last):
            rng = np.random.default_rng(step)
            for p in params:
                p.grad = fastdl.from_numpy(np.asarray(rng.standard_normal(p.shape).astype(np.float32)))
            optimizer.step()

    params, optimizer = make()
    run(params, optimizer, 0, 9)
    half, first = make()
    run(half, first, 0, 4)
    fastdl.save({"optimizer": first.state_dict()}, tmp_path / "optim.safetensors")
    again, second = make()
    for p, q in zip(again, half, strict=True):
        p.array[...] = q.array
    second.load_state_dict(fastdl.load(tmp_path / "optim.safetensors")["optimizer"])
    run(half, first, 4, 6)  # the state was copied: going on with the first optimizer changes nothing
    run(again, second, 4, 9)
    for p, q in zip(params, again, strict=True):
        np.testing.assert_array_equal(p.array, q.array)
    assert second.param_groups[1]["lr"] == 0.05


def test_torch_state_can_be_loaded():
    torch = pytest.importorskip("torch")
    q = torch.nn.Parameter(torch.ones(3))
    reference = torch.optim.Adam([q], lr=0.1)
    q.grad = torch.tensor([1.0, 2.0, 3.0])
    reference.step()
    state = reference.state_dict()
    state["state"][0] = {name: value.numpy() for name, value in state["state"][0].items()}
    p = Parameter(q.detach().numpy().copy())
    optimizer = Adam([p], lr=0.1)
    optimizer.load_state_dict(state)
    p.grad, q.grad = fastdl.ones(3), torch.ones(3)
    optimizer.step()
    reference.step()
    np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=1e-6)


def test_step_writes_in_place_and_is_counted():
    w = Parameter(np.ones(3, np.float32))
    memory = w.array
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    SGD([w], lr=0.1).step()
    assert w.array is memory
    with pytest.raises(RuntimeError, match=r"SGD\.step"):
        loss.backward()


def test_closure_and_zero_grad():
    w = Parameter(np.ones(1, np.float32))
    optimizer = SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with fastdl.no_grad():
        assert optimizer.step(closure).item() == 1
    assert w.item() == 0.5
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.item() == 0
    optimizer.zero_grad()
    assert w.grad is None


def test_groups():
    a, b, c = (Parameter(np.zeros(1, np.float32)) for _ in range(3))
    optimizer = SGD([{"params": a}, {"params": [b], "lr": 1.0, "momentum": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": iter([c])})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 1.0, 0.1]
    assert "momentum: 0.5" in repr(optimizer)
    for bad, error, message in [
        (lambda: optimizer.add_param_group({"params": [a]}), ValueError, "appears twice"),
        (lambda: SGD([a, a]), ValueError, "appears twice"),
        (lambda: SGD([]), ValueError, "no parameters"),
        (lambda: SGD(a), TypeError, "must be a list"),
        (lambda: SGD([1.0]), TypeError, "can only optimize Tensors, got a float"),
        (lambda: SGD([a * 2]), ValueError, "leaf"),
        (lambda: SGD([a], lr=-1), ValueError, "lr must be at least 0"),
        (lambda: SGD([a], lr=math.nan), ValueError, "lr must be at least 0; got nan"),
        (lambda: SGD([a], nesterov=True), ValueError, "nesterov needs a momentum"),
        (lambda: Adam([a], betas=(0.9, 1.0)), ValueError, "betas must lie in"),
        (lambda: AdamW([a], weight_decay=-1), ValueError, "weight_decay"),
        (lambda: optimizer.load_state_dict(SGD([a]).state_dict()), ValueError, r"groups of \[1\] parameters"),
    ]:
        with pytest.raises(error, match=message):
            bad()


def test_state_of_other_shapes_is_refused():
    p = Parameter(np.ones(3, np.float32))
    p.grad = fastdl.ones(3)
    optimizer = Adam([p])
    optimizer.step()
    with pytest.raises(ValueError, match=r"exp_avg has shape \(3,\), its parameter \(4,\)"):
        Adam([Parameter(np.ones(4, np.float32))]).load_state_dict(optimizer.state_dict())


def test_an_optimizer_of_ones_own():
    class Sign(Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def update(self, group, params):
            for p in params:
                p.array -= group["lr"] * np.sign(p.grad.array)

    assert quadratic(Sign, 3) == pytest.approx([0.9, 0.8, 0.7])


# --------------------------------------------------------------------------------------------------------- schedules

SCHEDULES = [
    (StepLR, {"step_size": 3, "gamma": 0.5}),
    (CosineAnnealingLR, {"T_max": 10, "eta_min": 0.01}),
    (LambdaLR, {"lr_lambda": lambda t: 1 / (1 + t)}),
    (LambdaLR, {"lr_lambda": [lambda t: 0.9**t, lambda t: t]}),
]


def two_groups(optimizer=SGD):
    a, b = (Parameter(np.zeros(1, np.float32)) for _ in range(2))
    return optimizer([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 2.0}], lr=1.0)


@pytest.mark.parametrize("cls, settings", SCHEDULES)
def test_schedules_same_as_torch(cls, settings):
    torch = pytest.importorskip("torch")
    optimizer = two_groups()
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 2.0)]
    reference = torch.optim.SGD(groups, lr=1.0)
    ours, theirs = cls(optimizer, **settings), getattr(torch.optim.lr_scheduler, cls.__name__)(reference, **settings)
    for _ in range(25):
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-9, atol=1e-12)
        assert [g["lr"] for g in optimizer.param_groups] == ours.get_last_lr()
        reference.step()
        ours.step()
        theirs.step()


@pytest.mark.parametrize("cls, settings", SCHEDULES)
def test_schedules_resume(cls, settings):
    whole = cls(two_groups(), **settings)
    for _ in range(7):
        whole.step()
    other = cls(two_groups(), **settings)
    other.load_state_dict(whole.state_dict())
    assert other.get_last_lr() == whole.get_last_lr()
    other.step()
    whole.step()
    assert other.get_last_lr() == whole.get_last_lr()


def test_schedule_errors():
    for bad, error, message in [
        (lambda: StepLR(two_groups(), 0), ValueError, "step_size"),
        (lambda: CosineAnnealingLR(two_groups(), 0), ValueError, "T_max"),
        (lambda: LambdaLR(two_groups(), [len]), ValueError, "1 functions for 2"),
        (lambda: StepLR(two_groups(), 1, last_epoch=3), KeyError, "initial_lr"),
    ]:
        with pytest.raises(error, match=message):
            bad()


def test_momentum_beats_plain_descent_on_an_ill_conditioned_quadratic():
    """Condition 100: steps to 1e-6, each with its best lr."""
    curvature = np.array([1.0, 100.0])

    def steps(make):
        w = Parameter(np.ones(2))
        optimizer = make([w])
        for n in range(2000):
            if 0.5 * (curvature * w.array**2).sum() < 1e-6:
                return n
            w.grad = fastdl.from_numpy(curvature * w.array)
            optimizer.step()
        return 2000

    # lr 2 / (L + m) is the best of gradient descent, Polyak's pair the best with momentum
    plain = steps(lambda p: SGD(p, lr=2 / 101))
    momentum = steps(lambda p: SGD(p, lr=4 / (10 + 1) ** 2, momentum=(9 / 11) ** 2))
    assert momentum <= plain / 3
