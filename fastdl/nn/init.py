"""Initial values of parameters. Every function fills its tensor in place and returns it.

fan_in and fan_out are the numbers of inputs and outputs of one unit: for a weight (out, in, *window) in*prod(window)
and out*prod(window). Numbers come from the global generator (fastdl.manual_seed) unless `generator` is given.
"""

import math
from contextlib import contextmanager

import numpy as np

from fastdl.autograd import wrote
from fastdl.ops.random import numpy_generator

BLOCK = 1 << 20  # values drawn at a time: in float64 a whole matrix would take twice its memory
_empty = False  # inside init_empty()


@contextmanager
def init_empty():
    """Layers made inside draw no initial values: their weights hold whatever memory held.

    The memory of a weight is then only reserved: a network of billions of parameters is made in no time, to be counted,
    to have its keys listed, or to be filled by load_state_dict.

    Example
    >>> from fastdl import nn
    >>> with init_empty():
    ...     layer = nn.Linear(100_000, 10_000)
    >>> layer.weight.numel()
    1000000000
    """
    global _empty
    before, _empty = _empty, True
    try:
        yield
    finally:
        _empty = before


def is_empty():
    """Whether this is inside init_empty()."""
    return _empty


def _fill(tensor, values, name):
    if _empty:
        return tensor
    tensor.array[...] = values
    wrote(tensor, f"nn.init.{name}")
    return tensor


