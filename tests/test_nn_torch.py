"""Every layer and loss beside PyTorch: values, gradients of inputs and parameters, buffers, in both modes."""

import numpy as np
import pytest

import fastdl
from fastdl import nn

torch = pytest.importorskip("torch")


def normal(*shape):
    return lambda rng: rng.standard_normal(shape).astype(np.float32)


def uniform(*shape):
    return lambda rng: rng.uniform(0.05, 0.95, shape).astype(np.float32)


def signs(*shape):
    return lambda rng: rng.choice([-1.0, 1.0], shape).astype(np.float32)


def labels(high, *shape):
    return lambda rng: rng.integers(0, high, shape)


def counts(*shape):
    return lambda rng: rng.poisson(3, shape).astype(np.float32)


def case(name, build, *inputs):
    return pytest.param(build, inputs, id=name)


LAYERS = [
    case("Identity", lambda nn: nn.Identity(3, a=1), normal(2, 3)),
    case("Linear", lambda nn: nn.Linear(4, 3), normal(5, 4)),
    case("Linear no bias, 1-d", lambda nn: nn.Linear(4, 3, bias=False), normal(4)),
    case("Linear 3-d", lambda nn: nn.Linear(4, 3), normal(2, 3, 4)),
    case("Bilinear", lambda nn: nn.Bilinear(3, 4, 2), normal(5, 3), normal(5, 4)),
    case("Flatten", lambda nn: nn.Flatten(), normal(2, 3, 4, 5)),
    case("Flatten 0..1", lambda nn: nn.Flatten(0, 1), normal(2, 3, 4)),
    case("Unflatten", lambda nn: nn.Unflatten(1, (2, -1)), normal(2, 6)),
    case("Conv1d", lambda nn: nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), normal(2, 4, 11)),
    case("Conv1d same", lambda nn: nn.Conv1d(2, 3, 4, padding="same"), normal(2, 2, 9)),
    case("Conv2d", lambda nn: nn.Conv2d(3, 5, 3), normal(2, 3, 8, 7)),
    case("Conv2d 1x1", lambda nn: nn.Conv2d(3, 5, 1, bias=False), normal(2, 3, 4, 4)),
    case("Conv2d all", lambda nn: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (2, 1), 2), normal(2, 4, 9, 8)),
    case("Conv2d same", lambda nn: nn.Conv2d(2, 3, (3, 4), padding="same", dilation=2), normal(2, 2, 9, 8)),
    case("Conv2d valid", lambda nn: nn.Conv2d(2, 3, 3, padding="valid"), normal(2, 2, 6, 6)),
    case("Conv2d depthwise", lambda nn: nn.Conv2d(4, 4, 3, padding=1, groups=4), normal(2, 4, 6, 6)),
    case("Conv2d reflect", lambda nn: nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="reflect"), normal(1, 2, 6, 7)),
    case("Conv2d circular", lambda nn: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), normal(1, 2, 6, 7)),
    case("Conv2d replicate", lambda nn: nn.Conv2d(2, 3, 4, padding="same", padding_mode="replicate"), normal(1, 2, 6, 7)),
    case("Conv2d one image", lambda nn: nn.Conv2d(2, 3, 3), normal(2, 6, 6)),
    case("ConvTranspose1d", lambda nn: nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2), normal(2, 4, 5)),
    case("ConvTranspose2d", lambda nn: nn.ConvTranspose2d(3, 4, 4, 2, 1), normal(2, 3, 5, 4)),
    case(
        "ConvTranspose2d all", lambda nn: nn.ConvTranspose2d(4, 6, (3, 2), (3, 2), (1, 0), (2, 1), 2, False, 2), normal(2, 4, 5, 4)
    ),
    case("MaxPool1d", lambda nn: nn.MaxPool1d(3, 2, 1), normal(2, 3, 9)),
    case("MaxPool2d", lambda nn: nn.MaxPool2d(2), normal(2, 3, 8, 6)),
    case("MaxPool2d all", lambda nn: nn.MaxPool2d((3, 2), (2, 1), (1, 0), (2, 1), ceil_mode=True), normal(2, 3, 9, 8)),
    case("AvgPool1d", lambda nn: nn.AvgPool1d(3, 2, 1), normal(2, 3, 9)),
    case("AvgPool2d", lambda nn: nn.AvgPool2d(3, 2, 1, count_include_pad=False, ceil_mode=True), normal(2, 3, 8, 8)),
    case("AvgPool2d divisor", lambda nn: nn.AvgPool2d(2, divisor_override=3), normal(2, 3, 6, 6)),
    case("AdaptiveAvgPool1d", lambda nn: nn.AdaptiveAvgPool1d(4), normal(2, 3, 9)),
    case("AdaptiveAvgPool2d", lambda nn: nn.AdaptiveAvgPool2d((3, None)), normal(2, 3, 7, 5)),
    case("AdaptiveAvgPool2d 1", lambda nn: nn.AdaptiveAvgPool2d(1), normal(2, 3, 7, 5)),
    case("AdaptiveMaxPool1d", lambda nn: nn.AdaptiveMaxPool1d(4), normal(2, 3, 9)),
    case("AdaptiveMaxPool2d", lambda nn: nn.AdaptiveMaxPool2d((2, 3)), normal(2, 3, 7, 5)),
    case("LPPool1d", lambda nn: nn.LPPool1d(3, 2), uniform(2, 3, 8)),
    case("LPPool2d", lambda nn: nn.LPPool2d(2, 3, stride=2), normal(2, 3, 8, 8)),
    case("BatchNorm1d", lambda nn: nn.BatchNorm1d(3), normal(6, 3)),
    case("BatchNorm1d 3-d", lambda nn: nn.BatchNorm1d(3, eps=1e-3, momentum=None), normal(4, 3, 5)),
    case("BatchNorm2d", lambda nn: nn.BatchNorm2d(3, momentum=0.3), normal(4, 3, 5, 2)),
    case("BatchNorm2d bare", lambda nn: nn.BatchNorm2d(3, affine=False, track_running_stats=False), normal(4, 3, 5, 2)),
    case("LayerNorm", lambda nn: nn.LayerNorm(6), normal(4, 5, 6)),
    case("LayerNorm 2 axes", lambda nn: nn.LayerNorm((5, 6), bias=False), normal(4, 5, 6)),
    case("LayerNorm plain", lambda nn: nn.LayerNorm(6, elementwise_affine=False), normal(4, 6)),
    case("RMSNorm", lambda nn: nn.RMSNorm(6, eps=1e-5), normal(4, 6)),
    case("RMSNorm no eps", lambda nn: nn.RMSNorm((2, 6)), normal(4, 2, 6)),
    case("GroupNorm", lambda nn: nn.GroupNorm(2, 6), normal(3, 6, 4, 5)),
    case("GroupNorm 1-d", lambda nn: nn.GroupNorm(3, 6, affine=False), normal(3, 6)),
    case("InstanceNorm1d", lambda nn: nn.InstanceNorm1d(3, affine=True), normal(2, 3, 6)),
    case("InstanceNorm2d", lambda nn: nn.InstanceNorm2d(3), normal(2, 3, 5, 4)),
    case("InstanceNorm2d tracked", lambda nn: nn.InstanceNorm2d(3, track_running_stats=True), normal(2, 3, 5, 4)),
    case("InstanceNorm2d one", lambda nn: nn.InstanceNorm2d(3), normal(3, 5, 4)),
    case("LocalResponseNorm", lambda nn: nn.LocalResponseNorm(3, 0.1, 0.6, 2.0), normal(2, 7, 4, 4)),
    case("Dropout", lambda nn: nn.Dropout(0.0), normal(3, 4)),
    case("Dropout all", lambda nn: nn.Dropout(1.0), normal(3, 4)),
    case("Dropout2d", lambda nn: nn.Dropout2d(0.0), normal(2, 3, 4, 4)),
    case("ZeroPad2d", lambda nn: nn.ZeroPad2d((1, 2, 0, 3)), normal(2, 3, 4, 4)),
    case("ZeroPad2d crop", lambda nn: nn.ZeroPad2d((-1, 2, 0, -1)), normal(2, 3, 4, 4)),
    case("ConstantPad1d", lambda nn: nn.ConstantPad1d(2, 3.5), normal(2, 3, 4)),
    case("ConstantPad2d", lambda nn: nn.ConstantPad2d(1, -1.0), normal(2, 3, 4, 4)),
    case("ReflectionPad1d", lambda nn: nn.ReflectionPad1d((1, 3)), normal(2, 3, 4)),
    case("ReflectionPad2d", lambda nn: nn.ReflectionPad2d((1, 3, 2, 0)), normal(2, 3, 4, 4)),
    case("ReplicationPad1d", lambda nn: nn.ReplicationPad1d(2), normal(2, 3, 4)),
    case("ReplicationPad2d", lambda nn: nn.ReplicationPad2d((1, 3, 2, 0)), normal(2, 3, 4, 4)),
    case("CircularPad1d", lambda nn: nn.CircularPad1d((1, 2)), normal(2, 3, 4)),
    case("CircularPad2d", lambda nn: nn.CircularPad2d((1, 3, 2, 0)), normal(2, 3, 4, 4)),
    case("PixelShuffle", lambda nn: nn.PixelShuffle(2), normal(2, 8, 3, 4)),
    case("PixelUnshuffle", lambda nn: nn.PixelUnshuffle(2), normal(2, 2, 6, 4)),
    case("Upsample nearest", lambda nn: nn.Upsample(scale_factor=2), normal(2, 3, 4, 5)),
    case("Upsample size", lambda nn: nn.Upsample(size=(7, 3)), normal(2, 3, 4, 5)),
    case("Upsample bilinear", lambda nn: nn.Upsample(scale_factor=1.5, mode="bilinear"), normal(2, 3, 4, 6)),
    case("Upsample bicubic", lambda nn: nn.Upsample(size=9, mode="bicubic"), normal(2, 3, 4, 6)),
    case("UpsamplingNearest2d", lambda nn: nn.UpsamplingNearest2d(scale_factor=3), normal(2, 3, 2, 2)),
    case("UpsamplingBilinear2d", lambda nn: nn.UpsamplingBilinear2d(size=(7, 9)), normal(2, 3, 4, 6)),
    case("PReLU", lambda nn: nn.PReLU(), normal(3, 4)),
    case("PReLU channels", lambda nn: nn.PReLU(4, 0.1), normal(3, 4, 5)),
    case("ReLU inplace", lambda nn: nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)), normal(3, 4)),
    case("Softmax", lambda nn: nn.Softmax(1), normal(3, 4, 5)),
    case("LogSoftmax", lambda nn: nn.LogSoftmax(-1), normal(3, 4)),
    case("Softmin", lambda nn: nn.Softmin(0), normal(3, 4)),
    case("Softmax2d", lambda nn: nn.Softmax2d(), normal(2, 3, 4, 4)),
    case("GLU", lambda nn: nn.GLU(1), normal(3, 4, 5)),
    case("GELU tanh", lambda nn: nn.GELU("tanh"), normal(3, 4)),
    case("LeakyReLU", lambda nn: nn.LeakyReLU(0.3), normal(3, 4)),
    case("ELU", lambda nn: nn.ELU(0.7), normal(3, 4)),
    case("CELU", lambda nn: nn.CELU(0.7), normal(3, 4)),
    case("Softplus", lambda nn: nn.Softplus(2.0, 1.5), normal(3, 4)),
    case("Hardtanh", lambda nn: nn.Hardtanh(-0.5, 0.8), normal(3, 4)),
    case("Threshold", lambda nn: nn.Threshold(0.2, -3.0), normal(3, 4)),
    *[
        case(name, lambda nn, name=name: getattr(nn, name)(), normal(4, 9))
        for name in (
            "ReLU", "ReLU6", "Sigmoid", "Tanh", "SiLU", "Mish", "SELU", "Hardswish", "Hardsigmoid", "LogSigmoid", "Softsign",
            "Tanhshrink", "GELU", "Hardshrink", "Softshrink",
        )
    ],
]  # fmt: skip


