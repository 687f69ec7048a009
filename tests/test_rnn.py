"""LSTM, GRU and plain RNN: hand-worked steps, errors, gradients of two orders, layers, and values against torch."""

import math

import numpy as np
import pytest

import fastdl as fd
from fastdl import kernels, nn
from fastdl.autograd import gradcheck, gradgradcheck
from fastdl.kernels import gru, lstm
from fastdl.kernels import rnn as plain_rnn
from fastdl.ops import rnn

LAYERS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
LN2, LN3 = math.log(2), math.log(3)  # tanh(ln 2) = 3/5, sigmoid(ln 3) = 3/4


def column(*values):
    return np.array(values, np.float64).reshape(-1, 1)


# ------------------------------------------------------------------------------------------- hand-worked, naive rung


@pytest.fixture
def naive():
    with kernels.use("naive"):
        yield


def test_lstm_by_hand(naive):
    """i = 3/4, f = 1/2, g = 3/5, o = 1/4, and c0 such that c = ln 2, so y = 1/4 * 3/5; then the chain rule."""
    c0 = np.array([[2 * (LN2 - 0.45)]])
    h0 = np.array([[0.2]])
    u = column(1, 2, 3, 4)
    x = np.array([[[LN3, 0.0, LN2, -LN3]]]) - 0.2 * u.T
    w = np.eye(4)
    y, hT, cT, gates, cells = lstm.lstm_forward(x, h0, c0, w, u)
    np.testing.assert_allclose(gates, [[[0.75, 0.5, 0.6, 0.25]]], rtol=1e-14)
    np.testing.assert_allclose([y.item(), hT.item(), cT.item(), cells.item()], [0.15, 0.15, LN2, LN2], rtol=1e-14)
    dy = np.ones((1, 1, 1))
    dx, dh0, dc0, dw, du, db = lstm.lstm_backward(dy, None, None, x, h0, c0, w, u, y, gates, cells)
    # dc = o (1 - 0.36) = 0.16
    d = np.array([0.16 * 0.6 * 0.1875, 0.16 * c0.item() * 0.25, 0.16 * 0.75 * 0.64, 0.6 * 0.1875])
    np.testing.assert_allclose(dx.ravel(), d, rtol=1e-13)
    np.testing.assert_allclose(db, d, rtol=1e-13)
    np.testing.assert_allclose(dc0.item(), 0.08, rtol=1e-13)
    np.testing.assert_allclose(dh0.item(), d @ [1, 2, 3, 4], rtol=1e-13)
    np.testing.assert_allclose(du.ravel(), 0.2 * d, rtol=1e-13)
    np.testing.assert_allclose(dw, np.outer(d, x.ravel()), rtol=1e-13)


def test_gru_by_hand(naive):
    """r = 3/4, z = 1/2, U_n h + b_hn = 0.8, n = 3/5: h = (3/5 + 1/5) / 2."""
    h0 = np.array([[0.2]])
    u = column(1, 2, 3)
    x = np.array([[[LN3 - 0.2, -0.4, LN2 - 0.75 * 0.8]]])
    w = np.eye(3)
    b_hh = np.array([0, 0, 0.2])
    y, hT, gates, cells = gru.gru_forward(x, h0, w, u, None, b_hh)
    np.testing.assert_allclose(gates, [[[0.75, 0.5, 0.6]]], rtol=1e-14)
    np.testing.assert_allclose([y.item(), hT.item(), cells.item()], [0.4, 0.4, 0.8], rtol=1e-14)
    dhT = np.ones((1, 1))
    dx, dh0, dw, du, db_ih, db_hh = gru.gru_backward(None, dhT, x, h0, w, u, y, gates, cells)
    dn = 0.5 * 0.64
    d = np.array([dn * 0.8 * 0.1875, -0.4 * 0.25, dn])
    np.testing.assert_allclose(dx.ravel(), d, rtol=1e-13)
    np.testing.assert_allclose(db_ih, d, rtol=1e-13)
    d_h = d * [1, 1, 0.75]
    np.testing.assert_allclose(db_hh, d_h, rtol=1e-13)
    np.testing.assert_allclose(dh0.item(), 0.5 + d_h @ [1, 2, 3], rtol=1e-13)
    np.testing.assert_allclose(du.ravel(), 0.2 * d_h, rtol=1e-13)
    np.testing.assert_allclose(dw, np.outer(d, x.ravel()), rtol=1e-13)


