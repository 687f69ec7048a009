"""Random tensors, from the global generator of fastdl/random.py or from a Generator of one's own."""

import numpy as np

from fastdl.autograd import Tensor, assign
from fastdl.ops._dtypes import float32, get_default_dtype, int64
from fastdl.ops._shapes import sizes_of
from fastdl.random import generator as global_generator


class Generator:
    """A source of random numbers with its own state; pass it as generator=..."""

    def __init__(self, device=None):
        self._seed = int(np.random.SeedSequence().entropy % 2**63)
        self.numpy = np.random.Generator(np.random.PCG64(self._seed))

    def manual_seed(self, seed):
        """Start again from a seed; returns the generator."""
        self._seed = int(seed)
        self.numpy.bit_generator.state = np.random.PCG64(self._seed).state
        return self

    def seed(self):
        """Start again from the system's entropy; returns the seed taken."""
        self.manual_seed(np.random.SeedSequence().entropy % 2**63)
        return self._seed

    def initial_seed(self):
        """The seed that the generator was last started from."""
        return self._seed

    def get_state(self):
        """The state: a dict of text and integers (fits into JSON)."""
        return self.numpy.bit_generator.state

    def set_state(self, new_state):
        """Continue from a state that get_state returned; returns the generator."""
        self.numpy.bit_generator.state = new_state
        return self


def numpy_generator(generator=None):
    """The numpy.random.Generator to draw from: the global one for None."""
    if generator is None:
        return global_generator()
    return generator.numpy if isinstance(generator, Generator) else generator


def _native_float(dtype):
    return dtype if dtype in (np.float32, np.float64) else float32


def _uniform(shape, dtype, generator):
    dtype = np.dtype(dtype or get_default_dtype())
    return numpy_generator(generator).random(shape, dtype=_native_float(dtype)).astype(dtype, copy=False)


def _normal(shape, dtype, generator):
    dtype = np.dtype(dtype or get_default_dtype())
    return numpy_generator(generator).standard_normal(shape, dtype=_native_float(dtype)).astype(dtype, copy=False)


def rand(*size, generator=None, dtype=None, device=None, requires_grad=False):
    """Uniform in [0, 1)."""
    return Tensor(_uniform(sizes_of(size), dtype, generator), requires_grad)


def randn(*size, generator=None, dtype=None, device=None, requires_grad=False):
    """Normal with mean 0 and variance 1."""
    return Tensor(_normal(sizes_of(size), dtype, generator), requires_grad)


def rand_like(input, *, generator=None, dtype=None, device=None, requires_grad=False):
    """rand with the shape and type of input."""
    return Tensor(_uniform(input.array.shape, dtype or input.array.dtype, generator), requires_grad)


def randn_like(input, *, generator=None, dtype=None, device=None, requires_grad=False):
    """randn with the shape and type of input."""
    return Tensor(_normal(input.array.shape, dtype or input.array.dtype, generator), requires_grad)


def randint(low, high=None, size=None, *, generator=None, dtype=None, device=None, requires_grad=False):
    """Integers in [low, high); randint(high, size) starts at 0."""
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    values = numpy_generator(generator).integers(low, high, sizes_of((size,)), dtype=np.int64)
    return Tensor(values.astype(dtype or int64, copy=False), requires_grad)


def randint_like(input, low, high=None, *, generator=None, dtype=None):
    """randint with the shape and type of input."""
    if high is None:
        low, high = 0, low
    return randint(low, high, input.array.shape, generator=generator, dtype=dtype or input.array.dtype)


def randperm(n, *, generator=None, dtype=None, device=None):
    """The numbers from 0 to n - 1 in random order."""
    return Tensor(numpy_generator(generator).permutation(n).astype(dtype or int64, copy=False))


def normal(mean=0.0, std=1.0, size=None, *, generator=None, dtype=None):
    """Normal with a mean and a standard deviation, numbers or tensors."""
    if size is None:
        a = mean.array if isinstance(mean, Tensor) else mean
        b = std.array if isinstance(std, Tensor) else std
        shape = np.broadcast_shapes(np.shape(a), np.shape(b))
        dtype = dtype or (mean.dtype if isinstance(mean, Tensor) else std.dtype if isinstance(std, Tensor) else None)
        return Tensor((_normal(shape, dtype, generator) * b + a).astype(dtype or get_default_dtype(), copy=False))
    values = _normal(sizes_of((size,)), dtype, generator)
    values *= std
    values += mean
    return Tensor(values)


def bernoulli(input, p=None, *, generator=None):
    """1 with the probability that stands in input (or with probability p everywhere), else 0."""
    probability = input.array if p is None else p
    if np.any(np.less(probability, 0)) or np.any(np.greater(probability, 1)):
        raise RuntimeError("bernoulli: probabilities must lie in [0, 1]")
    return Tensor((_uniform(input.array.shape, None, generator) < probability).astype(input.array.dtype))


def multinomial(input, num_samples, replacement=False, *, generator=None):
    """Indices drawn with the weights in the rows of input."""
    w = np.asarray(input.array, np.float64)
    if w.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: expected 1 or 2 dimensions, not shape {input.shape}")
    if not np.isfinite(w).all() or (w < 0).any() or (w.sum(-1) <= 0).any():
        raise RuntimeError("multinomial: weights must be finite, not negative, and not all zero")
    if not replacement and num_samples > np.count_nonzero(w, axis=-1).min():
        raise RuntimeError(f"multinomial: cannot draw {num_samples} without replacement from fewer nonzero weights")
    rng = numpy_generator(generator)
    if replacement:
        edges = np.cumsum(w, -1)
        u = rng.random((*w.shape[:-1], num_samples)) * edges[..., -1:]
        picks = (u[..., None] >= edges[..., None, :]).sum(-1) if w.ndim == 2 else np.searchsorted(edges, u, "right")
        return Tensor(np.minimum(picks, w.shape[-1] - 1).astype(np.int64))
    # The order of exponential waiting times with these rates is a draw without replacement.
    with np.errstate(divide="ignore"):
        times = rng.standard_exponential(w.shape) / w
    return Tensor(np.argsort(times, -1, kind="stable")[..., :num_samples].astype(np.int64))


def _fill(t, values, op):
    return assign(t, Tensor(values.astype(t.array.dtype, copy=False)), op)


def uniform_(input, a=0.0, b=1.0, *, generator=None):
    """Fill with uniform numbers of [a, b)."""
    return _fill(input, a + (b - a) * _uniform(input.array.shape, input.array.dtype, generator), "uniform_")


def normal_(input, mean=0.0, std=1.0, *, generator=None):
    """Fill with normal numbers."""
    return _fill(input, mean + std * _normal(input.array.shape, input.array.dtype, generator), "normal_")


def bernoulli_(input, p=0.5, *, generator=None):
    """Fill with 1 with probability p, else 0."""
    p = p.array if isinstance(p, Tensor) else p
    return _fill(input, _uniform(input.array.shape, None, generator) < p, "bernoulli_")


def random_(input, low=0, high=None, *, generator=None):
    """Fill with integers of [low, high)."""
    return _fill(
        input, numpy_generator(generator).integers(low, 2**24 if high is None else high, input.array.shape), "random_"
    )


def exponential_(input, lambd=1.0, *, generator=None):
    """Fill with exponentially distributed numbers."""
    return _fill(input, numpy_generator(generator).standard_exponential(input.array.shape) / lambd, "exponential_")