def pairs(build, dtype=np.float32):
    """The layer in both frameworks, with the same random parameters and buffers."""
    ours, theirs = build(nn), build(torch.nn)
    rng = np.random.default_rng(1)
    state = {}
    for name, value in theirs.state_dict().items():
        array = rng.uniform(0.2, 1.0, tuple(value.shape)).astype(dtype)
        state[name] = array if value.is_floating_point() else value.numpy().copy()
    theirs.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    ours.load_state_dict(state)
    if dtype == np.float64:
        ours, theirs = ours.double(), theirs.double()
    return ours, theirs


def close(a, b, what, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape, f"{what}: {a.shape} and {b.shape}"
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * (1 + np.abs(b).max(initial=0)), err_msg=what)


def compare(ours, theirs, arrays, train, second=False):
    """Values, gradients, buffers of one call in one mode."""
    ours.train(train), theirs.train(train)
    a = [fastdl.from_numpy(x.copy()) for x in arrays]
    b = [torch.tensor(x) for x in arrays]
    for x, y in zip(a, b, strict=True):
        if x.dtype.kind == "f":
            x.requires_grad_(), y.requires_grad_()
    y, z = ours(*a), theirs(*b)
    close(y.detach().numpy(), z.detach().numpy(), "value")
    g = np.random.default_rng(2).standard_normal(y.shape).astype(np.float32)
    if z.requires_grad:
        y.backward(fastdl.from_numpy(np.asarray(g)))
        z.backward(torch.tensor(g))
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        if y.grad is not None:
            close(x.grad.numpy(), y.grad.numpy(), f"gradient of input {i}")
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if q.grad is not None:
            close(p.grad.numpy(), q.grad.numpy(), f"gradient of {name}", 3e-5)
    for (name, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        close(p.numpy(), q.numpy(), name)


@pytest.mark.parametrize("build, inputs", LAYERS)
def test_layer(build, inputs):
    ours, theirs = pairs(build)
    rng = np.random.default_rng(0)
    arrays = [make(rng) for make in inputs]
    for train in (True, True, False):
        ours.zero_grad(), theirs.zero_grad()
        compare(ours, theirs, arrays, train)
    names = {n for n in dir(theirs) if not n.startswith("_")}
    assert repr(ours).partition("(")[0] == repr(theirs).partition("(")[0]
    assert {"training", "forward", "parameters", "state_dict"} <= names & set(dir(ours))


LOSSES = [
    case("MSELoss", lambda nn: nn.MSELoss(), normal(4, 3), normal(4, 3)),
    case("L1Loss sum", lambda nn: nn.L1Loss(reduction="sum"), normal(4, 3), normal(4, 3)),
    case("SmoothL1Loss", lambda nn: nn.SmoothL1Loss(beta=0.7), normal(4, 3), normal(4, 3)),
    case("SmoothL1Loss 0", lambda nn: nn.SmoothL1Loss(beta=0.0), normal(4, 3), normal(4, 3)),
    case("HuberLoss", lambda nn: nn.HuberLoss(delta=0.7, reduction="none"), normal(4, 3), normal(4, 3)),
    case("CrossEntropyLoss", lambda nn: nn.CrossEntropyLoss(), normal(6, 5), labels(5, 6)),
    case("CrossEntropyLoss sum", lambda nn: nn.CrossEntropyLoss(reduction="sum"), normal(6, 5), labels(5, 6)),
    case("CrossEntropyLoss none", lambda nn: nn.CrossEntropyLoss(reduction="none"), normal(6, 5), labels(5, 6)),
    case("CrossEntropyLoss images", lambda nn: nn.CrossEntropyLoss(), normal(2, 5, 3, 4), labels(5, 2, 3, 4)),
    case("CrossEntropyLoss one", lambda nn: nn.CrossEntropyLoss(), normal(5), labels(5)),
    case("CrossEntropyLoss ignore", lambda nn: nn.CrossEntropyLoss(ignore_index=2), normal(9, 3), labels(3, 9)),
    case("CrossEntropyLoss smooth", lambda nn: nn.CrossEntropyLoss(label_smoothing=0.1), normal(6, 5), labels(5, 6)),
    case(
        "CrossEntropyLoss probabilities", lambda nn: nn.CrossEntropyLoss(label_smoothing=0.2), normal(6, 5),
        lambda rng: rng.dirichlet(np.ones(5), 6).astype(np.float32),
    ),
    case("NLLLoss", lambda nn: nn.NLLLoss(ignore_index=1), normal(6, 5), labels(5, 6)),
    case("NLLLoss images", lambda nn: nn.NLLLoss(reduction="sum"), normal(2, 5, 3), labels(5, 2, 3)),
    case("BCELoss", lambda nn: nn.BCELoss(), uniform(4, 3), uniform(4, 3)),
    case("BCEWithLogitsLoss", lambda nn: nn.BCEWithLogitsLoss(), normal(4, 3), uniform(4, 3)),
    case("KLDivLoss", lambda nn: nn.KLDivLoss(reduction="batchmean"), normal(4, 3), uniform(4, 3)),
    case("KLDivLoss log", lambda nn: nn.KLDivLoss(reduction="sum", log_target=True), normal(4, 3), normal(4, 3)),
    case("PoissonNLLLoss", lambda nn: nn.PoissonNLLLoss(), normal(4, 3), uniform(4, 3)),
    case("PoissonNLLLoss full", lambda nn: nn.PoissonNLLLoss(False, True), uniform(4, 3), counts(4, 3)),
    case("GaussianNLLLoss", lambda nn: nn.GaussianNLLLoss(full=True), normal(4, 3), normal(4, 3), uniform(4, 3)),
    case("HingeEmbeddingLoss", lambda nn: nn.HingeEmbeddingLoss(0.8), normal(4, 3), signs(4, 3)),
    case("MarginRankingLoss", lambda nn: nn.MarginRankingLoss(0.3), normal(5), normal(5), signs(5)),
    case("SoftMarginLoss", lambda nn: nn.SoftMarginLoss(), normal(4, 3), signs(4, 3)),
    case("CosineEmbeddingLoss", lambda nn: nn.CosineEmbeddingLoss(0.1), normal(5, 3), normal(5, 3), signs(5)),
    case("TripletMarginLoss", lambda nn: nn.TripletMarginLoss(2.0), normal(5, 3), normal(5, 3), normal(5, 3)),
    case("MultiMarginLoss", lambda nn: nn.MultiMarginLoss(2, 0.7), normal(6, 5), labels(5, 6)),
    case("MultiLabelMarginLoss", lambda nn: nn.MultiLabelMarginLoss(), normal(6, 5), labels(5, 6, 5)),
    case("MultiLabelSoftMarginLoss", lambda nn: nn.MultiLabelSoftMarginLoss(), normal(6, 5), uniform(6, 5)),
    case(
        "TripletMarginWithDistanceLoss", lambda nn: nn.TripletMarginWithDistanceLoss(
            distance_function=lambda a, b: (a - b).abs().sum(-1), margin=2.0, swap=True),
        normal(5, 3), normal(5, 3), normal(5, 3)
    ),
    case("TripletMarginLoss swap", lambda nn: nn.TripletMarginLoss(2.0, 1.0, swap=True), normal(5, 3), normal(5, 3), normal(5, 3)),
]  # fmt: skip


@pytest.mark.parametrize("build, inputs", LOSSES)
def test_loss(build, inputs):
    rng = np.random.default_rng(0)
    arrays = [make(rng) for make in inputs]
    ours, theirs = build(nn), build(torch.nn)
    a = [fastdl.from_numpy(np.asarray(x).copy()) for x in arrays]
    b = [torch.tensor(x) for x in arrays]
    a[0].requires_grad_(), b[0].requires_grad_()
    y, z = ours(*a), theirs(*b)
    close(y.detach().numpy(), z.detach().numpy(), "value")
    y.sum().backward()
    z.sum().backward()
    close(a[0].grad.numpy(), b[0].grad.numpy(), "gradient")


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss", "MSELoss"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weights_of_losses(name, reduction):
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2, 5).astype(np.float32)
    x, settings = rng.uniform(0.1, 0.9, (6, 5)).astype(np.float32), {"reduction": reduction}
    target = (
        rng.integers(0, 5, 6) if name in ("CrossEntropyLoss", "NLLLoss") else rng.uniform(0, 1, (6, 5)).astype("f4")
    )
    both = []
    for lib, tensor in ((nn, fastdl.tensor), (torch.nn, torch.tensor)):
        more = dict(settings)
        if name != "MSELoss":
            more["weight"] = tensor(weight)
        if name == "BCEWithLogitsLoss":
            more["pos_weight"] = tensor(weight[::-1].copy())
        if name == "CrossEntropyLoss":
            more["label_smoothing"] = 0.1
        loss = getattr(lib, name)(**more)
        data = tensor(x).requires_grad_()
        value = loss(data, tensor(target))
        value.sum().backward()
        both.append((value.detach().numpy(), data.grad.numpy(), sorted(loss.state_dict())))
    close(both[0][0], both[1][0], "value")
    close(both[0][1], both[1][1], "gradient")
    assert both[0][2] == both[1][2]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_labels_and_indices_of_any_integer_dtype(dtype):
    scores, target = fastdl.rand(4, 3), fastdl.from_numpy(np.array([0, 2, 1, 1], dtype))
    expected = nn.CrossEntropyLoss()(scores, target.long()).item()
    assert nn.CrossEntropyLoss()(scores, target).item() == expected
    log = nn.LogSoftmax(1)(scores)
    assert nn.NLLLoss()(log, target).item() == pytest.approx(expected, rel=1e-6)
    assert nn.Embedding(3, 2)(target).shape == (4, 2)


