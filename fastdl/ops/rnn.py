"""Recurrent layers: LSTM, GRU and plain RNN, a direction of a layer each a Function; layers and directions composed here.

The gradient comes from the kernel's backward. Where it must be differentiable itself (create_graph=True), the layer is
computed again with recorded ops, step by step, and their gradient is taken: slower, and right to any order.
"""

from fastdl.autograd import Function, Tensor, grad, is_grad_enabled
from fastdl.kernels.gru import gru_backward, gru_forward
from fastdl.kernels.lstm import lstm_backward, lstm_forward
from fastdl.kernels.rnn import rnn_backward, rnn_forward
from fastdl.ops.activation import relu
from fastdl.ops.dropout import dropout as drop
from fastdl.ops.matmul import matmul
from fastdl.ops.shape import cat, stack
from fastdl.ops.unary import sigmoid, tanh

__all__ = ["gru", "gru_cell", "lstm", "lstm_cell", "packed", "rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell"]


def _array(t):
    return None if t is None else t.array


def _wrap(*arrays):
    return tuple(None if a is None else Tensor(a) for a in arrays)


def _recorded_gradient(steps, inputs, needed, grads):
    """Gradients of steps(*inputs) as part of the graph, for the inputs that need one."""
    # clones: the gradient stops at them, even where one input was computed from another
    inputs = [None if t is None else t.clone() for t in inputs]
    pairs = [(y, dy) for y, dy in zip(steps(*inputs), grads, strict=True) if dy is not None]
    wanted = [i for i, need in enumerate(needed[: len(inputs)]) if need]
    found = grad(
        [y for y, _ in pairs],
        [inputs[i] for i in wanted],
        [dy for _, dy in pairs],
        create_graph=True,
        allow_unused=True,
    )
    result = [None] * len(needed)
    for i, d in zip(wanted, found, strict=True):
        result[i] = d
    return tuple(result)


def _over_time(cell, x, state, w_ih, b_ih, reverse):
    """(y, *last state) of recorded ops: cell(x_t W_ih^T + b_ih, *state) -> state, whose first part is the output."""
    projected = matmul(x, w_ih.T)  # (T, B, G H)
    if b_ih is not None:
        projected = projected + b_ih
    ys = [None] * len(x)
    for t in range(len(x))[::-1] if reverse else range(len(x)):
        state = cell(projected[t], *state)
        ys[t] = state[0]
    return stack(ys), *state


def _from_state(h, w_hh, b_hh):
    v = matmul(h, w_hh.T)
    return v if b_hh is None else v + b_hh


class LSTM(Function):
    """One direction of one layer; x (T, B, D), h0, c0 (B, H) -> y (T, B, H), hT, cT (B, H)."""

    @staticmethod
    def forward(ctx, x, h0, c0, w_ih, w_hh, b_ih, b_hh, reverse):
        arrays = [_array(t) for t in (x, h0, c0, w_ih, w_hh, b_ih, b_hh)]
        y, hT, cT, gates, cells = lstm_forward(*arrays, reverse)
        y, hT, cT = _wrap(y, hT, cT)
        if ctx.recording:
            ctx.save_for_backward(x, h0, c0, w_ih, w_hh, b_ih, b_hh, y)
            ctx.gates, ctx.cells, ctx.reverse = gates, cells, reverse
            ctx.set_materialize_grads(False)
        return y, hT, cT

    @staticmethod
    def steps(x, h0, c0, w_ih, w_hh, b_ih, b_hh, reverse):
        """The same with recorded ops."""

        def cell(v, h, c):
            i, f, g, o = (v + _from_state(h, w_hh, b_hh)).chunk(4, 1)  # (B, H) each
            c = sigmoid(f) * c + sigmoid(i) * tanh(g)
            return sigmoid(o) * tanh(c), c

        return _over_time(cell, x, (h0, c0), w_ih, b_ih, reverse)

    @staticmethod
    def backward(ctx, dy, dhT, dcT):
        *inputs, y = ctx.saved_tensors
        reverse = ctx.reverse
        if is_grad_enabled():
            steps = lambda *tensors: LSTM.steps(*tensors, reverse)  # noqa: E731
            return _recorded_gradient(steps, inputs, ctx.needs_input_grad, (dy, dhT, dcT))
        x, h0, c0, w_ih, w_hh, b_ih, b_hh = (_array(t) for t in inputs)
        dx, dh0, dc0, dw_ih, dw_hh, db = lstm_backward(
            _array(dy), _array(dhT), _array(dcT), x, h0, c0, w_ih, w_hh, y.array, ctx.gates, ctx.cells, reverse,
            need_dx=ctx.needs_input_grad[0],
        )  # fmt: skip
        return *_wrap(dx, dh0, dc0, dw_ih, dw_hh), *_bias_gradients(db, b_ih, b_hh), None