def _draw(tensor, name, draw):
    """Fill with draw(shape), float64 so that float32 and float64 networks start from the same numbers, some rows at a time."""
    if _empty:
        return tensor
    a = tensor.array
    rows = max(1, BLOCK // max(1, math.prod(a.shape[1:]))) if a.ndim else 1
    if a.ndim == 0 or rows >= len(a):
        return _fill(tensor, draw(a.shape), name)
    for i in range(0, len(a), rows):
        part = a[i : i + rows]
        part[...] = draw(part.shape)
    wrote(tensor, f"nn.init.{name}")
    return tensor


def _uniform(tensor, low, high, generator, name):
    rng = None if _empty else numpy_generator(generator)
    return _draw(tensor, name, lambda shape: rng.uniform(low, high, shape))


def _normal(tensor, mean, std, generator, name):
    rng = None if _empty else numpy_generator(generator)
    return _draw(tensor, name, lambda shape: rng.normal(mean, std, shape))


def calculate_gain(nonlinearity, param=None):
    """The factor that keeps the variance of a signal through this non-linearity."""
    if nonlinearity in ("linear", "sigmoid", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}")


def _fans(tensor, name):
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError(f"{name}: fan in and fan out need a tensor of at least 2 axes; got shape {shape}")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _fan(tensor, mode, name):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode must be 'fan_in' or 'fan_out'; got {mode!r}")
    return _fans(tensor, name)[mode == "fan_out"]


def uniform_(tensor, a=0.0, b=1.0, generator=None):
    """Uniform in [a, b)."""
    return _uniform(tensor, a, b, generator, "uniform_")


def normal_(tensor, mean=0.0, std=1.0, generator=None):
    """Normal."""
    return _normal(tensor, mean, std, generator, "normal_")


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    """Normal, with values outside [a, b] drawn again."""
    if not a < b:
        raise ValueError(f"trunc_normal_: a must be below b; got {a} and {b}")
    if _empty:
        return tensor
    rng = numpy_generator(generator)
    values = rng.normal(mean, std, tensor.shape)
    for _ in range(1000):
        outside = (values < a) | (values > b)
        n = np.count_nonzero(outside)
        if n == 0:
            return _fill(tensor, values, "trunc_normal_")
        values[outside] = rng.normal(mean, std, n)
    raise ValueError(f"trunc_normal_: [{a}, {b}] lies too far out for mean {mean} and std {std}")


def constant_(tensor, val):
    """Every element `val`."""
    return _fill(tensor, val, "constant_")


def ones_(tensor):
    """Every element 1."""
    return _fill(tensor, 1, "ones_")


def zeros_(tensor):
    """Every element 0."""
    return _fill(tensor, 0, "zeros_")


def eye_(tensor):
    """The identity matrix (2-D)."""
    if len(tensor.shape) != 2:
        raise ValueError(f"eye_: needs a matrix; got shape {tensor.shape}")
    return _fill(tensor, np.eye(*tensor.shape), "eye_")


def dirac_(tensor, groups=1):
    """A convolution weight (O, I, *window) that passes as many channels through unchanged as possible."""
    O, I, *window = tensor.shape
    if not window or O % groups:
        raise ValueError(f"dirac_: needs a convolution weight whose first axis {groups} divides; got {tensor.shape}")
    values = np.zeros(tensor.shape)
    centre = tuple(n // 2 for n in window)
    for group in range(groups):
        for i in range(min(O // groups, I)):
            values[(group * (O // groups) + i, i, *centre)] = 1
    return _fill(tensor, values, "dirac_")


def xavier_uniform_(tensor, gain=1.0, generator=None):
    """Uniform with variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor, "xavier_uniform_")))
    return _uniform(tensor, -bound, bound, generator, "xavier_uniform_")


def xavier_normal_(tensor, gain=1.0, generator=None):
    """Normal with variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    std = gain * math.sqrt(2.0 / sum(_fans(tensor, "xavier_normal_")))
    return _normal(tensor, 0, std, generator, "xavier_normal_")


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Uniform with variance gain^2 / fan (He et al. 2015); a: the slope of the leaky ReLU."""
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / _fan(tensor, mode, "kaiming_uniform_"))
    return _uniform(tensor, -bound, bound, generator, "kaiming_uniform_")


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Normal with variance gain^2 / fan (He et al. 2015); a: the slope of the leaky ReLU."""
    std = calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode, "kaiming_normal_"))
    return _normal(tensor, 0, std, generator, "kaiming_normal_")


def orthogonal_(tensor, gain=1, generator=None):
    """Orthonormal rows, or columns where there are more rows (Saxe et al. 2014); further axes count as columns."""
    if len(tensor.shape) < 2:
        raise ValueError(f"orthogonal_: needs at least 2 axes; got shape {tensor.shape}")
    if _empty:
        return tensor
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    flat = numpy_generator(generator).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(flat)
    q *= np.sign(np.diag(r))  # makes the distribution uniform over the orthogonal matrices
    return _fill(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape), "orthogonal_")


def sparse_(tensor, sparsity, std=0.01, generator=None):
    """Normal, with the share `sparsity` of every column set to 0 (2-D; Martens 2010)."""
    if len(tensor.shape) != 2:
        raise ValueError(f"sparse_: needs a matrix; got shape {tensor.shape}")
    rng = numpy_generator(generator)
    values = rng.normal(0, std, tensor.shape)
    rows = tensor.shape[0]
    for column in values.T:
        column[rng.permutation(rows)[: math.ceil(sparsity * rows)]] = 0
    return _fill(tensor, values, "sparse_")


def default_linear_(weight, bias, generator=None):
    """torch's start of linear layers and convolutions: both uniform in +-1 / sqrt(fan_in)."""
    bound = 1 / math.sqrt(max(1, _fans(weight, "default_linear_")[0]))
    _uniform(weight, -bound, bound, generator, "default_linear_")
    if bias is not None:
        _uniform(bias, -bound, bound, generator, "default_linear_")


def bilinear_(tensor):
    """A deconvolution weight (C, O, K, K) that enlarges each channel bilinearly by its stride K / 2 (rounded up).

    Channel i goes to channel i with the weights (1 - |x - c| / f) (1 - |y - c| / f), f = ceil(K / 2), c the middle of the
    window; nothing goes to other channels. Ref  Long et al. 2015, section 3.3.
    """
    if len(tensor.shape) != 4 or tensor.shape[2] != tensor.shape[3]:
        raise ValueError(f"bilinear_: needs a weight (C, O, K, K); got {tensor.shape}")
    C, O, K, _ = tensor.shape
    line = 1 - np.abs(np.arange(K) - (K - 1) / 2) / ((K + 1) // 2)
    values = np.zeros(tensor.shape)
    values[range(min(C, O)), range(min(C, O))] = np.outer(line, line)
    return _fill(tensor, values, "bilinear_")
