"""Module and containers: registration, walking, states, hooks, modes, printing, errors that name the path."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import fastdl
from fastdl import nn
from fastdl.nn import functional as F


class Block(nn.Module):
    def __init__(self):
        self.linear = nn.Linear(3, 3)
        self.scale = nn.Parameter(np.ones(3, np.float32))
        self.register_buffer("mean", fastdl.zeros(3))
        self.register_buffer("cache", fastdl.zeros(1), persistent=False)

    def forward(self, x):
        return self.linear(x) * self.scale - self.mean


class Net(nn.Module):
    def __init__(self):
        self.blocks = nn.Sequential(Block(), nn.ReLU(), Block())
        self.head = nn.Linear(3, 2, bias=False)
        self.note = "text"

    def forward(self, x):
        return self.head(self.blocks(x))


KEYS = [
    "blocks.0.scale", "blocks.0.mean", "blocks.0.linear.weight", "blocks.0.linear.bias",
    "blocks.2.scale", "blocks.2.mean", "blocks.2.linear.weight", "blocks.2.linear.bias", "head.weight",
]  # fmt: skip


def x(*shape):
    return fastdl.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


# ----------------------------------------------------------------------------------------------------- registration


def test_names_and_order():
    net = Net()
    assert list(net.state_dict()) == KEYS
    assert [n for n, _ in net.named_parameters()] == [k for k in KEYS if "mean" not in k]
    assert [n for n, _ in net.named_buffers()] == ["blocks.0.mean", "blocks.0.cache", "blocks.2.mean", "blocks.2.cache"]
    assert [n for n, _ in net.named_children()] == ["blocks", "head"]
    assert [n for n, _ in net.named_modules()] == [
        "", "blocks", "blocks.0", "blocks.0.linear", "blocks.1", "blocks.2", "blocks.2.linear", "head",
    ]  # fmt: skip
    assert sum(1 for _ in net.modules()) == 8 and len(list(net.children())) == 2
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == []
    assert [n for n, _ in net.head.named_parameters(prefix="net")] == ["net.weight"]


def test_order_and_names_are_torchs():
    torch = pytest.importorskip("torch")

    def build(nn, zeros, parameter):
        block = nn.Module()
        block.inner = nn.Linear(2, 2)
        block.weight = parameter(zeros(2))
        block.register_buffer("mean", zeros(2))
        block.tail = nn.ModuleDict({"a": nn.BatchNorm1d(2), "b": nn.ModuleList([nn.Linear(2, 1), nn.PReLU()])})
        block.late = parameter(zeros(1))
        block.again = block.inner  # shared
        return block

    ours = build(nn, fastdl.zeros, nn.Parameter)
    theirs = build(torch.nn, torch.zeros, torch.nn.Parameter)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert [n for n, _ in ours.named_buffers()] == [n for n, _ in theirs.named_buffers()]


def test_lookup_by_path():
    net = Net()
    assert net.get_submodule("blocks.2.linear") is net.blocks[2].linear and net.get_submodule("") is net
    assert net.get_parameter("head.weight") is net.head.weight
    for bad in ("blocks.7", "head.weight.x", "blocks.0.scale"):
        with pytest.raises(AttributeError, match="has no module"):
            net.get_submodule(bad)
    for bad in ("head.bias", "blocks.0.mean", "note"):
        with pytest.raises(AttributeError, match="has no parameter"):
            net.get_parameter(bad)


def test_assignment_rules():
    net = Net()
    with pytest.raises(TypeError, match=r"Net\.head is a registered module: it takes a Module or None, not a int"):
        net.head = 3
    with pytest.raises(
        TypeError, match=r"Block\.scale is a registered parameter: it takes a Parameter or None, not a Ten"
    ):
        net.blocks[0].scale = fastdl.ones(3)
    with pytest.raises(TypeError, match="registered buffer: it takes a Tensor"):
        net.blocks[0].mean = np.zeros(3)
    block = net.blocks[0]
    block.mean = fastdl.ones(3)
    assert dict(block.named_buffers())["mean"].tolist() == [1, 1, 1]
    block.scale = None
    assert "scale" not in block.state_dict() and block.scale is None
    block.scale = nn.Parameter(np.zeros(3, np.float32))
    assert next(iter(block.state_dict())) == "scale"
    del block.scale
    assert not hasattr(block, "scale") and "scale" not in block.state_dict()
    with pytest.raises(AttributeError, match="no attribute 'scale'"):
        del block.scale
    block.extra = nn.Buffer(fastdl.ones(2))
    block.hidden = nn.Buffer(fastdl.ones(2), persistent=False)
    assert "extra" in block.state_dict() and "hidden" not in block.state_dict()
    assert "hidden" in dict(block.named_buffers())
    block.note = nn.ReLU()  # an ordinary attribute may become a module
    assert "note" in dict(block.named_children())


def test_registration_errors():
    module = nn.Module()
    for call, error, message in [
        (lambda: module.register_parameter("a.b", None), KeyError, "without dots"),
        (lambda: module.register_parameter("", None), KeyError, "without dots"),
        (lambda: module.register_buffer("forward", None), KeyError, "already has an attribute 'forward'"),
        (lambda: module.register_buffer("b", np.zeros(1)), TypeError, "takes a Tensor or None, not a ndarray"),
        (lambda: module.register_parameter("p", fastdl.zeros(1)), TypeError, "takes a Parameter or None, not a Tensor"),
        (lambda: module.add_module("m", 1), TypeError, "takes a Module or None, not a int"),
        (lambda: nn.Parameter(np.arange(3)), RuntimeError, "floating point"),
        (lambda: module(1), NotImplementedError, r"Module must define forward\(\)"),
    ]:
        with pytest.raises(error, match=message):
            call()
    assert nn.Parameter(np.arange(3), requires_grad=False).dtype == np.int64


def test_super_init_may_be_forgotten_and_subclasses_may_have_arguments():
    class A(nn.Module):
        def __init__(self, width, *, bias=True):
            self.layer = nn.Linear(width, 1, bias=bias)

    assert [n for n, _ in A(4, bias=False).named_parameters()] == ["layer.weight"]


def test_shared_parameters_count_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert len(list(nn.Sequential(net, net).parameters())) == 3
    assert len(list(nn.Sequential(net, net).named_parameters(remove_duplicate=False))) == 8


# ----------------------------------------------------------------------------------------------------------- states


def test_state_dict_shares_memory_and_loads():
    a, b = Net(), Net()
    state = a.state_dict()
    assert not any(t.requires_grad for t in state.values())
    with fastdl.no_grad():
        a.head.weight.zero_()
    assert state["head.weight"].tolist() == [[0] * 3] * 2
    assert a.state_dict(keep_vars=True)["head.weight"] is a.head.weight
    for values in (
        state,
        {k: v.numpy() for k, v in state.items()},
        {k: v.numpy().astype("f8") for k, v in state.items()},
    ):
        result = b.load_state_dict(values)
        assert result == ([], []) and result.missing_keys == []
        for key, value in b.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), state[key].numpy())
            assert value.dtype == np.float32
    assert next(iter(nn.Sequential(a).state_dict(prefix="m."))) == "m.0.blocks.0.scale"


def test_strict_lists_everything_and_changes_nothing():
    net = Net()
    state = {k: v.numpy() + 1 for k, v in net.state_dict().items()}
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    del state["head.weight"]
    state["blocks.0.mean"] = np.zeros(4)
    state["blocks.0.scale"] = np.zeros((3, 1))
    state["foreign"] = np.zeros(1)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert message.splitlines() == [
        "load_state_dict of Net:",
        "    size mismatch for blocks.0.scale: the file has (3, 1), the module (3,)",
        "    size mismatch for blocks.0.mean: the file has (4,), the module (3,)",
        "    missing keys: head.weight",
        "    unexpected keys: foreign",
    ]
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict(state, strict=False)
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    del state["blocks.0.mean"], state["blocks.0.scale"]
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert missing == ["blocks.0.scale", "blocks.0.mean", "head.weight"] and unexpected == ["foreign"]
    np.testing.assert_array_equal(net.blocks[2].scale.array, 2)
    with pytest.raises(RuntimeError, match="unexpected keys: foreign"):
        net.load_state_dict({**net.state_dict(), "foreign": object()})


def test_num_batches_tracked_may_be_absent_or_left_over():
    norm = nn.BatchNorm2d(2)
    state = norm.state_dict()
    assert list(state) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    count = state.pop("num_batches_tracked")
    assert norm.load_state_dict(state).missing_keys == ["num_batches_tracked"]
    plain = nn.BatchNorm2d(2, track_running_stats=False)
    plain.load_state_dict({"weight": np.ones(2), "bias": np.ones(2), "num_batches_tracked": count})


def test_loading_is_seen_by_the_version_counter():
    net = nn.Linear(2, 2)
    y = net(x(3, 2).requires_grad_()).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(RuntimeError, match="load_state_dict"):
        y.backward()


def test_weights_from_torch_and_back():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    ours = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    data = x(3, 4)
    np.testing.assert_allclose(
        ours(data).detach().numpy(), theirs(torch.tensor(data.numpy())).detach().numpy(), atol=1e-6
    )
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})


def test_copy_and_pickle():
    net = Net()
    net.register_buffer("flag", fastdl.ones(1))
    other = copy.deepcopy(net)
    assert list(other.state_dict()) == list(net.state_dict())
    other.head.weight.array[...] = 7
    assert not (net.head.weight.array == 7).any()
    assert isinstance(other.head.weight, nn.Parameter) and other.head.weight.requires_grad
    assert other.blocks[0].linear.weight.array.T.flags.c_contiguous  # the layout stays
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(net)


# ------------------------------------------------------------------------------------------------------------ modes


def test_train_eval_apply_and_freezing():
    net = Net()
    assert net.training and net.train() is net
    net.eval()
    assert not any(m.training for m in net.modules())
    net.blocks.train()
    assert [m.training for m in net.modules()] == [False, True, True, True, True, True, True, False]
    with pytest.raises(ValueError, match="True or False"):
        net.train(1)
    order = []
    assert net.apply(lambda m: order.append(type(m).__name__)) is net
    assert order == ["Linear", "Block", "ReLU", "Linear", "Block", "Sequential", "Linear", "Net"]
    net.requires_grad_(False)
    assert not net(x(2, 3)).requires_grad
    net.requires_grad_()
    net(x(2, 3)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(not p.grad.array.any() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_dtypes():
    net = Net()
    net.register_buffer("count", fastdl.zeros(1, dtype=fastdl.int64))
    weight = net.head.weight
    assert net.double() is net and net.head.weight is weight
    assert {p.dtype for p in net.parameters()} == {np.dtype("float64")} and net.count.dtype == np.int64
    assert net.blocks[0].linear.weight.array.T.flags.c_contiguous
    assert net(x(2, 3).double()).dtype == np.float64
    assert net.float().head.weight.dtype == np.float32 and net.to("cpu") is net and net.cpu() is net
    assert net.to(fastdl.float64).blocks[0].mean.dtype == np.float64
    with pytest.raises(ValueError, match="CPUs only"):
        net.to("cuda:0")
    with pytest.raises(TypeError, match="floating dtypes only"):
        net.to(np.int64)


# ------------------------------------------------------------------------------------------------------------ hooks


def test_forward_hooks():
    net, calls = nn.Linear(2, 2), []
    handles = [
        net.register_forward_pre_hook(lambda m, args: calls.append(("pre", m is net, len(args)))),
        net.register_forward_hook(lambda m, args, out: calls.append(("post", args[0].shape, out.shape))),
    ]
    net(x(3, 2))
    assert calls == [("pre", True, 1), ("post", (3, 2), (3, 2))]
    for handle in handles:
        handle.remove()
        handle.remove()
    net(x(3, 2))
    assert len(calls) == 2 and not net._hooked
    data = x(3, 2)
    with net.register_forward_pre_hook(lambda m, args: (args[0] * 0,)):
        np.testing.assert_array_equal(net(data).detach().numpy(), np.broadcast_to(net.bias.array, (3, 2)))
    with net.register_forward_hook(lambda m, args, out: out * 0):
        assert not net(data).array.any()
    assert net(data).array.any()


def test_hooks_with_kwargs_and_order():
    class Add(nn.Module):
        def forward(self, a, *, b):
            return a + b

    net, order = Add(), []
    net.register_forward_pre_hook(lambda m, args: order.append(1))
    net.register_forward_pre_hook(lambda m, args: order.append(2))
    net.register_forward_pre_hook(lambda m, args: order.append(0), prepend=True)
    net.register_forward_pre_hook(lambda m, args, kwargs: (args, {"b": kwargs["b"] + 1}), with_kwargs=True)
    net.register_forward_hook(lambda m, args, kwargs, out: out * kwargs["b"], with_kwargs=True)
    assert net(fastdl.ones(1), b=2).item() == 12 and order == [0, 1, 2]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_backward_hooks_same_as_torch():
    torch = pytest.importorskip("torch")

    def run(nn, tensor, needs):
        layer = nn.Linear(2, 1, bias=False)
        with torch.no_grad() if nn is torch.nn else fastdl.no_grad():
            layer.weight.copy_(tensor(np.array([[2.0, 3.0]], np.float32)))
        seen = []
        layer.register_full_backward_pre_hook(lambda m, go: (go[0] * 10,))
        layer.register_full_backward_hook(
            lambda m, gi, go: seen.append(
                [None if g is None else np.asarray(g.detach().numpy()).tolist() for g in (*gi, *go)]
            )
        )
        layer.register_full_backward_hook(lambda m, gi, go: None if gi[0] is None else (gi[0] + 1,))
        data = tensor(np.array([[1.0, 1.0]], np.float32))
        if needs:
            data.requires_grad_()
        layer(data).sum().backward()
        return seen, None if data.grad is None else data.grad.tolist(), layer.weight.grad.tolist()

    for needs in (True, False):
        ours = run(nn, lambda a: fastdl.tensor(a), needs)
        assert ours == run(torch.nn, lambda a: torch.tensor(a), needs)
    assert ours == ([[None, [[10.0]]]], None, [[10.0, 10.0]])


def test_backward_hook_of_a_module_with_several_outputs():
    class Two(nn.Module):
        def forward(self, a, flag):
            return a * 2, a * 3

    net, seen = Two(), []
    net.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    a = fastdl.ones(2).requires_grad_()
    first, _ = net(a, True)
    first.sum().backward()
    ((grad_input, grad_output),) = seen
    assert grad_input[0].tolist() == [2, 2] and grad_input[1] is None
    assert grad_output[0].tolist() == [1, 1] and len(grad_output) == 2
    assert a.grad.tolist() == [2, 2]


# ---------------------------------------------------------------------------------------------------------- printing


def test_repr():
    assert repr(nn.Linear(3, 2)) == "Linear(in_features=3, out_features=2, bias=True)"
    assert repr(nn.ReLU()) == "ReLU()"
    assert repr(nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Tanh()))) == (
        "Sequential(\n  (0): Linear(in_features=1, out_features=1, bias=True)\n"
        "  (1): Sequential(\n    (0): Tanh()\n  )\n)"
    )
    assert repr(nn.Conv2d(3, 8, 3, padding="same", groups=1, bias=False)) == (
        "Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding='same', bias=False)"
    )
    assert repr(nn.Parameter(np.zeros(1, np.float32))) == "Parameter tensor([0.], requires_grad=True)"
    assert "(0): Parameter float32[2]" in repr(nn.ParameterList([fastdl.zeros(2)]))


# ------------------------------------------------------------------------------------------------------------ errors


def test_errors_name_the_path_once():
    class Wrong(nn.Module):
        def forward(self, x):
            raise ValueError("no good")

    class Outer(nn.Module):
        def __init__(self):
            self.features = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Identity(), Wrong()))

        def forward(self, x):
            return self.features(x)

    with pytest.raises(ValueError) as caught:
        Outer()(x(1))
    assert str(caught.value) == "in Outer.features.1.1 (Wrong): no good"
    with pytest.raises(ValueError, match=r"^in Wrong: no good$"):
        Wrong()(x(1))
    with pytest.raises(RuntimeError, match=r"^in Net\.head \(Linear\): linear: the last axis of the input \(1, 7\)"):
        net = Net()
        net.blocks = nn.Identity()
        net(x(1, 7))


def test_errors_of_modules_that_are_not_direct_children():
    class Wrong(nn.Module):
        def forward(self):
            raise TypeError("no good")

    class Deep(nn.Module):
        def __init__(self, inner):
            self.box = nn.ModuleList([nn.ModuleDict({"w": inner})])
            self.__dict__["hidden"] = Wrong()  # not registered

        def forward(self, hidden=False):
            return self.hidden() if hidden else self.box[0]["w"]()

    with pytest.raises(TypeError, match=r"^in Deep\.box\.0\.w \(Wrong\): no good$"):
        Deep(Wrong())()
    with pytest.raises(TypeError, match=r"^in Deep\.Wrong \(Wrong\): no good$"):
        Deep(Wrong())(hidden=True)


def test_errors_keep_their_type_traceback_and_arguments():
    class Wrong(nn.Module):
        def forward(self, kind):
            raise kind

    for kind in (KeyError("k"), OSError(2, "gone"), StopIteration(), AssertionError("a")):
        with pytest.raises(type(kind)) as caught:
            nn.Sequential(Wrong())(kind)
        assert caught.value is kind
    assert "in Sequential.0 (Wrong): a" in str(caught.value)
    with pytest.raises(KeyboardInterrupt):
        nn.Sequential(Wrong())(KeyboardInterrupt("stop"))


def test_caught_and_raised_again_elsewhere():
    """A module that catches an inner error and raises its own names itself."""

    class Wrong(nn.Module):
        def forward(self, x):
            raise ValueError("inner")

    class Catcher(nn.Module):
        def __init__(self):
            self.inner = Wrong()

        def forward(self, x):
            try:
                return self.inner(x)
            except ValueError:
                raise RuntimeError("outer") from None

    with pytest.raises(RuntimeError, match=r"^in Sequential\.1 \(Catcher\): outer$"):
        nn.Sequential(nn.Identity(), Catcher())(x(1))


# --------------------------------------------------------------------------------------------------------- containers


def test_sequential():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    net = nn.Sequential(a, b).append(c)
    assert len(net) == 3 and net[-1] is c and list(net) == [a, b, c] and a in net and nn.ReLU() not in net
    assert list(net[1:].state_dict()) == ["2.weight", "2.bias"]  # names stay, as in torch
    assert net(x(4, 2)).shape == (4, 1)
    net.insert(1, nn.Tanh())
    assert [type(m).__name__ for m in net] == ["Linear", "Tanh", "ReLU", "Linear"]
    del net[1]
    net[1] = nn.Sigmoid()
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    named = nn.Sequential({"first": a, "second": c})
    assert list(named.state_dict()) == ["first.weight", "first.bias", "second.weight", "second.bias"]
    assert named.first is a
    named[1] = b
    assert named.second is b
    for bad, error in [
        (lambda: net[9], IndexError),
        (lambda: nn.Sequential(3), TypeError),
        (lambda: net.append(3), TypeError),
    ]:
        with pytest.raises(error):
            bad()


@pytest.mark.parametrize("layer, shape", [(nn.BatchNorm1d, (6, 5)), (nn.BatchNorm2d, (2, 19, 4, 3))])
@pytest.mark.parametrize("training", [True, False])
def test_sequential_runs_batch_norm_and_relu_as_one_pass_with_the_same_bits(layer, shape, training):
    rng = np.random.default_rng(1)
    data, dy = (rng.standard_normal(shape, dtype=np.float32) for _ in range(2))

    def run(call):
        norm, relu = layer(shape[1]).train(training), nn.ReLU()
        norm.weight.array[...] = np.linspace(-1, 2, shape[1])
        norm.bias.array[...] = 0.25
        inputs = fastdl.tensor(data, requires_grad=True)
        y = call(norm, relu)(inputs)
        grads = fastdl.autograd.grad(y, [inputs, norm.weight, norm.bias], fastdl.tensor(dy))
        return [t.array.tobytes() for t in (y, *grads, norm.running_mean, norm.running_var)]

    seen = []

    def hooked(norm, relu):
        relu.register_forward_hook(lambda module, args, output: seen.append(output.shape))
        return nn.Sequential(norm, relu)

    apart = run(lambda norm, relu: lambda t: relu(norm(t)))
    assert run(nn.Sequential) == apart
    assert run(hooked) == apart and seen == [shape]


@pytest.mark.parametrize("shape", [(1, 30), (7, 30), (2, 3, 30), (0, 30)])
def test_sequential_runs_linear_and_relu_as_one_pass_with_the_same_bits(shape):
    rng = np.random.default_rng(1)
    data = rng.standard_normal(shape, dtype=np.float32)
    data[..., :1, 3] = np.nan
    linear = nn.Linear(30, 70)
    dy = fastdl.tensor(rng.standard_normal((*shape[:-1], 70), dtype=np.float32))

    def run(net):
        inputs = fastdl.tensor(data, requires_grad=True)
        y = net(inputs)
        grads = fastdl.autograd.grad(y, [inputs, linear.weight, linear.bias], dy)
        return [t.array.tobytes() for t in (y, *grads)], y.grad_fn.name()

    fused, apart = run(nn.Sequential(linear, nn.ReLU())), run(lambda t: F.relu(linear(t)))
    assert fused[0] == apart[0] and fused[1] != apart[1]


@pytest.mark.parametrize("pool", [(2,), (3, 2, 1)])
@pytest.mark.parametrize("shape", [(2, 6, 9, 8), (1, 33, 40, 40)])
def test_sequential_pools_before_relu_with_the_same_bits(pool, shape):
    rng = np.random.default_rng(3)
    data = np.round(rng.standard_normal(shape, dtype=np.float32), 1)  # with ties
    data[0, 0, :4, :4] = -1  # a window without anything positive
    data[0, 1, 3, 3], data[0, 2, :2] = np.nan, -np.inf
    relu, pool = nn.ReLU(), nn.MaxPool2d(*pool)

    def run(net):
        inputs = fastdl.tensor(data, requires_grad=True)
        y = net(inputs)
        dy = fastdl.tensor(np.linspace(-1, 1, y.numel(), dtype=np.float32).reshape(y.shape))
        (dx,) = fastdl.autograd.grad(y, inputs, dy)
        return y, dx

    (y, dx), (want, want_dx) = run(nn.Sequential(relu, pool)), run(lambda t: pool(relu(t)))
    assert y.grad_fn.name() == "ReluBackward"
    np.testing.assert_array_equal(y.array, want.array)
    np.testing.assert_array_equal(dx.array, want_dx.array)
    pool.return_indices = True
    assert len(nn.Sequential(relu, pool)(fastdl.tensor(data))) == 2


def test_linear_with_relu_has_second_derivatives():
    rng = np.random.default_rng(2)
    x, w, b = (fastdl.tensor(rng.standard_normal(s), requires_grad=True) for s in ((4, 5), (3, 5), (3,)))
    assert fastdl.autograd.gradcheck(lambda *t: F.linear(*t, "relu"), (x, w, b))
    assert fastdl.autograd.gradgradcheck(lambda *t: F.linear(*t, "relu"), (x, w, b))


def test_what_sequential_does_not_fuse():
    class Doubled(nn.ReLU):
        def forward(self, t):
            return 2 * super().forward(t)

    numbers = fastdl.tensor(np.random.default_rng(0).standard_normal((8, 3), dtype=np.float32))
    alone = nn.BatchNorm1d(3)(numbers)
    assert np.array_equal(nn.Sequential(nn.BatchNorm1d(3))(numbers).array, alone.array)
    doubled = nn.Sequential(nn.BatchNorm1d(3), Doubled())(numbers)
    assert np.array_equal(doubled.array, 2 * np.maximum(alone.array, 0))
    again = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3), nn.ReLU())(numbers)
    assert np.array_equal(again.array, nn.BatchNorm1d(3)(alone).relu().array)


def test_batch_norm_adds_a_residual_and_applies_relu():
    rng = np.random.default_rng(0)
    a, b = (fastdl.tensor(rng.standard_normal((2, 3, 4, 5), dtype=np.float32)) for _ in range(2))
    want = (nn.BatchNorm2d(3)(a) + b).relu().array
    assert np.array_equal(nn.BatchNorm2d(3)(a, b, "relu").array, want)


def test_module_list_and_dict():
    members = nn.ModuleList([nn.Linear(1, 1) for _ in range(3)])
    members.extend([nn.ReLU()])
    members += [nn.Tanh()]
    assert len(members) == 5 and isinstance(members[1:3], nn.ModuleList) and len(members[1:3]) == 2
    del members[0]
    assert list(members.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    table = nn.ModuleDict({"relu": nn.ReLU(), "lin": nn.Linear(1, 1)})
    table.update([("tanh", nn.Tanh())])
    assert list(table) == list(table.keys()) == ["relu", "lin", "tanh"] and "lin" in table and len(table) == 3
    assert isinstance(table.pop("relu"), nn.ReLU) and [k for k, _ in table.items()] == ["lin", "tanh"]
    assert list(table.state_dict()) == ["lin.weight", "lin.bias"]
    with pytest.raises(KeyError):
        table["relu"]
    with pytest.raises(KeyError, match="already has an attribute"):
        table["keys"] = nn.ReLU()
    with pytest.raises(NotImplementedError):
        table(1)
    table.clear()
    assert len(table) == 0


def test_parameter_list_and_dict():
    values = nn.ParameterList([fastdl.zeros(2), nn.Parameter(np.ones(3, np.float32))])
    values.append(np.ones(1, np.float32))
    assert len(values) == 3 and all(isinstance(p, nn.Parameter) and p.requires_grad for p in values)
    values[0] = fastdl.ones(4)
    assert list(values.state_dict()) == ["0", "1", "2"] and values[0].shape == (4,) and len(values[1:]) == 2
    table = nn.ParameterDict({"a": fastdl.zeros(2)})
    table["b"] = nn.Parameter(np.ones(3, np.float32))
    assert list(table.state_dict()) == ["a", "b"] and len(list(table.parameters())) == 2
    assert [p.shape for p in table.values()] == [(2,), (3,)]


# ------------------------------------------------------------------------------------------------------- init, utils


def test_fans_and_gains_same_as_torch():
    torch = pytest.importorskip("torch")
    for name, param in [
        ("linear", None),
        ("tanh", None),
        ("relu", None),
        ("leaky_relu", 0.3),
        ("selu", None),
        ("conv2d", None),
    ]:
        assert nn.init.calculate_gain(name, param) == pytest.approx(torch.nn.init.calculate_gain(name, param))
    with pytest.raises(ValueError, match="unknown nonlinearity 'swish'"):
        nn.init.calculate_gain("swish")


def filled(function, shape=(60, 50, 3, 3), **kwargs):
    fastdl.manual_seed(0)
    t = fastdl.empty(*shape)
    assert function(t, **kwargs) is t
    return t.numpy()


@pytest.mark.parametrize(
    "name, kwargs",
    [
        ("xavier_uniform_", {"gain": 2.0}),
        ("xavier_normal_", {}),
        ("kaiming_uniform_", {"a": 0.2}),
        ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_normal_", {"nonlinearity": "relu"}),
        ("normal_", {"mean": 2.0, "std": 0.3}),
        ("uniform_", {"a": -1.0, "b": 3.0}),
        ("trunc_normal_", {"std": 1.0, "a": -0.5, "b": 1.5}),
    ],
)
def test_distributions_same_as_torch(name, kwargs):
    """Mean, spread and bounds of 27,000 numbers against torch's."""
    torch = pytest.importorskip("torch")
    ours = filled(getattr(nn.init, name), **kwargs).astype(np.float64)
    torch.manual_seed(0)
    theirs = getattr(torch.nn.init, name)(torch.empty(60, 50, 3, 3), **kwargs).double().numpy()
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.03 * theirs.std())
    assert ours.std() == pytest.approx(theirs.std(), rel=0.02)
    if "normal_" not in name or "trunc" in name:
        assert ours.max() == pytest.approx(theirs.max(), rel=0.02) and ours.min() == pytest.approx(
            theirs.min(), rel=0.02
        )