class ProjectedLSTM:
    """An LSTM whose h is W_hr times the usual one, w_hr (P, H), h0 (B, P); of recorded ops, step by step (no kernel of its own)."""

    extra = 1  # parameters after the usual ones

    @staticmethod
    def apply(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, reverse):
        def cell(v, h, c):
            i, f, g, o = (v + _from_state(h, w_hh, b_hh)).chunk(4, 1)  # (B, H) each
            c = sigmoid(f) * c + sigmoid(i) * tanh(g)
            return matmul(sigmoid(o) * tanh(c), w_hr.T), c

        return _over_time(cell, x, (h0, c0), w_ih, b_ih, reverse)


class GRU(Function):
    """One direction of one layer; x (T, B, D), h0 (B, H) -> y (T, B, H), hT (B, H)."""

    @staticmethod
    def forward(ctx, x, h0, w_ih, w_hh, b_ih, b_hh, reverse):
        arrays = [_array(t) for t in (x, h0, w_ih, w_hh, b_ih, b_hh)]
        y, hT, gates, cells = gru_forward(*arrays, reverse)
        y, hT = _wrap(y, hT)
        if ctx.recording:
            ctx.save_for_backward(x, h0, w_ih, w_hh, b_ih, b_hh, y)
            ctx.gates, ctx.cells, ctx.reverse = gates, cells, reverse
            ctx.set_materialize_grads(False)
        return y, hT

    @staticmethod
    def steps(x, h0, w_ih, w_hh, b_ih, b_hh, reverse):
        """The same with recorded ops."""

        def cell(v, h):
            (xr, xz, xn), (hr, hz, hn) = v.chunk(3, 1), _from_state(h, w_hh, b_hh).chunk(3, 1)  # (B, H) each
            z = sigmoid(xz + hz)
            n = tanh(xn + sigmoid(xr + hr) * hn)
            return ((1 - z) * n + z * h,)

        return _over_time(cell, x, (h0,), w_ih, b_ih, reverse)

    @staticmethod
    def backward(ctx, dy, dhT):
        *inputs, y = ctx.saved_tensors
        reverse = ctx.reverse
        if is_grad_enabled():
            steps = lambda *tensors: GRU.steps(*tensors, reverse)  # noqa: E731
            return _recorded_gradient(steps, inputs, ctx.needs_input_grad, (dy, dhT))
        x, h0, w_ih, w_hh, b_ih, b_hh = (_array(t) for t in inputs)
        *grads, db_ih, db_hh = gru_backward(
            _array(dy), _array(dhT), x, h0, w_ih, w_hh, y.array, ctx.gates, ctx.cells, reverse,
            need_dx=ctx.needs_input_grad[0],
        )  # fmt: skip
        return *_wrap(*grads, None if b_ih is None else db_ih, None if b_hh is None else db_hh), None


