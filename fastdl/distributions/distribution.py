"""What every distribution has: shapes, sampling, log_prob, entropy; torch.distributions' names.

A distribution describes independent draws of shape batch_shape, each of shape event_shape:

    sample((S,))    (S, *batch_shape, *event_shape)
    log_prob(x)     (S, *batch_shape): the event's axes are summed away

Densities are natural logarithms (nats).
"""

from math import log

import numpy as np

from fastdl.autograd import Tensor, no_grad
from fastdl.ops.shape import broadcast_tensors

LOG_2PI = log(2 * np.pi)


class ImplicitModelError(NotImplementedError):
    """A probability was asked of a model that can only sample."""


def tensors(name, *values):
    """The parameters as float Tensors of one shape and dtype; numbers and arrays are taken too."""
    made = []
    given = [v.array.dtype for v in values if isinstance(v, Tensor) and v.array.dtype.kind == "f"]
    dtype = np.result_type(*given) if given else np.dtype(np.float32)
    for v in values:
        if isinstance(v, Tensor):
            made.append(v if v.array.dtype.kind == "f" else Tensor(v.array.astype(dtype)))
        else:
            v = np.asarray(v)
            made.append(Tensor(v.astype(v.dtype if v.dtype.kind == "f" and v.ndim and not given else dtype)))
    try:
        return broadcast_tensors(*made) if len(made) > 1 else made
    except (RuntimeError, ValueError):
        raise ValueError(
            f"{name}: parameters of shapes {', '.join(str(t.shape) for t in made)} do not broadcast"
        ) from None


def value(x, like):
    """x as a Tensor of like's float dtype."""
    if isinstance(x, Tensor):
        return x if x.array.dtype.kind == "f" else Tensor(x.array.astype(like.array.dtype))
    return Tensor(np.asarray(x, like.array.dtype))


class Distribution:
    """Base class: a subclass writes log_prob, and sample or rsample.

    Attributes  batch_shape, event_shape: tuples; has_rsample: whether samples carry gradients to the parameters
    """

    has_rsample = False

    def __init__(self, batch_shape=(), event_shape=()):
        self.batch_shape, self.event_shape = tuple(batch_shape), tuple(event_shape)

    def _extended(self, sample_shape):
        shape = (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)
        return (*shape, *self.batch_shape, *self.event_shape)

    def sample(self, sample_shape=(), generator=None) -> Tensor:
        """Draws of shape (*sample_shape, *batch_shape, *event_shape) without a history."""
        with no_grad():
            return self.rsample(sample_shape, generator)

    def rsample(self, sample_shape=(), generator=None) -> Tensor:
        """Draws through which gradients reach the parameters."""
        raise NotImplementedError(
            f"{type(self).__name__} has no reparameterised samples; hint: sample(), and the score function for gradients"
        )

    def log_prob(self, value) -> Tensor:
        """The logarithm of the probability (density) of `value`, of shape (*sample_shape, *batch_shape)."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The entropy in nats, of shape batch_shape."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy in closed form; hint: entropy_monte_carlo")

    def entropy_monte_carlo(self, samples=1000, generator=None) -> Tensor:
        """An estimate of the entropy: the mean of -log_prob over its own samples."""
        draw = (self.rsample if self.has_rsample else self.sample)((samples,), generator)
        return -self.log_prob(draw).mean(0)

    @property
    def stddev(self):
        return self.variance.sqrt()

    def _check_value(self, x):
        """Raise ValueError for a value whose shape does not fit."""
        event = x.shape[len(x.shape) - len(self.event_shape) :]
        if event != self.event_shape:
            raise ValueError(f"{type(self).__name__}: a value must end in {self.event_shape}; got shape {x.shape}")
        try:
            np.broadcast_shapes(x.shape, (*self.batch_shape, *self.event_shape))
        except ValueError:
            raise ValueError(
                f"{type(self).__name__}: a value of shape {x.shape} does not broadcast against batch {self.batch_shape} "
                f"and event {self.event_shape}"
            ) from None

    def __repr__(self):
        return f"{type(self).__name__}(batch_shape={self.batch_shape}, event_shape={self.event_shape})"
