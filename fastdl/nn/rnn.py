"""Recurrent layers: RNN, LSTM, GRU over whole sequences, and their cells for single steps."""

import math
import warnings

import numpy as np

from fastdl.autograd import Tensor
from fastdl.nn import init
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter
from fastdl.nn.utils.rnn import PackedSequence
from fastdl.ops import rnn


class _Recurrent(Module):
    """What RNN, LSTM and GRU share: parameters by torch's names, checks, initial states, single sequences."""

    gates, states = 1, 1
    kind = None  # in ops.rnn.packed
    proj_size = 0

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        dtype=None,
    ):
        super().__init__()
        name = type(self).__name__
        if hidden_size < 1 or num_layers < 1 or input_size < 0:
            raise ValueError(
                f"{name}: hidden_size and num_layers must be at least 1 and input_size at least 0; got "
                f"hidden_size={hidden_size}, num_layers={num_layers}, input_size={input_size}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout must lie in [0, 1]; got {dropout}")
        if dropout and num_layers == 1:
            warnings.warn(f"{name}: dropout={dropout} acts between layers, and num_layers is 1", stacklevel=3)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, float(dropout), bidirectional
        self._names = []
        directions = 2 if bidirectional else 1
        for layer in range(num_layers):
            width = input_size if layer == 0 else (self.proj_size or hidden_size) * directions
            for direction in range(directions):
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                self._add_weights(suffix, width, dtype or np.float32)
        self.reset_parameters()

    def _add_weights(self, suffix, width, dtype):
        rows, H = self.gates * self.hidden_size, self.hidden_size
        shapes = {"weight_ih": (rows, width), "weight_hh": (rows, self.proj_size or H)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, H)
        for kind, shape in shapes.items():
            setattr(self, kind + suffix, Parameter(np.empty(shape, dtype)))
            self._names.append(kind + suffix)

    def reset_parameters(self):
        """Draw new initial values: uniform in +-1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def flatten_parameters(self):
        """Nothing to do here; torch's programs call it."""

    @property
    def all_weights(self):
        """The parameters of each layer and direction, as lists."""
        each = (4 if self.bias else 2) + (self.proj_size > 0)
        weights = [getattr(self, name) for name in self._names]
        return [weights[i : i + each] for i in range(0, len(weights), each)]

    def _run(self, function, input, states):
        """(output, [last states]); states is None or a sequence of Tensors."""
        name = type(self).__name__
        if isinstance(input, PackedSequence):
            return self._run_packed(input, states)
        if input.array.ndim not in (2, 3):
            raise ValueError(f"{name}: input must have 2 axes (one sequence) or 3 (a batch); got shape {input.shape}")
        single, batch_axis = input.array.ndim == 2, 0 if self.batch_first else 1
        if single:
            input = input.unsqueeze(batch_axis)
        if input.shape[2] != self.input_size:
            raise ValueError(
                f"{name}: the last axis of the input must be input_size = {self.input_size}; got shape {input.shape}"
            )
        shapes = self._state_shapes(input.shape[batch_axis])
        if states is None:
            states = [Tensor(np.zeros(shape, input.dtype)) for shape in shapes]
        else:
            for state, shape in zip(states, shapes, strict=True):
                given = shape[::2] if single else shape
                if state.shape != given:
                    raise ValueError(f"{name}: an initial state must have shape {given}; got {state.shape}")
            if single:
                states = [state.unsqueeze(1) for state in states]
        output, *last = function(
            input, states if self.states > 1 else states[0], [getattr(self, name) for name in self._names], self.bias,
            self.num_layers, self.dropout, self.training, self.bidirectional, self.batch_first,
        )  # fmt: skip
        if single:
            return output.squeeze(batch_axis), [state.squeeze(1) for state in last]
        return output, last

    def _state_shapes(self, B):
        """Of h, and c where there is one, for B sequences."""
        rows = self.num_layers * (2 if self.bidirectional else 1)
        return [(rows, B, self.proj_size or self.hidden_size), (rows, B, self.hidden_size)][: self.states]

    def _run_packed(self, input, states):
        """As _run, for a PackedSequence; states and last states in the order of the original batch."""
        name = type(self).__name__
        data, sizes = input.data, input.batch_sizes.array
        if data.array.ndim != 2 or data.shape[1] != self.input_size:
            raise ValueError(f"{name}: packed data must have shape (rows, {self.input_size}); got {data.shape}")
        shapes = self._state_shapes(int(sizes[0]))
        if states is None:
            states = [Tensor(np.zeros(shape, data.dtype)) for shape in shapes]
        else:
            for state, shape in zip(states, shapes, strict=True):
                if state.shape != shape:
                    raise ValueError(f"{name}: an initial state must have shape {shape}; got {state.shape}")
            if input.sorted_indices is not None:
                states = [state.index_select(1, input.sorted_indices) for state in states]
        kind = self.kind or f"RNN_{self.nonlinearity.upper()}"
        output, *last = rnn.packed(
            kind, data, sizes, states, [getattr(self, n) for n in self._names], self.bias, self.num_layers,
            self.dropout, self.training, self.bidirectional,
        )  # fmt: skip
        if input.unsorted_indices is not None:
            last = [state.index_select(1, input.unsorted_indices) for state in last]
        return input._replace(data=output), last

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        return text + "".join(f", {k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v)


class RNN(_Recurrent):
    """Plain recurrent layers: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), or relu.

    Shapes      input (T, B, input_size), or (B, T, input_size) with batch_first, or (T, input_size), or a
                PackedSequence (-> one of outputs);
                h_0 (layers * directions, B, hidden_size), zeros when left out
                -> output (T, B, directions * hidden_size), h_n like h_0
    Parameters  weight_ih_l0 (hidden_size, input_size), weight_hh_l0 (hidden_size, hidden_size), bias_ih_l0, bias_hh_l0
                (hidden_size,), the same with _l1, ...; with _reverse for the other direction

    Example
    >>> output, h_n = RNN(3, 4, batch_first=True)(Tensor(np.zeros((2, 5, 3), np.float32)))
    >>> output.shape, h_n.shape
    ((2, 5, 4), (1, 2, 4))

    Ref         Elman, "Finding Structure in Time", 1990.
    """

    def __init__(self, input_size, hidden_size, num_layers=1, nonlinearity="tanh", *args, **kwargs):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu'; got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        function = rnn.rnn_relu if self.nonlinearity == "relu" else rnn.rnn_tanh
        output, (h,) = self._run(function, input, None if hx is None else (hx,))
        return output, h


class LSTM(_Recurrent):
    """Long short-term memory; the formulas stand in fastdl/kernels/lstm.py.

    Shapes      input (T, B, input_size), or (B, T, input_size) with batch_first, or (T, input_size), or a
                PackedSequence (-> one of outputs);
                (h_0, c_0), each (layers * directions, B, hidden_size), zeros when left out
                -> output (T, B, directions * hidden_size), (h_n, c_n) like (h_0, c_0)
    Parameters  weight_ih_l0 (4 hidden_size, input_size), weight_hh_l0 (4 hidden_size, hidden_size), bias_ih_l0,
                bias_hh_l0 (4 hidden_size,), the same with _l1, ...; with _reverse for the other direction;
                rows in the order input, forget, cell, output gate; with proj_size P > 0 also weight_hr_l0
                (P, hidden_size): h = weight_hr times the usual one, and weight_hh, outputs and h_n are P wide (slower: no
                kernel of its own)

    Example
    >>> output, (h_n, c_n) = LSTM(3, 4, num_layers=2)(Tensor(np.zeros((5, 2, 3), np.float32)))
    >>> output.shape, h_n.shape, c_n.shape
    ((5, 2, 4), (2, 2, 4), (2, 2, 4))

    Ref         Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997.
    """

    gates, states = 4, 2
    kind = "LSTM"

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        proj_size=0,
        dtype=None,
    ):
        if not 0 <= proj_size < max(hidden_size, 1):
            raise ValueError(
                f"LSTM: proj_size must be at least 0 and less than hidden_size={hidden_size}; got {proj_size}"
            )
        self.proj_size = proj_size
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype)

    def forward(self, input, hx=None):
        if hx is not None and (isinstance(hx, Tensor) or len(hx) != 2):
            raise ValueError("LSTM: the initial state is a pair (h_0, c_0)")
        output, (h, c) = self._run(rnn.lstm, input, hx)
        return output, (h, c)


