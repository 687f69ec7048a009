"""Independent: some batch axes become axes of one event."""

from fastdl.distributions.distribution import Distribution


def sum_last(x, axes):
    """x summed over its last `axes` axes."""
    return x.sum(tuple(range(-axes, 0))) if axes else x


class Independent(Distribution):
    """base, whose last reinterpreted_batch_ndims batch axes count as one event: log_prob is summed over them.

    Example
    >>> from fastdl.distributions import Bernoulli
    >>> Independent(Bernoulli(logits=[[0.0] * 4] * 3), 1)
    Independent(batch_shape=(3,), event_shape=(4,))
    """

    def __init__(self, base, reinterpreted_batch_ndims=1):
        n = reinterpreted_batch_ndims
        if not 0 <= n <= len(base.batch_shape):
            raise ValueError(f"Independent: cannot take {n} axes of a batch of shape {base.batch_shape}")
        self.base, self.axes = base, n
        cut = len(base.batch_shape) - n
        super().__init__(base.batch_shape[:cut], (*base.batch_shape[cut:], *base.event_shape))
        self.has_rsample = base.has_rsample

    def sample(self, sample_shape=(), generator=None):
        return self.base.sample(sample_shape, generator)

    def rsample(self, sample_shape=(), generator=None):
        return self.base.rsample(sample_shape, generator)

    def log_prob(self, value):
        return sum_last(self.base.log_prob(value), self.axes)

    def entropy(self):
        return sum_last(self.base.entropy(), self.axes)

    @property
    def mean(self):
        return self.base.mean

    @property
    def variance(self):
        return self.base.variance

    @property
    def mode(self):
        return self.base.mode