def test_float_labels_get_a_hint():
    with pytest.raises((TypeError, RuntimeError), match="integer"):
        nn.CrossEntropyLoss()(fastdl.rand(4, 3), fastdl.tensor([0.0, 1, 2, 0]))
    with pytest.raises((TypeError, RuntimeError), match="integer"):
        nn.Embedding(3, 2)(fastdl.tensor([0.0, 1]))


def test_loss_errors():
    with pytest.raises(ValueError, match="reduction must be"):
        nn.MSELoss(reduction="average")
    with pytest.raises((ValueError, IndexError, RuntimeError), match="5"):
        nn.CrossEntropyLoss()(fastdl.rand(2, 3), fastdl.tensor([0, 5]))


# ---------------------------------------------------------------------------------------------------------- embedding


def test_embedding():
    build = lambda nn: nn.Embedding(7, 3, padding_idx=-2)  # noqa: E731
    ours, theirs = build(nn), build(torch.nn)
    assert ours.padding_idx == theirs.padding_idx == 5 and not ours.weight.array[5].any()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    indices = np.array([[0, 5, 6], [6, 6, 2]])
    y, z = ours(fastdl.from_numpy(indices)), theirs(torch.tensor(indices))
    close(y.detach().numpy(), z.detach().numpy(), "value")
    g = np.random.default_rng(0).standard_normal(y.shape).astype(np.float32)
    y.backward(fastdl.from_numpy(g))
    z.backward(torch.tensor(g))
    close(ours.weight.grad.numpy(), theirs.weight.grad.numpy(), "gradient")  # repeated rows add up, row 5 gets none
    frozen = nn.Embedding.from_pretrained(np.eye(3, dtype=np.float32))
    assert frozen(fastdl.tensor([1])).tolist() == [[0, 1, 0]] and not frozen.weight.requires_grad
    with pytest.raises(ValueError, match="padding_idx=9"):
        nn.Embedding(3, 2, padding_idx=9)


