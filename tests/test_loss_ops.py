"""The losses, softmax and the norms as ops: values and gradients against torch, derivatives of both orders, errors."""

import numpy as np
import pytest

import fastdl as fd
from fastdl.autograd import gradcheck, gradgradcheck
from fastdl.nn import functional as F

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((2, 6, 5))
LABELS = np.array([0, 4, 2, 2, 1, 3])
SIGNS = np.where(rng.random(6) < 0.5, -1.0, 1.0)
POSITIVE = rng.random((6, 5)) + 0.2
INSIDE = rng.random((6, 5)) * 0.9 + 0.05
IMAGE = rng.standard_normal((3, 4, 5, 2))
W4 = rng.random(4) + 0.5
MAPS = rng.integers(0, 4, (3, 5, 2))
SEVERAL = np.array([[0, 4, -1, 1, 1], [-1] * 5, [2, 2, 1, -1, 0], [4, 3, 2, 1, 0], [3, -1, -1, 2, 2], [1, 0, 2, 4, -1]])
PROBABILITIES = INSIDE / INSIDE.sum(1, keepdims=True)


def same(name, *arrays, **options):
    """A call that is the same in torch: arrays of floats need gradients."""
    return pytest.param(name, arrays, options, id=f"{name}-{options or len(arrays)}")


LOSSES = [
    same("cross_entropy", X, LABELS),
    same("cross_entropy", X, LABELS, label_smoothing=0.1),
    same("cross_entropy", X, LABELS, ignore_index=2),
    same("cross_entropy", IMAGE, MAPS, W4, label_smoothing=0.2, ignore_index=1),
    same("cross_entropy", X[0], np.array(3)),
    same("cross_entropy", X, PROBABILITIES),
    same("cross_entropy", X, PROBABILITIES, label_smoothing=0.1),
    same("nll_loss", X, LABELS),
    same("nll_loss", IMAGE, MAPS, W4, ignore_index=2),
    same("mse_loss", X, Y),
    same("l1_loss", X, Y),
    same("smooth_l1_loss", X, Y, beta=0.7),
    same("smooth_l1_loss", X, Y, beta=0.0),
    same("huber_loss", X, Y, delta=0.6),
    same("binary_cross_entropy", INSIDE, np.round(INSIDE)),
    same("binary_cross_entropy_with_logits", X * 5, INSIDE),
    same("binary_cross_entropy_with_logits", X, INSIDE, pos_weight=np.linspace(0.5, 2, 5)),
    same("kl_div", X, PROBABILITIES),
    same("kl_div", X, np.log(PROBABILITIES), log_target=True),
    same("gaussian_nll_loss", X, Y, POSITIVE),
    same("gaussian_nll_loss", X, Y, POSITIVE, full=True),
    same("poisson_nll_loss", X, POSITIVE * 3),
    same("poisson_nll_loss", POSITIVE, POSITIVE * 3, log_input=False, full=True),
    same("hinge_embedding_loss", X[:, 0], SIGNS),
    same("soft_margin_loss", X[:, 0], SIGNS),
    same("margin_ranking_loss", X[:, 0], Y[:, 0], SIGNS, margin=0.3),
    same("cosine_embedding_loss", X, Y, SIGNS, margin=0.1),
    same("triplet_margin_loss", X, Y, X[::-1].copy()),
    same("triplet_margin_loss", X, Y, X[::-1].copy(), swap=True, margin=2.0),
    same("multi_margin_loss", X, LABELS),
    same("multi_margin_loss", X, LABELS, p=2, margin=0.5),
    same("multilabel_margin_loss", X, SEVERAL),
    same("multilabel_margin_loss", X[0], SEVERAL[0]),
    same("multilabel_soft_margin_loss", X * 5, np.round(INSIDE)),
    same("multilabel_soft_margin_loss", X, np.round(INSIDE), POSITIVE[0]),
    same("triplet_margin_with_distance_loss", X, Y, X[::-1].copy()),
    same("triplet_margin_with_distance_loss", X, Y, X[::-1].copy(), swap=True, margin=2.0),
]
OTHERS = [
    same("softmax", X, dim=1),
    same("log_softmax", IMAGE, dim=1),
    same("softmin", X, dim=0),
    same("cosine_similarity", X, Y, dim=1),
    same("pairwise_distance", X, Y),
    same("normalize", X),
    same("layer_norm", X, (5,), POSITIVE[0], Y[0]),
    same("layer_norm", IMAGE, (5, 2)),
    same("rms_norm", X, (5,), POSITIVE[0]),
    same("group_norm", IMAGE, 2, W4, X[0, :4]),
    same("group_norm", IMAGE, 1),
    same("instance_norm", IMAGE),
    same("local_response_norm", IMAGE, 3),
    same("local_response_norm", IMAGE, 2, alpha=0.5, beta=0.6, k=2.0),
    same("batch_norm", X, None, None, POSITIVE[0], Y[0], training=True),
    same("batch_norm", IMAGE, None, None, training=True),
    same("batch_norm", X, Y[0], POSITIVE[0], POSITIVE[1], Y[1]),
]