class RNN(Function):
    """One direction of one layer, act "tanh" or "relu"; x (T, B, D), h0 (B, H) -> y (T, B, H), hT (B, H)."""

    @staticmethod
    def forward(ctx, x, h0, w_ih, w_hh, b_ih, b_hh, act, reverse):
        arrays = [_array(t) for t in (x, h0, w_ih, w_hh, b_ih, b_hh)]
        y, hT = _wrap(*rnn_forward(*arrays, act, reverse))
        if ctx.recording:
            ctx.save_for_backward(x, h0, w_ih, w_hh, b_ih, b_hh, y)
            ctx.act, ctx.reverse = act, reverse
            ctx.set_materialize_grads(False)
        return y, hT

    @staticmethod
    def steps(x, h0, w_ih, w_hh, b_ih, b_hh, act, reverse):
        """The same with recorded ops."""
        activation = relu if act == "relu" else tanh

        def cell(v, h):
            return (activation(v + _from_state(h, w_hh, b_hh)),)

        return _over_time(cell, x, (h0,), w_ih, b_ih, reverse)

    @staticmethod
    def backward(ctx, dy, dhT):
        *inputs, y = ctx.saved_tensors
        act, reverse = ctx.act, ctx.reverse
        if is_grad_enabled():
            steps = lambda *tensors: RNN.steps(*tensors, act, reverse)  # noqa: E731
            return _recorded_gradient(steps, inputs, ctx.needs_input_grad, (dy, dhT))
        x, h0, w_ih, w_hh, b_ih, b_hh = (_array(t) for t in inputs)
        *grads, db = rnn_backward(
            _array(dy), _array(dhT), x, h0, w_ih, w_hh, y.array, act, reverse, need_dx=ctx.needs_input_grad[0]
        )
        return *_wrap(*grads), *_bias_gradients(db, b_ih, b_hh), None, None


def _bias_gradients(db, b_ih, b_hh):
    """Both biases have the same gradient, in memory of their own."""
    return _wrap(None if b_ih is None else db, None if b_hh is None else db.copy())


# ------------------------------------------------------------------------------------------- layers and directions