# ---------------------------------------------------------------------------------------------------------- attention

ATTENTION = [
    ("self", {}, "self", {}),
    ("cross", {}, "cross", {}),
    ("other sizes", {"kdim": 5, "vdim": 7}, "kv", {}),
    ("no bias", {"bias": False}, "cross", {}),
    ("batch first", {"batch_first": True}, "self", {}),
    ("bias_kv and zero", {"add_bias_kv": True, "add_zero_attn": True}, "cross", {"attn_mask": True, "padding": True}),
    ("mask", {}, "cross", {"attn_mask": True}),
    ("padding", {"batch_first": True}, "cross", {"padding": True}),
    ("both", {}, "cross", {"attn_mask": True, "padding": True}),
    ("mask of heads", {}, "cross", {"attn_mask": "heads"}),
    ("additive", {}, "cross", {"attn_mask": "float"}),
    ("causal", {}, "self", {"causal": True}),
    ("one sequence", {}, "alone", {}),
]


@pytest.mark.parametrize("weights", ["average", "heads", "none"])
@pytest.mark.parametrize("settings, kind, masks", [a[1:] for a in ATTENTION], ids=[a[0] for a in ATTENTION])
def test_multihead_attention(settings, kind, masks, weights):
    E, H, N, L = 8, 2, 3, 5
    S = L if kind in ("self", "alone") else 6
    K, V = settings.get("kdim", E), settings.get("vdim", E)
    rng = np.random.default_rng(0)
    ours, theirs = pairs(lambda nn: nn.MultiheadAttention(E, H, **settings))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [p.shape for p in ours.parameters()] == [tuple(p.shape) for p in theirs.parameters()]
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        value = rng.standard_normal(p.shape).astype(np.float32) * 0.4
        with torch.no_grad():
            q.copy_(torch.tensor(value))
        p.array[...] = value
    shapes = [(N, L, E), (N, S, K), (N, S, V)] if settings.get("batch_first") else [(L, N, E), (S, N, K), (S, N, V)]
    if kind == "alone":
        shapes = [(L, E)] * 3
    arrays = [rng.standard_normal(s).astype(np.float32) for s in shapes]
    call = {"need_weights": weights != "none", "average_attn_weights": weights != "heads"}
    if masks.get("attn_mask") is True:
        call["attn_mask"] = rng.random((L, S)) < 0.3
        call["attn_mask"][:, 0] = False
    elif masks.get("attn_mask") == "heads":
        call["attn_mask"] = rng.random((N * H, L, S)) < 0.3
        call["attn_mask"][:, :, 0] = False
    elif masks.get("attn_mask") == "float":
        call["attn_mask"] = rng.standard_normal((L, S)).astype(np.float32)
    elif masks.get("causal"):
        call["attn_mask"] = np.triu(np.ones((L, S), bool), 1)
        call["is_causal"] = True
    if masks.get("padding"):
        call["key_padding_mask"] = np.arange(S) >= np.array([[S], [3], [4]])

    def run(layer, tensor):
        xs = [tensor(a).requires_grad_() for a in arrays]
        if kind in ("self", "alone"):
            xs = [xs[0]] * 3
        kwargs = {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in call.items()}
        out, w = layer(*xs, **kwargs)
        out.backward(tensor(np.random.default_rng(3).standard_normal(tuple(out.shape)).astype(np.float32)))
        grads = [x.grad.numpy() for x in xs] + [p.grad.numpy() for p in layer.parameters()]
        return out.detach().numpy(), None if w is None else w.detach().numpy(), grads

    a, b = run(ours, lambda v: fastdl.tensor(v)), run(theirs, torch.tensor)
    close(a[0], b[0], "output")
    assert (a[1] is None) == (b[1] is None)
    if a[1] is not None:
        close(a[1], b[1], "weights")
    for i, (x, y) in enumerate(zip(a[2], b[2], strict=True)):
        close(x, y, f"gradient {i}", 3e-5)