@pytest.mark.parametrize("reverse", [False, True])
def test_rnn_by_hand_over_two_steps(naive, reverse):
    """h1 = tanh(ln 2) = 3/5, then tanh(ln 2) again; dh1 = 16/25 * 2 through the weight of 2."""
    x = np.array([LN2, LN2 - 1.2]).reshape(2, 1, 1)
    w, u, h0 = column(1), column(2), np.zeros((1, 1))
    if reverse:
        x = x[::-1]
    y, hT = plain_rnn.rnn_forward(x, h0, w, u, reverse=reverse)
    np.testing.assert_allclose(y.ravel(), [0.6, 0.6], rtol=1e-14)
    assert hT.item() == y[0 if reverse else 1].item()
    dx, dh0, dw, du, db = plain_rnn.rnn_backward(None, np.ones((1, 1)), x, h0, w, u, y, reverse=reverse)
    first, second = 0.64 * 2 * 0.64, 0.64
    np.testing.assert_allclose(dx.ravel(), [second, first] if reverse else [first, second], rtol=1e-13)
    np.testing.assert_allclose(
        [dh0.item(), du.item(), db.item()], [2 * first, 0.6 * second, first + second], rtol=1e-13
    )
    np.testing.assert_allclose(dw.item(), first * LN2 + second * (LN2 - 1.2), rtol=1e-13)


def test_relu_rnn_by_hand(naive):
    x = np.array([2.0, -5.0]).reshape(2, 1, 1)
    y, _ = plain_rnn.rnn_forward(x, np.zeros((1, 1)), column(1), column(1), act="relu")
    assert y.ravel().tolist() == [2.0, 0.0]
    dx, *_ = plain_rnn.rnn_backward(np.ones((2, 1, 1)), None, x, np.zeros((1, 1)), column(1), column(1), y, act="relu")
    assert dx.ravel().tolist() == [1.0, 0.0]


# ------------------------------------------------------------------------------------------------------------ kernels


@pytest.mark.parametrize("rung", ["numpy", "numba", "cython"])
def test_saturated_gates(rung):
    """Arguments far outside give exact gates, no overflow and no NaN."""
    x = np.zeros((2, 3, 4), np.float32)
    x[0, 0], x[0, 1], x[0, 2] = [1e6, -1e6, 1e6, 1e6], [1e6, 1e6, -1e6, -1e6], [-300, 300, 300, 300]
    args = np.zeros((3, 1), np.float32), np.full((3, 1), 0.5, np.float32), np.eye(4, dtype=np.float32)
    u = np.zeros((4, 1), np.float32)
    with kernels.use(rung), np.errstate(over="ignore"):
        y, _, _, gates, cells = lstm.lstm_forward(x, *args, u)
    np.testing.assert_allclose(gates[0], [[1, 0, 1, 1], [1, 1, -1, 0], [0, 1, 1, 1]], atol=1e-37)
    np.testing.assert_allclose(cells[0].ravel(), [1, -0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(y[0].ravel(), [math.tanh(1), 0, math.tanh(0.5)], rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("rung", ["numpy", "cython"])
@pytest.mark.parametrize("name", LAYERS)
def test_nan_stays_in_its_sequence(rung, name):
    x = np.random.default_rng(0).standard_normal((4, 9, 5)).astype(np.float32)
    x[1, 3, 2] = np.nan
    fd.manual_seed(0)
    layer = LAYERS[name](5, 20)
    with kernels.use(rung), fd.no_grad():
        y = layer(fd.from_numpy(x))[0].numpy()
    assert np.isnan(y[1:, 3]).all() and np.isfinite(y[0]).all() and np.isfinite(np.delete(y, 3, axis=1)).all()


def test_gate_functions_are_exact_to_a_few_ulp():
    """The C rung's tanh, over its whole range, through a layer that does nothing else."""
    x = np.concatenate([np.linspace(-12, 12, 20001), np.geomspace(1e-30, 1, 4000), [0.0]]).astype(np.float32)
    y, _ = plain_rnn.rnn_forward(
        x.reshape(1, -1, 1),
        np.zeros((len(x), 1), np.float32),
        np.ones((1, 1), np.float32),
        np.zeros((1, 1), np.float32),
    )
    want = np.tanh(x.astype(np.float64))
    assert np.abs(y.ravel() - want).max() <= 2.5e-7
    assert (np.abs(y.ravel() - want) <= 4 * np.finfo(np.float32).eps * np.abs(want)).all()


def arrays(gates=4, T=3, B=2, D=4, H=5, dtype=np.float32):
    shapes = {"x": (T, B, D), "h0": (B, H), "c0": (B, H), "w_ih": (gates * H, D), "w_hh": (gates * H, H)}
    return {name: np.zeros(shape, dtype) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"x": np.zeros((0, 2, 4), np.float32)}, ValueError, "sequence is empty"),
        ({"x": np.zeros((3, 4), np.float32)}, ValueError, r"x must have 3 axes \(T, B, D\)"),
        ({"w_ih": np.zeros((20, 3), np.float32)}, ValueError, r"w_ih must have shape \(20, 4\)"),
        ({"w_hh": np.zeros((15, 5), np.float32)}, ValueError, r"w_hh must have shape \(4H, H\)"),
        ({"h0": np.zeros((1, 5), np.float32)}, ValueError, r"h0 must have shape \(2, 5\)"),
        ({"b_hh": np.zeros(5, np.float32)}, ValueError, r"b_hh must have shape \(20,\)"),
        ({"x": np.zeros((3, 2, 4))}, TypeError, "x is float64 but w_hh is float32"),
        ({"x": np.zeros((3, 2, 4), np.int64)}, TypeError, "x has dtype int64"),
    ],
)
def test_errors_of_the_contract(wrong, error, message):
    with pytest.raises(error, match=message):
        lstm.lstm_forward(**{**arrays(), **wrong})