def test_exact_initialisers():
    assert (filled(nn.init.constant_, val=3) == 3).all() and (filled(nn.init.ones_) == 1).all()
    assert not filled(nn.init.zeros_).any()
    np.testing.assert_array_equal(filled(nn.init.eye_, (3, 4)), np.eye(3, 4))
    for shape in ((5, 8), (8, 5), (4, 2, 3, 3)):
        q = filled(nn.init.orthogonal_, shape, gain=2.0).reshape(shape[0], -1)
        product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
        np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-5)
    w = fastdl.from_numpy(filled(nn.init.dirac_, (4, 4, 3, 3)))
    assert w.numpy().sum() == 4 and all(w.numpy()[i, i, 1, 1] == 1 for i in range(4))
    grouped = filled(nn.init.dirac_, (4, 2, 3), groups=2)
    assert [tuple(i) for i in np.argwhere(grouped)] == [(0, 0, 1), (1, 1, 1), (2, 0, 1), (3, 1, 1)]
    assert np.count_nonzero(filled(nn.init.sparse_, (10, 6), sparsity=0.25) == 0, axis=0).tolist() == [3] * 6
    for bad, message in [
        (lambda: nn.init.xavier_normal_(fastdl.empty(3)), "at least 2 axes"),
        (lambda: nn.init.kaiming_normal_(fastdl.empty(3, 3), mode="fan"), "mode must be"),
        (lambda: nn.init.eye_(fastdl.empty(3)), "needs a matrix"),
        (lambda: nn.init.trunc_normal_(fastdl.empty(3), a=1, b=0), "a must be below b"),
        (lambda: nn.init.trunc_normal_(fastdl.empty(3), a=30, b=31), "too far out"),
        (lambda: nn.init.dirac_(fastdl.empty(3, 3)), "convolution weight"),
    ]:
        with pytest.raises(ValueError, match=message):
            bad()