def lstm(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    """(output, h_n, c_n) of a stack of LSTM layers; see nn.LSTM, which holds the parameters.

    Shapes: input (T, B, D), or (B, T, D) with batch_first; hx = (h_0, c_0), each (layers * directions, B, H);
    params: weight_ih, weight_hh and, with has_biases, bias_ih, bias_hh of each layer and direction in turn; one more,
    weight_hr (P, H), where h is projected (h_0 then has P columns).
    """
    function = _lstm_form(params, has_biases, num_layers, bidirectional)
    return _stacked(function, (), input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


def _lstm_form(params, has_biases, layers, bidirectional):
    """LSTM, or ProjectedLSTM where each layer and direction has one parameter more."""
    projected = len(params) == layers * (2 if bidirectional else 1) * (5 if has_biases else 3)
    return ProjectedLSTM if projected else LSTM


def _weights(params, k, each, extra):
    """w_ih, w_hh, b_ih, b_hh (None without biases) and what follows them, of the k-th layer and direction."""
    part = params[k * each : (k + 1) * each]
    return [*part[: each - extra], None, None][:4] + list(part[each - extra :])


def gru(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    """(output, h_n) of a stack of GRU layers; as lstm, but hx is h_0 alone. See nn.GRU."""
    return _stacked(GRU, (), input, (hx,), params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


def rnn_tanh(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    """(output, h_n) of a stack of plain layers with tanh; as lstm, but hx is h_0 alone. See nn.RNN."""
    return _stacked(
        RNN, ("tanh",), input, (hx,), params, has_biases, num_layers, dropout, train, bidirectional, batch_first
    )


def rnn_relu(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    """(output, h_n) of a stack of plain layers with relu; as lstm, but hx is h_0 alone. See nn.RNN."""
    return _stacked(
        RNN, ("relu",), input, (hx,), params, has_biases, num_layers, dropout, train, bidirectional, batch_first
    )


def _stacked(function, options, x, states, params, has_biases, layers, dropout, train, bidirectional, batch_first):
    directions = 2 if bidirectional else 1
    extra = getattr(function, "extra", 0)
    each = (4 if has_biases else 2) + extra
    if len(params) != layers * directions * each:
        raise ValueError(
            f"{function.__name__.lower()}: {layers} layers in {directions} directions have "
            f"{layers * directions * each} parameters; got {len(params)}"
        )
    if batch_first:
        x = x.transpose(0, 1)  # (T, B, D)
    last = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            k = layer * directions + direction
            weights = _weights(params, k, each, extra)
            y, *state = function.apply(x, *(s[k] for s in states), *weights, *options, direction == 1)
            outputs.append(y)
            last.append(state)
        x = cat(outputs, 2) if bidirectional else outputs[0]  # (T, B, directions * H)
        if layer + 1 < layers:
            x = drop(x, dropout, train)
    # one layer and direction: its state as it is, with the axis of layers
    states = [s.unsqueeze(0) for s in last[0]] if len(last) == 1 else [stack(s) for s in zip(*last, strict=True)]
    return x.transpose(0, 1) if batch_first else x, *states


# --------------------------------------------------------------------------------------------------- packed sequences

_KINDS = {"LSTM": (LSTM, ()), "GRU": (GRU, ()), "RNN_TANH": (RNN, ("tanh",)), "RNN_RELU": (RNN, ("relu",))}


def packed(kind, data, batch_sizes, states, params, has_biases, layers, dropout, train, bidirectional):
    """(data (sum of lengths, directions * H), *last states) of layers over packed sequences (see nn.utils.rnn).

    kind: LSTM, GRU, RNN_TANH or RNN_RELU; data (sum of lengths, D); batch_sizes (T,) integers that do not rise;
    states: tuple of (layers * directions, B, H); params as for lstm. Steps with the same sequences are one call of the kernel.
    """
    function, options = _KINDS[kind]
    if kind == "LSTM":
        function = _lstm_form(params, has_biases, layers, bidirectional)
    directions, extra = 2 if bidirectional else 1, getattr(function, "extra", 0)
    each = (4 if has_biases else 2) + extra
    runs, row, t = [], 0, 0  # (first row, steps, sequences)
    while t < len(batch_sizes):
        b, steps = int(batch_sizes[t]), 1
        while t + steps < len(batch_sizes) and batch_sizes[t + steps] == b:
            steps += 1
        runs.append((row, steps, b))
        row, t = row + steps * b, t + steps
    x, last = data, []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            k = layer * directions + direction
            weights = _weights(params, k, each, extra)
            start = [s[k] for s in states]  # (B, H)
            y, state = (_backwards if direction else _forwards)(function, options, weights, x, start, runs)
            outputs.append(y)
            last.append(state)
        x = cat(outputs, 1) if bidirectional else outputs[0]
        if layer + 1 < layers:
            x = drop(x, dropout, train)
    return x, *(stack(s) for s in zip(*last, strict=True))


def _forwards(function, options, weights, x, state, runs):
    """Sequences end one after the other: the last rows leave the batch, with their state."""
    outputs, left = [], []
    for row, steps, b in runs:
        if b < state[0].shape[0]:
            left.append([s[b:] for s in state])
            state = [s[:b] for s in state]
        part = x[row : row + steps * b].reshape(steps, b, x.shape[1])
        y, *state = function.apply(part, *state, *weights, *options, False)
        outputs.append(y.reshape(steps * b, y.shape[2]))
    pieces = [state, *left[::-1]]
    return cat(outputs), [cat(s) for s in zip(*pieces, strict=True)]


def _backwards(function, options, weights, x, start, runs):
    """From the last step to the first: shorter sequences join the batch with their initial state."""
    outputs, state = [], [s[:0] for s in start]
    for row, steps, b in runs[::-1]:
        held = state[0].shape[0]
        if b > held:
            state = [cat([s, s0[held:b]]) if held else s0[:b] for s, s0 in zip(state, start, strict=True)]
        part = x[row : row + steps * b].reshape(steps, b, x.shape[1])
        y, *state = function.apply(part, *state, *weights, *options, True)
        outputs.append(y.reshape(steps * b, y.shape[2]))
    return cat(outputs[::-1]), state


# ------------------------------------------------------------------------------------------------------ single steps


def _step(function, options, x, states, w_ih, w_hh, b_ih, b_hh):
    x = x.unsqueeze(0)  # one step: (1, B, D), or (1, 1, D) of a single sequence
    single = x.array.ndim == 2
    if single:
        x, states = x.unsqueeze(0), [s.unsqueeze(0) for s in states]
    _, *state = function.apply(x, *states, w_ih, w_hh, b_ih, b_hh, *options, False)
    return tuple(s.squeeze(0) for s in state) if single else tuple(state)


def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """(h, c) after one step from hx = (h, c); input (B, D), states (B, H), or without B."""
    return _step(LSTM, (), input, hx, w_ih, w_hh, b_ih, b_hh)


def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """h after one step from hx; input (B, D), states (B, H), or without B."""
    return _step(GRU, (), input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """h after one step with tanh; input (B, D), states (B, H), or without B."""
    return _step(RNN, ("tanh",), input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """h after one step with relu; input (B, D), states (B, H), or without B."""
    return _step(RNN, ("relu",), input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]