def test_multihead_attention_dropout_and_errors():
    layer = nn.MultiheadAttention(8, 2, dropout=0.5)
    x = fastdl.rand(5, 3, 8)
    layer.eval()
    assert (layer(x, x, x)[0] == layer(x, x, x)[0]).all()
    layer.train()
    assert not (layer(x, x, x)[0] == layer(x, x, x)[0]).all()
    assert not (layer(x, x, x, need_weights=False)[0] == layer(x, x, x, need_weights=False)[0]).all()
    for bad, message in [
        (lambda: nn.MultiheadAttention(8, 3), "num_heads=3 must divide embed_dim=8"),
        (lambda: layer(x, fastdl.rand(5, 3, 7), x), "key must end in an axis of 8"),
        (lambda: layer(x, x, x, attn_mask=fastdl.zeros(4, 4)), r"attn_mask must have shape \(5, 5\)"),
        (lambda: layer(x, x, x, key_padding_mask=fastdl.zeros(4, 4)), r"key_padding_mask must have shape \(3, 5\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            bad()


# ------------------------------------------------------------------------------------------------------------ details


def test_dropout_layers():
    fastdl.manual_seed(0)
    x = fastdl.ones(40, 30, 5, 5)
    for layer, axes in ((nn.Dropout(0.3), ()), (nn.Dropout2d(0.3), (2, 3))):
        y = layer(x).numpy()
        assert set(np.unique(y)) == {0.0, np.float32(1 / 0.7)} and np.mean(y == 0) == pytest.approx(0.3, abs=0.03)
        if axes:
            assert ((y == 0).all(axes) | (y != 0).all(axes)).all()
        layer.eval()
        assert (layer(x).numpy() == 1).all()
    with pytest.raises(ValueError, match="p must lie in"):
        nn.Dropout(1.5)
    fastdl.manual_seed(0)
    y = nn.AlphaDropout(0.2)(fastdl.randn(200, 200)).numpy()
    assert abs(y.mean()) < 0.02 and y.std() == pytest.approx(1, abs=0.02)


def test_output_size_of_transposed_convolutions():
    ours, theirs = pairs(lambda nn: nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1))
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 4)).astype(np.float32)
    for size in ((7, 8), (8, 8)):
        y = ours(fastdl.from_numpy(x), output_size=size)
        close(y.detach().numpy(), theirs(torch.tensor(x), output_size=size).detach().numpy(), "value")
    with pytest.raises(ValueError, match="axis 0 may be 7 to 8"):
        ours(fastdl.from_numpy(x), output_size=(9, 8))