def test_seed_decides_the_initial_values_and_float64_starts_from_the_same():
    fastdl.manual_seed(1)
    a = nn.Linear(4, 3)
    fastdl.manual_seed(1)
    b = nn.Linear(4, 3, dtype=np.float64)
    np.testing.assert_allclose(a.weight.array, b.weight.array, rtol=1e-6)
    fastdl.manual_seed(2)
    assert (nn.Linear(4, 3).weight.array != a.weight.array).all()
    generator = fastdl.Generator().manual_seed(5)
    t = nn.init.normal_(fastdl.empty(3), generator=generator)
    assert t.tolist() == nn.init.normal_(fastdl.empty(3), generator=fastdl.Generator().manual_seed(5)).tolist()


def test_default_start_of_linear():
    w = nn.Linear(400, 300)
    assert abs(w.weight.array).max() <= 0.05 and w.weight.array.std() == pytest.approx(0.05 / 3**0.5, rel=0.02)
    assert abs(w.bias.array).max() <= 0.05 and w.weight.array.T.flags.c_contiguous


def test_clipping_same_as_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    grads = [rng.standard_normal(s).astype(np.float32) for s in ((3, 4), (5,), ())]

    def make(parameter, tensor):
        params = [parameter(tensor(g * 0)) for g in grads] + [parameter(tensor(grads[1]))]
        for p, g in zip(params, grads, strict=False):
            p.grad = tensor(g.copy())
        return params

    for call in (
        lambda u, p: u.clip_grad_norm_(p, 1.5),
        lambda u, p: u.clip_grad_norm_(p, 100.0),
        lambda u, p: u.clip_grad_norm_(p, 0.5, norm_type=float("inf")),
        lambda u, p: u.clip_grad_norm_(p, 0.5, norm_type=1.0),
        lambda u, p: u.clip_grad_value_(p, 0.3),
    ):
        ours, theirs = make(nn.Parameter, lambda a: fastdl.tensor(a)), make(torch.nn.Parameter, torch.tensor)
        a, b = call(nn.utils, ours), call(torch.nn.utils, theirs)
        assert (a is None) == (b is None) and (a is None or a.item() == pytest.approx(b.item(), rel=1e-6))
        for p, q in zip(ours[:3], theirs, strict=False):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-5, atol=1e-7)
    ours[0].grad.array[0] = np.nan
    with pytest.raises(RuntimeError, match="the norm of the gradients is nan"):
        nn.utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)