def is_float(a):
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def differentiable(name, arrays):
    """Which arguments take a gradient: the first, and weights; not targets, as their kinks are torch's own business."""
    if name in ("batch_norm",):
        return [i for i in (0, 3, 4) if i < len(arrays) and is_float(arrays[i])]
    if name in (
        "layer_norm",
        "group_norm",
        "rms_norm",
        "cosine_similarity",
        "pairwise_distance",
        "triplet_margin_loss",
        "triplet_margin_with_distance_loss",
    ):
        return [i for i, a in enumerate(arrays) if is_float(a)]
    return [0, 1] if name in ("mse_loss", "margin_ranking_loss", "cosine_embedding_loss", "gaussian_nll_loss") else [0]


def call(library, tensor, name, arrays, options, dtype, **more):
    where = differentiable(name, arrays)
    args = [tensor(a.astype(dtype) if is_float(a) else a, i in where) if isinstance(a, np.ndarray) else a
            for i, a in enumerate(arrays)]  # fmt: skip
    if "pos_weight" in options:
        options = {**options, "pos_weight": tensor(options["pos_weight"].astype(dtype), False)}
    result = getattr(library, name)(*args, **options, **more)
    return result, [args[i] for i in where]


def ours(a, needs_grad):
    return fd.tensor(a, requires_grad=needs_grad)


def compare_with_torch(name, arrays, options, dtype, **more):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def theirs(a, needs_grad):
        return torch.tensor(a, requires_grad=needs_grad)

    y, xs = call(F, ours, name, arrays, options, dtype, **more)
    want, want_xs = call(torch.nn.functional, theirs, name, arrays, options, dtype, **more)
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if dtype == "float64" else {"rtol": 3e-5, "atol": 1e-5}
    np.testing.assert_allclose(
        y.numpy() if not y.requires_grad else y.detach().numpy(), want.detach().numpy(), **tolerance
    )
    dy = np.linspace(-1, 1, max(1, want.numel())).reshape(tuple(want.shape)).astype(dtype) + 0.3
    y.backward(fd.tensor(dy))
    want.backward(torch.tensor(dy))
    for got, expected in zip(xs, want_xs, strict=True):
        np.testing.assert_allclose(got.grad.numpy(), expected.grad.numpy(), **tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "arrays", "options"), LOSSES)
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
def test_losses_equal_torch(name, arrays, options, reduction, dtype):
    compare_with_torch(name, arrays, options, dtype, reduction=reduction)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "arrays", "options"), OTHERS)
def test_functions_equal_torch(name, arrays, options, dtype):
    compare_with_torch(name, arrays, options, dtype)