class GRU(_Recurrent):
    """Gated recurrent unit; the formulas stand in fastdl/kernels/gru.py.

    Shapes      input (T, B, input_size), or (B, T, input_size) with batch_first, or (T, input_size), or a
                PackedSequence (-> one of outputs);
                h_0 (layers * directions, B, hidden_size), zeros when left out
                -> output (T, B, directions * hidden_size), h_n like h_0
    Parameters  weight_ih_l0 (3 hidden_size, input_size), weight_hh_l0 (3 hidden_size, hidden_size), bias_ih_l0,
                bias_hh_l0 (3 hidden_size,), the same with _l1, ...; with _reverse for the other direction;
                rows in the order reset gate, update gate, candidate

    Example
    >>> output, h_n = GRU(3, 4, bidirectional=True)(Tensor(np.zeros((5, 2, 3), np.float32)))
    >>> output.shape, h_n.shape
    ((5, 2, 8), (2, 2, 4))

    Ref         Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014.
    """

    gates = 3
    kind = "GRU"

    def forward(self, input, hx=None):
        output, (h,) = self._run(rnn.gru, input, None if hx is None else (hx,))
        return output, h


class _Cell(Module):
    gates, states = 1, 1

    def __init__(self, input_size, hidden_size, bias=True, dtype=None):
        super().__init__()
        if hidden_size < 1:
            raise ValueError(f"{type(self).__name__}: hidden_size must be at least 1; got {hidden_size}")
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows, dtype = self.gates * hidden_size, dtype or np.float32
        self.weight_ih = Parameter(np.empty((rows, input_size), dtype))
        self.weight_hh = Parameter(np.empty((rows, hidden_size), dtype))
        self.register_parameter("bias_ih", Parameter(np.empty(rows, dtype)) if bias else None)
        self.register_parameter("bias_hh", Parameter(np.empty(rows, dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw new initial values: uniform in +-1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def _run(self, function, input, states):
        if input.array.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}: input must have shape (B, {self.input_size}) or ({self.input_size},); "
                f"got {input.shape}"
            )
        shape = (*input.shape[:-1], self.hidden_size)
        if states is None:
            states = [Tensor(np.zeros(shape, input.dtype)) for _ in range(self.states)]
        for state in states:
            if state.shape != shape:
                raise ValueError(f"{type(self).__name__}: the state must have shape {shape}; got {state.shape}")
        hx = tuple(states) if self.states > 1 else states[0]
        return function(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def extra_repr(self):
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_Cell):
    """One step of a plain recurrent layer: input (B, input_size), h (B, hidden_size) -> h (B, hidden_size)."""

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", dtype=None):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: nonlinearity must be 'tanh' or 'relu'; got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, bias, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        function = rnn.rnn_relu_cell if self.nonlinearity == "relu" else rnn.rnn_tanh_cell
        return self._run(function, input, None if hx is None else (hx,))


class LSTMCell(_Cell):
    """One step of an LSTM: input (B, input_size), (h, c) each (B, hidden_size) -> (h, c)."""

    gates, states = 4, 2

    def forward(self, input, hx=None):
        if hx is not None and (isinstance(hx, Tensor) or len(hx) != 2):
            raise ValueError("LSTMCell: the state is a pair (h, c)")
        return self._run(rnn.lstm_cell, input, hx)


class GRUCell(_Cell):
    """One step of a GRU: input (B, input_size), h (B, hidden_size) -> h (B, hidden_size)."""

    gates = 3

    def forward(self, input, hx=None):
        return self._run(rnn.gru_cell, input, None if hx is None else (hx,))