def test_errors_of_backward_and_activation():
    given = arrays()
    y, _, _, gates, cells = lstm.lstm_forward(**given)
    with pytest.raises(ValueError, match="dy must be float32 of shape"):
        lstm.lstm_backward(y[:1], None, None, **given, y=y, gates=gates, cells=cells)
    with pytest.raises(ValueError, match="gates, which forward saved"):
        lstm.lstm_backward(y, None, None, **given, y=y, gates=y, cells=cells)
    given = arrays(1)
    del given["c0"]
    with pytest.raises(ValueError, match="'tanh' or 'relu'; got 'gelu'"):
        plain_rnn.rnn_forward(**given, act="gelu")


# ---------------------------------------------------------------------------------------------------------- gradients


def tensors(gates, states, T=3, B=2, D=3, H=2, bias=True):
    rng = np.random.default_rng(1)
    shapes = [(T, B, D), *[(B, H)] * states, (gates * H, D), (gates * H, H), *[(gates * H,)] * (2 if bias else 0)]
    made = [fd.tensor(0.5 * rng.standard_normal(s), requires_grad=True) for s in shapes]
    return made if bias else [*made, None, None]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("function", "gates", "states", "options"),
    [(rnn.LSTM, 4, 2, ()), (rnn.GRU, 3, 1, ()), (rnn.RNN, 1, 1, ("tanh",)), (rnn.RNN, 1, 1, ("relu",))],
)
def test_first_and_second_derivative(function, gates, states, options, bias, reverse):
    inputs = tensors(gates, states, bias=bias)
    call = lambda *args: function.apply(*args, *options, reverse)  # noqa: E731
    assert gradcheck(call, inputs)
    assert gradgradcheck(call, inputs)