@pytest.mark.parametrize(("name", "arrays", "options"), LOSSES + OTHERS)
def test_derivatives(name, arrays, options):
    where = differentiable(name, arrays)

    def function(*floats):
        args = [fd.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays]
        for i, x in zip(where, floats, strict=True):
            args[i] = x
        extra = {k: fd.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        return getattr(F, name)(*args, **extra)

    xs = [fd.tensor(arrays[i], requires_grad=True) for i in where]
    assert gradcheck(function, xs)
    assert gradgradcheck(function, xs)


@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_with_relu_and_residual(training, with_residual):
    """The fused form equals the three steps, in value and in every derivative."""
    mean, var, bias = fd.tensor(X[0, :4]), fd.tensor(POSITIVE[0, :4]), fd.tensor(X[1, :4], requires_grad=True)
    x, weight = fd.tensor(IMAGE, requires_grad=True), fd.tensor(W4, requires_grad=True)
    residual = fd.tensor(IMAGE[::-1].copy(), requires_grad=True)

    def fused(x, weight, bias, residual):
        stats = (None, None) if training else (mean, var)
        return F.batch_norm(x, *stats, weight, bias, training, residual=residual if with_residual else None, act="relu")

    def plain(x, weight, bias, residual):
        stats = (None, None) if training else (mean, var)
        y = F.batch_norm(x, *stats, weight, bias, training)
        return F.relu(y + residual if with_residual else y)

    args = (x, weight, bias, residual)
    np.testing.assert_allclose(fused(*args).detach().numpy(), plain(*args).detach().numpy(), rtol=1e-12, atol=1e-12)
    used = args if with_residual else args[:3]
    assert gradcheck(lambda *a: fused(*a, *args[len(a) :]), used)
    assert gradgradcheck(lambda *a: fused(*a, *args[len(a) :]), used)


def test_running_statistics_equal_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours, theirs = ([np.zeros(4, "f"), np.ones(4, "f")] for _ in range(2))
    x = IMAGE.astype("f")
    F.batch_norm(fd.tensor(x), *map(fd.from_numpy, ours), training=True, momentum=0.3)
    torch.nn.functional.batch_norm(torch.tensor(x), *map(torch.from_numpy, theirs), training=True, momentum=0.3)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_large_logits_are_safe(scale):
    x = fd.tensor((X * scale).astype("f"), requires_grad=True)
    for loss in (
        F.cross_entropy(x, fd.tensor(LABELS)),
        F.binary_cross_entropy_with_logits(x, fd.tensor(INSIDE.astype("f"))),
    ):
        x.grad = None
        loss.backward()
        assert np.isfinite(loss.item()) and np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_labels_of_any_integer_type(dtype):
    want = F.cross_entropy(fd.tensor(X), fd.tensor(LABELS)).item()
    assert F.cross_entropy(fd.tensor(X), fd.tensor(LABELS.astype(dtype))).item() == want


def test_errors_say_what_to_do():
    x = fd.tensor(X)
    with pytest.raises(TypeError, match=r"labels must be integers, target.long\(\)"):
        F.cross_entropy(x, fd.tensor(LABELS.astype("f")))
    with pytest.raises(ValueError, match="label 7 at index 1 is out of range for 5 classes"):
        F.cross_entropy(x, fd.tensor([0, 7, 1, 1, 1, 1]))
    with pytest.raises(ValueError, match=r"label -1 at index \(2,\) is out of range"):
        F.nll_loss(x, fd.tensor([0, 3, -1, 1, 1, 1]))
    with pytest.raises(ValueError, match="reduction must be"):
        F.mse_loss(x, x, reduction="average")
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.binary_cross_entropy(x, x)
    with pytest.raises(TypeError, match="dim is needed"):
        F.softmax(x)
    with pytest.raises(ValueError, match="more than one value per channel"):
        F.batch_norm(fd.ones(1, 5), None, None, training=True)
    with pytest.raises(RuntimeError, match="normalized_shape"):
        F.layer_norm(x, (6,))
    with pytest.warns(UserWarning, match="seldom meant"):
        F.mse_loss(fd.ones(4, 1), fd.ones(4))


def test_binary_cross_entropy_of_certain_probabilities_has_finite_gradients():
    """Torch's values: logarithms from -100 on, a slope over at least 1e-12; sigmoids in float32 do reach 0 and 1."""
    p = fd.tensor([0.0, 1.0, 0.0, 1.0, 0.5], requires_grad=True)
    loss = F.binary_cross_entropy(p, fd.tensor([0.0, 1.0, 1.0, 0.0, 1.0]), reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), [0, 0, 100, 100, np.log(2)], rtol=1e-6)
    loss.sum().backward()
    np.testing.assert_allclose(p.grad.numpy(), [0, 0, -1e12, 1e12, -2], rtol=1e-5)


def test_binary_cross_entropy_has_derivatives_by_both_arguments():
    p, t = (fd.tensor(a, requires_grad=True) for a in (INSIDE, INSIDE[::-1].copy()))
    assert gradcheck(lambda p, t: F.binary_cross_entropy(p, t, reduction="none"), [p, t])
    assert gradgradcheck(lambda p, t: F.binary_cross_entropy(p, t, reduction="none"), [p, t])
