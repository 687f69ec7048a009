"""What a network consists of: the layers, their output shapes, parameters and multiply-adds, counted while it runs once."""

import importlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np

from fastdl.autograd import Tensor, no_grad

# Multiply-adds of one call of a contract, by (module that calls it, its name): function(result, its arrays ...) -> number.
# Counted where the arithmetic is done, so that products which a model writes itself are in the sum too.
_CONTRACTS = {
    ("conv", "conv2d_forward"): lambda y, x, w, *_: y.size * _volume(w),
    ("conv", "deconv2d_forward"): lambda y, x, w, *_: x.size * _volume(w),
    ("matmul", "matmul_forward"): lambda y, x, *_: y.size * x.shape[-1],
    ("attention", "attention_forward"): lambda y, q, k, v, *_: y[0].size // max(v.shape[3], 1) * k.shape[2]
    * (q.shape[3] + v.shape[3]),
    ("rnn", "lstm_forward"): lambda y, x, h, c, w_ih, w_hh, *_: _recurrent(x, w_ih, w_hh),
    ("rnn", "gru_forward"): lambda y, x, h, w_ih, w_hh, *_: _recurrent(x, w_ih, w_hh),
    ("rnn", "rnn_forward"): lambda y, x, h, w_ih, w_hh, *_: _recurrent(x, w_ih, w_hh),
}  # fmt: skip


def _volume(w):
    return int(np.prod(w.shape[1:]))


def _recurrent(x, w_ih, w_hh):
    T, B, _ = x.shape
    return T * B * (w_ih.size + w_hh.size)


@dataclass
class Row:
    """One module: its name in the model, class, depth, shape of its output, parameters and multiply-adds of all inside it."""

    name: str
    kind: str
    depth: int
    leaf: bool
    output_shape: tuple = ()
    params: int = 0
    macs: int = 0
    calls: int = 0


@dataclass
class Summary:
    """The table of a network. `rows` in the order of the modules; the totals count a shared parameter once.

    summary["features.0"] is the row of a module by its name; print it for the table.
    """

    model: str
    input_shapes: list
    output_shape: tuple
    rows: list[Row] = field(repr=False)
    total_params: int = 0
    trainable_params: int = 0
    total_macs: int = 0

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{self.model} has no module {name!r}")

    @property
    def leaves(self) -> list[Row]:
        """The rows of modules without modules in them."""
        return [row for row in self.rows if row.leaf]

    def __str__(self):
        table = [("layer", "output", "parameters", "multiply-adds")]
        for row in self.rows:
            own = row.name.rpartition(".")[2]
            label = "  " * row.depth + (f"{own}: {row.kind}" if own else row.kind)
            shape = _shape(row.output_shape) if row.calls else "not called"
            table.append((label, shape, f"{row.params:,}" if row.params else "", f"{row.macs:,}" if row.macs else ""))
        widths = [max(len(line[i]) for line in table) for i in range(4)]
        lines = [
            f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in table
        ]
        lines.insert(1, "-" * max(map(len, lines)))
        frozen = self.total_params - self.trainable_params
        lines.append("-" * max(map(len, lines)))
        lines.append(
            f"{self.model}: {self.total_params:,} parameters{f' ({frozen:,} frozen)' if frozen else ''}, "
            f"{self.total_macs:,} multiply-adds for an input of {' and '.join(map(_shape, self.input_shapes))}"
        )
        return "\n".join(lines)


def summary(model, input_shape=None, *, inputs=None, dtype="float32") -> Summary:
    """The layers of a network with output shapes, parameters and multiply-adds (MACs), counted in one forward pass.

    Parameters
    model         a Module; it runs in evaluation mode, without gradients, and is left as it was
    input_shape   shape of the input, batch axis included, (1, 3, 224, 224); a list of shapes for several inputs
    inputs        or the inputs themselves, a Tensor or a tuple of what forward takes
    dtype         of inputs made from shapes, which are zeros; "int64" for tokens; a list for several

    A MAC is one multiplication with its addition: convolutions, matrix products, attention and recurrent layers count,
    biases, norms, activations and pooling do not. Wherever they happen, the innermost module that runs gets them.

    Example
    >>> from fastdl.models import LeNet5
    >>> table = summary(LeNet5(), (1, 1, 28, 28))
    >>> table.total_params, table["conv1"].macs, table["conv1"].output_shape
    (61706, 117600, (1, 6, 28, 28))
    """
    given = _inputs(input_shape, inputs, dtype)
    modules = dict(model.named_modules())
    rows = {id(m): Row(name, type(m).__name__, _depth(name), not m._modules) for name, m in modules.items()}
    for m in modules.values():
        rows[id(m)].params = sum(p.array.size for p in _distinct(m))
    running = []  # the modules whose forward has begun and not ended

    def begin(module, args):
        running.append(module)

    def end(module, args, output):
        running.pop()
        row = rows[id(module)]
        row.calls += 1
        row.output_shape = _shape_of(output)

    def count(macs):
        for m in {id(m): m for m in running}.values():
            rows[id(m)].macs += macs

    training = [(m, m.training) for m in modules.values()]
    with ExitStack() as stack:
        for m in modules.values():
            stack.callback(m.register_forward_pre_hook(begin, prepend=True).remove)
            stack.callback(m.register_forward_hook(end).remove)
        stack.enter_context(_counting(count))
        stack.enter_context(no_grad())
        model.eval()
        try:
            output = model(*given)
        finally:
            for m, was in training:
                m.training = was
    everything = _distinct(model)
    top = rows[id(model)]
    return Summary(
        type(model).__name__,
        [x.shape for x in given if isinstance(x, Tensor)],
        _shape_of(output),
        list(rows.values()),
        sum(p.array.size for p in everything),
        sum(p.array.size for p in everything if p.requires_grad),
        top.macs,
    )


def _inputs(input_shape, inputs, dtype):
    if (input_shape is None) == (inputs is None):
        raise ValueError("summary: give input_shape, batch axis included, or inputs=")
    if inputs is not None:
        return tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    one = not isinstance(input_shape[0], (tuple, list))
    shapes = [tuple(input_shape)] if one else [tuple(s) for s in input_shape]
    dtypes = list(dtype) if isinstance(dtype, (tuple, list)) else [dtype] * len(shapes)
    if len(dtypes) != len(shapes):
        raise ValueError(f"summary: {len(shapes)} input shapes and {len(dtypes)} dtypes")
    return tuple(Tensor(np.zeros(shape, kind)) for shape, kind in zip(shapes, dtypes))


@contextmanager
def _counting(count):
    """Report the MACs of every call of a contract."""
    before = []

    def counted(function, macs):
        def call(*args, **kwargs):
            result = function(*args, **kwargs)
            count(macs(result, *args))
            return result

        return call

    for (family, name), macs in _CONTRACTS.items():
        module = importlib.import_module(f"fastdl.ops.{family}")
        before.append((module, name, getattr(module, name)))
        setattr(module, name, counted(getattr(module, name), macs))
    try:
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)


def _distinct(module):
    return list({id(p): p for p in module.parameters()}.values())


def _depth(name):
    return name.count(".") + 1 if name else 0


def _shape_of(output):
    """The shape of a Tensor; of the first Tensor inside a tuple, list or dict."""
    if isinstance(output, Tensor):
        return tuple(output.shape)
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        for member in output:
            shape = _shape_of(member)
            if shape:
                return shape
    return ()


def _shape(shape):
    return " x ".join(map(str, shape))