@pytest.mark.parametrize("name", LAYERS)
def test_kernel_gradient_equals_that_of_recorded_steps(name):
    """float32, on the chosen rung, where x depends on a weight of the layer."""
    function, states = (getattr(rnn, name), 2 if name == "LSTM" else 1)
    inputs = [t.float().detach().requires_grad_() for t in tensors(GATES[name], states, T=4, B=3, D=17, H=17)]
    options = ("tanh",) if name == "RNN" else ()
    w_hh = inputs[states + 2]

    def loss():
        x = inputs[0] + w_hh[:3].sum(0)
        outs = function.apply(x, *inputs[1:], *options, False)
        return sum((o * o).sum() for o in outs)

    plain = fd.autograd.grad(loss(), inputs)
    recorded = fd.autograd.grad(loss(), inputs, create_graph=True)
    for a, b in zip(plain, recorded, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_only_the_wanted_gradients_are_given():
    inputs = tensors(4, 2)
    for i in (0, 5):
        inputs[i] = inputs[i].detach()
    y, _, _ = rnn.LSTM.apply(*inputs, False)
    y.sum().backward()
    assert [t.grad is None for t in inputs] == [True, False, False, False, False, True, False]


def test_biases_do_not_share_a_gradient():
    layer = nn.LSTM(3, 2)
    layer(fd.ones(2, 1, 3))[0].sum().backward()
    a, b = layer.bias_ih_l0.grad, layer.bias_hh_l0.grad
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert not np.shares_memory(a.numpy(), b.numpy())


# ------------------------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize("name", LAYERS)
def test_names_and_shapes_of_parameters(name):
    layer = LAYERS[name](3, 4, num_layers=2, bidirectional=True)
    rows = 4 * GATES[name]
    want = {}
    for k, width in (("0", 3), ("1", 8)):
        for suffix in (f"_l{k}", f"_l{k}_reverse"):
            want |= {f"weight_ih{suffix}": (rows, width), f"weight_hh{suffix}": (rows, 4)}
            want |= {f"bias_ih{suffix}": (rows,), f"bias_hh{suffix}": (rows,)}
    assert {n: p.shape for n, p in layer.named_parameters()} == want
    assert list(layer.state_dict()) == list(want)
    assert 0.48 < max(np.abs(p.detach().numpy()).max() for p in layer.parameters()) <= 0.5  # 1 / sqrt(hidden_size)


@pytest.mark.parametrize("name", LAYERS)
def test_one_sequence_equals_a_batch_of_one(name):
    layer = LAYERS[name](3, 4, num_layers=2, batch_first=True)
    x = fd.randn(5, 3)
    y, state = layer(x)
    batch, states = layer(x.unsqueeze(0))
    np.testing.assert_array_equal(y.detach().numpy(), batch.detach().numpy()[0])
    if name != "LSTM":
        state, states = (state,), (states,)
    for s, b in zip(state, states, strict=True):
        np.testing.assert_array_equal(s.detach().numpy(), b.detach().numpy()[:, 0])


@pytest.mark.parametrize("name", LAYERS)
def test_state_carries_a_sequence_on(name):
    layer = LAYERS[name](3, 4)
    x = fd.randn(6, 2, 3)
    whole, _ = layer(x)
    first, state = layer(x[:2])
    second, _ = layer(x[2:], state)
    np.testing.assert_allclose(fd.cat([first, second]).detach().numpy(), whole.detach().numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("cell", "layer"), [(nn.LSTMCell, nn.LSTM), (nn.GRUCell, nn.GRU), (nn.RNNCell, nn.RNN)])
def test_cell_is_one_step_of_the_layer(cell, layer):
    cell, layer = cell(3, 4), layer(3, 4)
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        setattr(layer, kind + "_l0", getattr(cell, kind))
    x = fd.randn(2, 3)
    _, want = layer(x.unsqueeze(0))
    got = cell(x)
    single = cell(x[1])
    if isinstance(got, fd.Tensor):
        want, got, single = (want,), (got,), (single,)
    for w, g, s in zip(want, got, single, strict=True):
        np.testing.assert_array_equal(g.detach().numpy(), w.detach().numpy()[0])
        np.testing.assert_allclose(s.detach().numpy(), g.detach().numpy()[1], rtol=1e-6, atol=1e-7)


def test_dropout_acts_between_layers_in_training_only():
    fd.manual_seed(0)
    layer = nn.GRU(3, 64, num_layers=2, dropout=0.5)
    x = fd.randn(4, 2, 3)
    one, other = layer(x)[0].detach().numpy(), layer(x)[0].detach().numpy()
    assert not np.array_equal(one, other)
    layer.eval()
    one, other = layer(x)[0].detach().numpy(), layer(x)[0].detach().numpy()
    np.testing.assert_array_equal(one, other)
    with pytest.warns(UserWarning, match="acts between layers"):
        nn.GRU(3, 4, dropout=0.5)


def test_dropout_drops_its_share_and_not_after_the_last_layer():
    """The second layer copies: identity weights, relu, inputs of ones."""
    fd.manual_seed(0)
    layer = nn.RNN(500, 500, num_layers=2, dropout=0.3, bias=False, nonlinearity="relu")
    with fd.no_grad():
        for name, p in layer.named_parameters():
            p.copy_(fd.eye(500) if "ih" in name else fd.zeros(500, 500))
    y = layer(fd.ones(1, 200, 500))[0].detach().numpy()
    assert abs((y == 0).mean() - 0.3) < 0.01
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.LSTM(3, 4, proj_size=4), "proj_size must be at least 0 and less than hidden_size=4"),
        (lambda: nn.LSTM(3, 0), "hidden_size and num_layers must be at least 1"),
        (lambda: nn.RNN(3, 4, nonlinearity="gelu"), "'tanh' or 'relu'"),
        (lambda: nn.GRU(3, 4, dropout=2.0), r"dropout must lie in \[0, 1\]"),
        (lambda: nn.GRU(3, 4)(fd.ones(5, 2, 4)), "input_size = 3"),
        (lambda: nn.GRU(3, 4)(fd.ones(5)), "2 axes"),
        (lambda: nn.GRU(3, 4)(fd.ones(5, 2, 3), fd.ones(1, 3, 4)), r"initial state must have shape \(1, 2, 4\)"),
        (lambda: nn.LSTM(3, 4)(fd.ones(5, 2, 3), fd.ones(1, 2, 4)), r"pair \(h_0, c_0\)"),
        (lambda: nn.LSTM(3, 4)(fd.ones(0, 2, 3)), "sequence is empty"),
        (lambda: nn.LSTMCell(3, 4)(fd.ones(2, 4)), "LSTMCell: input must have shape"),
        (lambda: nn.GRUCell(3, 4)(fd.ones(2, 3), fd.ones(2, 3)), "the state must have shape"),
    ],
)
def test_errors_of_the_layers(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ------------------------------------------------------------------------------------------------------ against torch


def as_torch(torch, layer, theirs):
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in layer.state_dict().items()})
    return theirs


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", [*LAYERS, "relu RNN"])
def test_layer_equals_torch(name, batch_first, layers, bidirectional, bias):
    torch = pytest.importorskip("torch")
    options = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": batch_first, "bias": bias}
    if name == "relu RNN":
        name, options["nonlinearity"] = "RNN", "relu"
    fd.manual_seed(1)
    ours = LAYERS[name](5, 19, **options)
    theirs = as_torch(torch, ours, getattr(torch.nn, name)(5, 19, **options))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 3, 5)).astype(np.float32)
    batch = 7 if batch_first else 3
    state = rng.standard_normal((layers * (1 + bidirectional), batch, 19)).astype(np.float32)
    results = []
    for tensor, layer in ((fd.tensor, ours), (torch.tensor, theirs)):
        x_, h, c = (tensor(a, requires_grad=True) for a in (x, state, 0.5 * state))
        y, last = layer(x_, (h, c) if name == "LSTM" else h)
        outs = [y, *(last if name == "LSTM" else [last])]
        loss = sum((o * o * (k + 1)).sum() for k, o in enumerate(outs))
        loss.backward()
        grads = [x_.grad, h.grad, *([c.grad] if name == "LSTM" else []), *(p.grad for p in layer.parameters())]
        results.append([t.detach().numpy() for t in (*outs, *grads)])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5 * max(1, np.abs(want).max()))


@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cell_equals_torch(name):
    torch = pytest.importorskip("torch")
    ours = getattr(nn, name)(6, 18)
    theirs = as_torch(torch, ours, getattr(torch.nn, name)(6, 18))
    rng = np.random.default_rng(0)
    x, h, c = (rng.standard_normal(s).astype(np.float32) for s in ((4, 6), (4, 18), (4, 18)))
    results = []
    for tensor, cell in ((fd.tensor, ours), (torch.tensor, theirs)):
        state = (tensor(h), tensor(c)) if name == "LSTMCell" else tensor(h)
        out = cell(tensor(x), state)
        results.append([o.detach().numpy() for o in (out if name == "LSTMCell" else (out,))])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