def test_vector_of_parameters():
    net = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(net.parameters())
    np.testing.assert_array_equal(vector.detach().numpy(), np.concatenate([net.weight.array.ravel(), net.bias.array]))
    nn.utils.vector_to_parameters(fastdl.arange(8).float(), net.parameters())
    assert net.weight.tolist() == [[0, 1, 2], [3, 4, 5]] and net.bias.tolist() == [6, 7]
    with pytest.raises(ValueError, match=r"expected shape \(8,\), got \(9,\)"):
        nn.utils.vector_to_parameters(fastdl.zeros(9), net.parameters())


def test_importing_nn_is_cheap():
    script = "import sys, fastdl.nn, fastdl.optim, fastdl.data, fastdl.train; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"scipy", "matplotlib", "numba", "torch", "tqdm", "safetensors", "PIL"}


def test_initial_values_do_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch):
    from fastdl.nn import init

    def drawn():
        fastdl.manual_seed(3)
        layers = nn.Linear(30, 20), nn.Conv2d(4, 9, 3), nn.Embedding(11, 5)
        return [p.array.copy() for layer in layers for p in layer.parameters()]

    at_once = drawn()
    monkeypatch.setattr(init, "BLOCK", 70)
    for a, b in zip(at_once, drawn(), strict=True):
        np.testing.assert_array_equal(a, b)