def test_max_pool_indices():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)
    ours = nn.MaxPool2d(3, 2, return_indices=True)(fastdl.from_numpy(x))
    theirs = torch.nn.MaxPool2d(3, 2, return_indices=True)(torch.tensor(x))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_max_unpool():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 6)).astype(np.float32)
    results = []
    for lib, tensor in ((nn, fastdl.tensor), (torch.nn, torch.tensor)):
        data = tensor(x).requires_grad_()
        values, where = lib.MaxPool2d(2, return_indices=True)(data)
        y = lib.MaxUnpool2d(2)(values, where, output_size=(7, 6))
        (y * y).sum().backward()
        line, spots = lib.MaxPool1d(2, return_indices=True)(tensor(x[:, :, 0]))
        results.append((y.detach().numpy(), data.grad.numpy(), lib.MaxUnpool1d(2)(line, spots).numpy()))
    for a, b in zip(*results, strict=True):
        close(a, b, "unpooled")


def test_layer_argument_errors():
    for bad, message in [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups=2 must divide in_channels=3"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "Conv2d: kernel_size must be an integer of at least 1, or 2 of them"),
        (lambda: nn.Conv2d(3, 4, 0), "kernel_size"),
        (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), "padding 'same' needs stride 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), "padding must be 'same', 'valid' or numbers"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), "padding_mode"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"), "padding must be numbers"),
        (lambda: nn.GroupNorm(4, 6), "num_groups=4 must divide num_channels=6"),
        (lambda: nn.BatchNorm2d(3)(fastdl.rand(2, 3)), r"expected an input of 4 axes; got shape \(2, 3\)"),
        (lambda: nn.BatchNorm1d(3)(fastdl.rand(2, 3, 4, 5)), "expected an input of 2 or 3 axes"),
        (lambda: nn.ZeroPad2d((1, 2)), "padding"),
    ]:
        with pytest.raises(ValueError, match=message):
            bad()
