"""Every optimizer over 200 steps beside torch's; the rungs beside each other; formulas by themselves; state, errors."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest

import fastdl
from fastdl import kernels, optim
from fastdl.nn import Parameter

SHAPES = [(4, 6), (5,), (3, 2, 2, 2), ()]

# name -> four settings; each with three ways to decay and climb: 12 configurations
VARIANTS = {
    "SGD": [
        {"lr": 0.05},
        {"lr": 0.05, "momentum": 0.9},
        {"lr": 0.02, "momentum": 0.8, "dampening": 0.4},
        {"lr": 0.02, "momentum": 0.9, "nesterov": True},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.01},
        {"lr": 0.05, "eps": 1e-2},
        {"lr": 0.1, "initial_accumulator_value": 0.3},
    ],
    "Adadelta": [{}, {"lr": 0.3}, {"rho": 0.6, "eps": 1e-3}, {"rho": 0.99, "lr": 2.0}],
    "RMSprop": [
        {},
        {"lr": 0.003, "alpha": 0.9, "momentum": 0.9},
        {"centered": True, "eps": 1e-3},
        {"centered": True, "momentum": 0.5, "alpha": 0.95, "lr": 0.005},
    ],
    "Adam": [
        {},
        {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3},
        {"lr": 0.02, "amsgrad": True, "betas": (0.7, 0.8)},
        {"lr": 0.01, "decoupled_weight_decay": True},
    ],
    "AdamW": [{}, {"lr": 0.02, "betas": (0.0, 0.95)}, {"lr": 0.02, "amsgrad": True}, {"eps": 1e-2}],
    "RAdam": [
        {},
        {"lr": 0.02, "betas": (0.8, 0.95)},
        {"lr": 0.02, "decoupled_weight_decay": True},
        {"lr": 0.01, "betas": (0.9, 0.6), "eps": 1e-3},  # never rectified: rho_inf = 4
    ],
    "Adamax": [{}, {"lr": 0.02}, {"lr": 0.02, "betas": (0.5, 0.8)}, {"eps": 1e-2}],
    "NAdam": [
        {},
        {"lr": 0.02, "momentum_decay": 0.04},
        {"lr": 0.02, "decoupled_weight_decay": True},
        {"betas": (0.7, 0.9), "eps": 1e-3},
    ],
}
WAYS = [{}, {"weight_decay": 0.05}, {"weight_decay": 0.2, "maximize": True}]
CONFIGURATIONS = [
    pytest.param(name, {**variant, **way}, id=f"{name}-{i}-{j}")
    for name, variants in VARIANTS.items()
    for i, variant in enumerate(variants)
    for j, way in enumerate(WAYS)
]
# those that torch lacks
OWN = [
    ("AdamP", {"lr": 0.01, "weight_decay": 0.1}),
    ("AdamP", {"lr": 0.01, "nesterov": True, "delta": 1.0}),
    ("SGDP", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGDP", {"lr": 0.01, "momentum": 0.5, "dampening": 0.2, "nesterov": True, "delta": 1.0}),
    ("Adam", {"lr": 0.01, "form": "lecture", "eps": 1e-3}),
    ("Adagrad", {"lr": 0.1, "form": "lecture", "eps": 1e-3}),
    ("RMSprop", {"lr": 0.01, "form": "lecture", "momentum": 0.5}),
    ("RAdam", {"lr": 0.01, "form": "lecture", "degenerated_to_sgd": False}),
    ("NAG", {"lr": 0.01, "form": "torch"}),
]


def start(dtype):
    rng = np.random.default_rng(0)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]


def gradient(array, step, i):
    """A pull towards a target, and noise: the same for the same numbers."""
    noise = np.random.default_rng(1000 * step + i).standard_normal(array.shape)
    return np.asarray(0.5 * np.tanh(array - 0.3) + 0.2 * noise, array.dtype)


def run(make, dtype, steps, params=None):
    params = [Parameter(a) for a in start(dtype)] if params is None else params
    optimizer = make(params)
    for step in range(steps):
        for i, p in enumerate(params):
            p.grad = fastdl.from_numpy(gradient(p.array, step, i))
        optimizer.step()
    return params, optimizer


def same(name, settings):
    return lambda params: getattr(optim, name)(params, **settings)


@pytest.mark.parametrize("name, settings", CONFIGURATIONS)
def test_trajectory_of_torch(name, settings):
    """200 steps in float64, relative 1e-6 at each of them."""
    torch = pytest.importorskip("torch")
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # torch's NAdam keeps mu_product in this type; float32 is not good to 1e-6
    try:
        _walk_beside_torch(torch, name, settings)
    finally:
        torch.set_default_dtype(default)


def _walk_beside_torch(torch, name, settings):
    ours, theirs = (
        [Parameter(a) for a in start("float64")],
        [torch.nn.Parameter(torch.tensor(a)) for a in start("float64")],
    )
    optimizer = getattr(optim, name)(ours, **settings)
    reference = getattr(torch.optim, name)(theirs, **settings)
    for step in range(200):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            p.grad = fastdl.from_numpy(gradient(p.array, step, i))
            q.grad = torch.from_numpy(gradient(q.detach().numpy(), step, i))
        optimizer.step()
        reference.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=1e-6, atol=1e-12)
    mine, its = optimizer.state_dict()["state"], reference.state_dict()["state"]
    assert {n: set(s) for n, s in mine.items()} == {
        n: {k for k, v in s.items() if v is not None} for n, s in its.items()
    }


def test_defaults_of_torch():
    torch = pytest.importorskip("torch")
    for name in [*VARIANTS, "LBFGS"]:
        p, q = Parameter(np.zeros(1, np.float32)), torch.nn.Parameter(torch.zeros(1))
        mine, its = getattr(optim, name)([p]).defaults, getattr(torch.optim, name)([q]).defaults
        for key in mine.keys() & its.keys():
            assert mine[key] == its[key], (name, key)
        missing = its.keys() - mine.keys() - {"foreach", "capturable", "differentiable", "fused"}
        assert not missing, (name, missing)


@pytest.mark.parametrize("name, settings", [*(p.values for p in CONFIGURATIONS[::3]), *OWN])
def test_c_rung_beside_numpy_in_float64(name, settings):
    """One step in float32 rounds each of some 10 operations: 200 steps drift by at most 200 steps * 10 roundings * eps, relative
    to the largest numbers on the way, which are of the size 1 to 3 (the gradients draw together what has drifted apart)."""
    narrow, _ = run(same(name, settings), "float32", 200)
    with kernels.use("numpy"):
        wide, _ = run(same(name, settings), "float64", 200)
        middle, _ = run(same(name, settings), "float32", 200)
    bound = 200 * 10 * np.finfo(np.float32).eps
    for a, b, c in zip(narrow, middle, wide, strict=True):
        scale = max(1.0, float(np.abs(c.array).max()))
        assert np.abs(a.array - c.array).max() <= bound * scale
        assert np.abs(b.array - c.array).max() <= bound * scale


@pytest.mark.parametrize("name, settings", [*(p.values for p in CONFIGURATIONS[::4]), *OWN])
def test_save_and_resume_bit_for_bit(name, settings, tmp_path):
    whole, _ = run(same(name, settings), "float32", 13)
    half, first = run(same(name, settings), "float32", 6)
    fastdl.save({"optimizer": first.state_dict()}, tmp_path / "optim.safetensors")
    again = [Parameter(p.array.copy()) for p in half]
    second = same(name, settings)(again)
    second.load_state_dict(fastdl.load(tmp_path / "optim.safetensors")["optimizer"])
    for step in range(6, 13):
        for i, p in enumerate(again):
            p.grad = fastdl.from_numpy(gradient(p.array, step, i))
        second.step()
    for p, q in zip(whole, again, strict=True):
        np.testing.assert_array_equal(p.array, q.array)


# Worked out in float64 on L(w) = w^2 from w = 1: after steps 1, 2, 3 and 10.
GOLDEN = [
    ("NAG", {"lr": 0.1, "momentum": 0.9}, (0.8, 0.496, 0.17792, -0.04043837)),
    ("NAG", {"lr": 0.1, "momentum": 0.9, "form": "torch"}, (0.62, 0.2224, -0.108352, 0.05136074)),
    ("SGD", {"lr": 0.1}, (0.8, 0.64, 0.512, 0.10737418)),
    ("Adagrad", {"lr": 0.1, "eps": 1e-8, "form": "lecture"}, (0.9, 0.83310353, 0.78045618, 0.5537312)),
    ("Adadelta", {}, (0.99683773, 0.99359817, 0.99030905, 0.96659706)),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "eps_inside": True}, (0.96837722, 0.94578803, 0.9270531, 0.83205242)),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "form": "lecture"}, (0.96837722, 0.94578803, 0.9270531, 0.83205242)),
    ("Adam", {"lr": 0.1, "form": "lecture"}, (0.90000012, 0.80041242, 0.70158651, 0.07624953)),
    ("RAdam", {"lr": 0.1}, (0.8, 0.62105263, 0.46230336, 0.18753478)),
]


@pytest.mark.parametrize("name, settings, values", GOLDEN)
def test_golden_values(name, settings, values):
    w = Parameter(np.ones(1))
    optimizer = same(name, settings)([w])
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    for _ in range(10):
        optimizer.step(closure)
        seen.append(w.item())
    assert [seen[k - 1] for k in (1, 2, 3, 10)] == pytest.approx(values, abs=6e-9)


def test_both_forms_of_nesterov_look_at_the_same_points():
    """torch's parameters are the lecture's look-ahead points."""
    curvature = np.array([1.0, 30.0])
    points = {}
    for form in ("lecture", "torch"):
        w = Parameter(np.array([1.0, -2.0]))
        optimizer = optim.NAG([w], lr=0.02, momentum=0.9, form=form)
        points[form] = []

        def closure(w=w, form=form):
            points[form].append(w.array.copy())
            w.grad = fastdl.from_numpy(curvature * w.array)

        for _ in range(50):
            optimizer.step(closure)
    np.testing.assert_allclose(points["lecture"], points["torch"], rtol=0, atol=1e-10)


PATHS = json.loads((Path(__file__).parent / "data" / "optimizer_paths.json").read_text())


@pytest.mark.parametrize("path", PATHS)
def test_stored_paths(path):
    """A quadratic of condition 1,000 and Rosenbrock's valley, after steps 1, 2, 3, 25, 50, ..., 200, as PyTorch 2.13 walked them in
    float64."""
    name, what = path.split("/")
    w = Parameter(np.array([1.0, 1.0] if what == "quadratic" else [-1.2, 1.0]))
    optimizer = getattr(optim, name)([w], **PATHS[path]["settings"])
    points = []
    for step in range(1, 201):
        x, y = w.array
        slope = [x, 1000 * y] if what == "quadratic" else [2 * (x - 1) - 400 * x * (y - x * x), 200 * (y - x * x)]
        w.grad = fastdl.from_numpy(np.array(slope))
        optimizer.step()
        if step <= 3 or step % 25 == 0:
            points.append(w.array.copy())
    np.testing.assert_allclose(points, PATHS[path]["points"], rtol=1e-6, atol=1e-9)


# --- RAdam, AdamP, SGDP ---------------------------------------------------------------------------------------------
def test_rectification_by_hand():
    """rho_t for beta2 = 0.999 is 3.9975 at t = 4, 4.996 at 5 and 5.9942 at 6."""
    from fastdl.kernels.optim_step import rectify

    assert [rectify(t, 0.999, 4) is None for t in (4, 5)] == [True, False]
    assert [rectify(t, 0.999, 5) is None for t in (5, 6)] == [True, False]
    values = [rectify(t, 0.999) for t in (6, 10, 100, 1000)]
    assert values == pytest.approx([0.0258, 0.0490, 0.215, 0.645], rel=3e-3)


def adamp_by_itself(w, grads, lr, decay, delta, ratio, beta1=0.9, beta2=0.999, eps=1e-8):
    """AdamP from its paper: algorithm 2 with the tests of section 3, one tensor, written with einsum and axes, not rows."""
    m, v, chosen = np.zeros_like(w), np.zeros_like(w), []
    rest = tuple(range(1, w.ndim))
    for t, g in enumerate(grads, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        p = m / (np.sqrt(v) / np.sqrt(1 - beta2**t) + eps)
        decays, choice = 1.0, "none"
        for axes, name in ((rest, "rows"), (None, "whole")):
            dot = np.sum(w * g, axis=axes, keepdims=True)
            norms = np.sqrt(np.sum(w * w, axis=axes, keepdims=True)) * np.sqrt(np.sum(g * g, axis=axes, keepdims=True))
            length = w.size / dot.size
            if np.max(np.abs(dot / norms)) < delta / math.sqrt(length):
                unit = w / np.sqrt(np.sum(w * w, axis=axes, keepdims=True))
                p = p - unit * np.sum(unit * p, axis=axes, keepdims=True)
                decays, choice = ratio, name
                break
        w = w * (1 - lr * decay * decays) - lr / (1 - beta1**t) * p
        chosen.append(choice)
    return w, chosen


@pytest.mark.parametrize("radial, choice", [(0.0, "rows"), (0.03, "whole"), (5.0, "none")])
def test_adamp_against_its_formulas(radial, choice):
    """Gradients with as much along the rows of w as makes the first, the second, or neither test hold."""
    rng = np.random.default_rng(3)
    w = rng.standard_normal((4, 3, 5, 5))
    signs = np.array([1.0, -1, 1, -1]).reshape(4, 1, 1, 1)  # along the rows, but not along the whole
    grads = []
    along = w / np.sqrt((w * w).sum((1, 2, 3), keepdims=True))
    for _ in range(5):
        g = rng.standard_normal(w.shape)
        g -= along * (along * g).sum((1, 2, 3), keepdims=True)
        g += radial * np.sqrt((g * g).sum((1, 2, 3), keepdims=True)) * along * (signs if choice == "whole" else 1)
        grads.append(g)
    want, chosen = adamp_by_itself(w, grads, 1e-4, 0.1, 0.1, 0.1)
    assert chosen[0] == choice
    for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-6)):
        p = Parameter(np.ascontiguousarray(w.transpose(0, 2, 3, 1)).astype(dtype).transpose(0, 3, 1, 2))
        optimizer = optim.AdamP([p], lr=1e-4, weight_decay=0.1)
        for g in grads:
            p.grad = fastdl.from_numpy(g.astype(dtype))
            optimizer.step()
        np.testing.assert_allclose(p.array, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layout", ["rows first", "rows last"])
@pytest.mark.parametrize("name", ["AdamP", "SGDP"])
def test_projected_update_is_orthogonal_to_the_weights(name, layout):
    rng = np.random.default_rng(0)
    w = rng.standard_normal((24, 50)).astype(np.float32)
    p = Parameter(w.copy() if layout == "rows first" else w.T.copy().T)
    g = rng.standard_normal(w.shape)
    g -= w * ((w * g).sum(1) / (w * w).sum(1))[:, None]  # as the gradient of what a normalization follows
    p.grad = fastdl.from_numpy(g.astype(np.float32))
    optimizer = getattr(optim, name)([p], lr=1.0, **({"momentum": 0.9} if name == "SGDP" else {}))
    optimizer.step()
    # differences of float32 weights are known to eps |w|; the update is of the size of the weights
    update = p.array.astype(np.float64) - w
    cosine = (update * w).sum(1) / np.linalg.norm(update, axis=1) / np.linalg.norm(w, axis=1)
    assert np.abs(cosine).max() < 1e-6


def test_vectors_follow_plain_adam():
    p, q = (Parameter(np.linspace(-1, 1, 7, dtype=np.float32)) for _ in range(2))
    first, second = optim.AdamP([p], lr=0.1), optim.Adam([q], lr=0.1)
    for step in range(5):
        for t in (p, q):
            t.grad = fastdl.from_numpy(gradient(t.array, step, 0))
        first.step()
        second.step()
    np.testing.assert_allclose(p.array, q.array, rtol=1e-6)


# --- L-BFGS ---------------------------------------------------------------------------------------------------------
def rosenbrock(lib, w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[1]) ** 2 + 100 * (w[2] - w[1] ** 2) ** 2


LBFGS_SETTINGS = [
    {"lr": 1e-3},
    {"lr": 1e-3, "max_iter": 5, "history_size": 3},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 4, "history_size": 2},
    {"line_search_fn": "strong_wolfe", "lr": 0.1, "max_eval": 7},
    {"line_search_fn": "strong_wolfe", "tolerance_change": 1e-3, "lr": 30.0},
]


@pytest.mark.parametrize("settings", LBFGS_SETTINGS)
@pytest.mark.parametrize("begin", [(-1.2, 1.0, 0.5), (3.0, -2.0, 1.0)])
def test_lbfgs_walks_as_torch_does(settings, begin):
    torch = pytest.importorskip("torch")
    w, v = Parameter(np.array(begin)), torch.nn.Parameter(torch.tensor(begin, dtype=torch.float64))
    ours, theirs = optim.LBFGS([w], **settings), torch.optim.LBFGS([v], **settings)

    def closure_of(p, optimizer, lib):
        def closure():
            optimizer.zero_grad()
            loss = rosenbrock(lib, p)
            loss.backward()
            return loss

        return closure

    compared = 0
    for _ in range(12):
        a, b = ours.step(closure_of(w, ours, fastdl)), theirs.step(closure_of(v, theirs, torch))
        if b.item() < 1e-2:  # differences of gradients are mostly rounding from here on, and L-BFGS builds on them
            break
        np.testing.assert_allclose(a.item(), b.item(), rtol=1e-6)
        assert (ours.state[w]["func_evals"], ours.state[w]["n_iter"]) == (
            theirs.state[v]["func_evals"],
            theirs.state[v]["n_iter"],
        )
        compared += 1
    assert compared >= 2
    if "line_search_fn" in settings and "tolerance_change" not in settings:
        for _ in range(60):
            ours.step(closure_of(w, ours, fastdl))
        np.testing.assert_allclose(w.array, 1, atol=1e-2)


def test_lbfgs_saves_and_resumes(tmp_path):
    def closure_of(w, optimizer):
        def closure():
            optimizer.zero_grad()
            loss = rosenbrock(fastdl, w)
            loss.backward()
            return loss

        return closure

    def make(values):
        w = Parameter(np.array(values))
        return w, optim.LBFGS([w], line_search_fn="strong_wolfe", max_iter=3)

    w, optimizer = make((-1.2, 1.0, 0.5))
    for _ in range(3):
        optimizer.step(closure_of(w, optimizer))
    fastdl.save({"optimizer": optimizer.state_dict()}, tmp_path / "optim.safetensors")
    again, second = make(w.array)
    second.load_state_dict(fastdl.load(tmp_path / "optim.safetensors")["optimizer"])
    for _ in range(3):
        optimizer.step(closure_of(w, optimizer))
        second.step(closure_of(again, second))
    np.testing.assert_array_equal(w.array, again.array)


# --- what stays and what changes between steps ------------------------------------------------------------------------
def test_anything_may_change_between_steps():
    """A plan of a group is kept from step to step; whatever it rests on may change, and the same bits come out as without it."""

    def walk(keep):
        params = [Parameter(a.copy()) for a in start("float32")]
        optimizer = optim.Adam(params, lr=0.01, amsgrad=False)
        for step in range(14):
            for i, p in enumerate(params):
                p.grad = fastdl.from_numpy(gradient(p.array, step, i))
            if step == 2:
                params[1].grad = None
            if step == 4:
                params[0].array = params[0].array.copy()
            if step == 5:
                optimizer.state[params[2]]["exp_avg"] = optimizer.state[params[2]]["exp_avg"] * 2
            if step == 6:
                optimizer.param_groups[0]["amsgrad"] = True
            if step == 7:
                optimizer.param_groups[0]["lr"] = 0.05
            if step == 8:
                optimizer.state[params[3]]["step"] = 1
            if step == 9:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            if step == 10:
                params.append(Parameter(np.ones((2, 2), np.float32)))
                params[-1].grad = fastdl.ones(2, 2)
                optimizer.add_param_group({"params": [params[-1]], "lr": 0.1})
            if step == 11:
                params[0].grad = fastdl.from_numpy(params[0].grad.array.T.copy().T)
            if step == 12:
                optimizer.state.clear()
            if not keep:
                optimizer._plans.clear()
            optimizer.step()
        return [p.array for p in params]

    for a, b in zip(walk(True), walk(False), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_gradient_of_another_shape_or_dtype_is_refused():
    p = Parameter(np.ones((2, 3), np.float32))
    optimizer = optim.Adam([p])
    p.grad = fastdl.ones(2, 3)
    optimizer.step()  # from here on with a plan
    before = p.array.copy()
    for grad, error, message in [
        (np.ones((3, 2), np.float32), ValueError, r"parameter 0 has shape \(2, 3\), but \(3, 2\)"),
        (np.ones((2, 3)), TypeError, "parameter 0 is float32, but float64"),
    ]:
        for rung in ("cython", "numpy"):
            p.grad = fastdl.from_numpy(grad)
            with kernels.use(rung), pytest.raises(error, match=message):
                optimizer.step()
            np.testing.assert_array_equal(p.array, before)


def test_rungs_may_change_between_steps():
    p = Parameter(np.ones(3, np.float32))
    optimizer = optim.RMSprop([p])
    for rung in ("cython", "numpy", "naive", "cython"):
        p.grad = fastdl.ones(3)
        with kernels.use(rung):
            optimizer.step()
    assert optimizer.state[p]["step"] == 4


def test_gradients_are_not_kept():
    import weakref

    p = Parameter(np.ones(3, np.float32))
    optimizer = optim.Adam([p])
    for _ in range(2):
        p.grad = fastdl.ones(3)
        alive = weakref.ref(p.grad.array)
        optimizer.step()
        optimizer.zero_grad()
        assert alive() is None


def test_an_optimizer_can_be_copied():
    p = Parameter(np.ones(3, np.float32))
    optimizer = optim.Adam([p])
    p.grad = fastdl.ones(3)
    optimizer.step()
    other = copy.deepcopy(optimizer)
    q = other.param_groups[0]["params"][0]
    assert q is not p
    other.step()
    optimizer.step()
    np.testing.assert_array_equal(p.array, q.array)


def test_names_of_parameters_are_kept():
    p = Parameter(np.ones(3, np.float32))
    optimizer = optim.Adam([("weight", p)])
    assert optimizer.param_groups[0]["param_names"] == ["weight"] and optimizer.param_groups[0]["params"] == [p]


def test_centered_rmsprop_stays_finite_where_the_gradient_is_constant():
    p = Parameter(np.ones(64, np.float32))
    optimizer = optim.RMSprop([p], centered=True, alpha=0.5, lr=1e-4)
    g = np.linspace(0.1, 3, 64, dtype=np.float32)
    for _ in range(60):
        p.grad = fastdl.from_numpy(g)
        optimizer.step()
    assert np.isfinite(p.array).all()


def test_errors():
    p = Parameter(np.zeros(2, np.float32))
    for bad, error, message in [
        (lambda: optim.Adagrad([p], lr=-1), ValueError, "Adagrad: lr must be at least 0"),
        (lambda: optim.Adagrad([p], lr_decay=-1), ValueError, "lr_decay must be at least 0"),
        (lambda: optim.Adagrad([p], initial_accumulator_value=-1), ValueError, "initial_accumulator_value"),
        (lambda: optim.Adadelta([p], rho=1.5), ValueError, r"rho must lie in \[0, 1\]"),
        (lambda: optim.RMSprop([p], alpha=-0.1), ValueError, "alpha must be at least 0"),
        (lambda: optim.RMSprop([p], momentum=-0.1), ValueError, "momentum must be at least 0"),
        (lambda: optim.RAdam([p], betas=(1.0, 0.9)), ValueError, "betas must lie in"),
        (lambda: optim.RAdam([p], threshold=3), ValueError, "threshold must be at least 4"),
        (lambda: optim.NAdam([p], momentum_decay=-1), ValueError, "momentum_decay"),
        (lambda: optim.Adamax([p], eps=-1), ValueError, "eps must be at least 0"),
        (lambda: optim.AdamP([p], delta=-1), ValueError, "delta must be at least 0"),
        (lambda: optim.SGDP([p], momentum=1.0), ValueError, "momentum must be below 1"),
        (lambda: optim.NAG([p], momentum=0), ValueError, "momentum must be above 0"),
        (lambda: optim.NAG([p]).step(), ValueError, "needs a closure"),
        (lambda: optim.LBFGS([p]).step(), ValueError, "needs a closure"),
        (lambda: optim.LBFGS([p], line_search_fn="armijo"), ValueError, "line_search_fn"),
        (lambda: optim.LBFGS([{"params": [p]}, {"params": [Parameter(np.zeros(1))]}]), ValueError, "several"),
        (lambda: optim.Adam([p], form="other"), ValueError, "form must be"),
        (lambda: optim.Adam([p], differentiable=True), ValueError, "differentiable=True is not supported"),
        (lambda: optim.Adam([p], learning_rate=1), TypeError, "unexpected keyword argument 'learning_rate'"),
        (lambda: optim.RMSprop([p, p]), ValueError, "appears twice"),
        (lambda: optim.AdamP([]), ValueError, "no parameters"),
    ]:
        with pytest.raises(error, match=message):
            bad()
    optim.Adam([p], foreach=True, fused=True)
