"""Normal, multivariate normal and uniform distributions."""

from math import log, pi, sqrt

import numpy as np

from fastdl.autograd import Function, Tensor
from fastdl.distributions.distribution import LOG_2PI, Distribution, tensors, value
from fastdl.ops.linalg import matmul
from fastdl.ops.random import numpy_generator
from fastdl.ops.shape import diagonal
from fastdl.ops.unary import erf, erfinv


def noise(shape, dtype, generator):
    """Standard normal numbers."""
    native = np.float32 if dtype == np.float32 else np.float64
    return Tensor(numpy_generator(generator).standard_normal(shape, native).astype(dtype, copy=False))


class Normal(Distribution):
    """N(loc, scale^2), element by element.

    Maths   log p(x) = -((x - loc) / scale)^2 / 2 - log scale - log(2 pi) / 2;  entropy = 1/2 + log(2 pi)/2 + log scale
    """

    has_rsample = True

    def __init__(self, loc, scale):
        self.loc, self.scale = tensors("Normal", loc, scale)
        if self.scale.array.size and not self.scale.array.min() > 0:
            raise ValueError(
                "Normal: scale must be positive everywhere; hint: exp() or softplus() of what a network gives"
            )
        super().__init__(self.loc.shape)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        return self.scale * self.scale

    def rsample(self, sample_shape=(), generator=None):
        return self.loc + self.scale * noise(self._extended(sample_shape), self.loc.array.dtype, generator)

    def log_prob(self, value_):
        x = value(value_, self.loc)
        self._check_value(x)
        z = (x - self.loc) / self.scale
        return -0.5 * z * z - self.scale.log() - 0.5 * LOG_2PI

    def cdf(self, value_):
        """P(X <= x)."""
        return 0.5 * (1 + erf((value(value_, self.loc) - self.loc) / (self.scale * sqrt(2))))

    def icdf(self, q):
        """The x with P(X <= x) = q."""
        return self.loc + self.scale * sqrt(2) * erfinv(2 * value(q, self.loc) - 1)

    def entropy(self):
        return self.scale.log() + 0.5 * (1 + LOG_2PI)


class Laplace(Distribution):
    """exp(-|x - loc| / scale) / (2 scale), element by element."""

    has_rsample = True

    def __init__(self, loc, scale):
        self.loc, self.scale = tensors("Laplace", loc, scale)
        if self.scale.array.size and not self.scale.array.min() > 0:
            raise ValueError("Laplace: scale must be positive everywhere")
        super().__init__(self.loc.shape)

    @property
    def mean(self):
        return self.loc

    @property
    def variance(self):
        return 2 * self.scale * self.scale

    def rsample(self, sample_shape=(), generator=None):
        draw = numpy_generator(generator).laplace(size=self._extended(sample_shape))
        return self.loc + self.scale * Tensor(draw.astype(self.loc.array.dtype))

    def log_prob(self, value_):
        x = value(value_, self.loc)
        self._check_value(x)
        return -(x - self.loc).abs() / self.scale - (2 * self.scale).log()

    def cdf(self, value_):
        """P(X <= x)."""
        d = value(value_, self.loc) - self.loc
        return 0.5 - 0.5 * d.sign() * (-d.abs() / self.scale).expm1()

    def entropy(self):
        return 1 + (2 * self.scale).log()


class Uniform(Distribution):
    """Constant density on [low, high)."""

    has_rsample = True

    def __init__(self, low, high):
        self.low, self.high = tensors("Uniform", low, high)
        if not (self.low.array < self.high.array).all():
            raise ValueError("Uniform: low must lie below high everywhere")
        super().__init__(self.low.shape)

    @property
    def mean(self):
        return (self.low + self.high) * 0.5

    @property
    def variance(self):
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape=(), generator=None):
        u = numpy_generator(generator).random(self._extended(sample_shape)).astype(self.low.array.dtype)
        return self.low + (self.high - self.low) * Tensor(u)

    def log_prob(self, value_):
        x = value(value_, self.low)
        self._check_value(x)
        inside = (x.array >= self.low.array) & (x.array < self.high.array)
        with np.errstate(divide="ignore"):
            wall = Tensor(np.log(inside.astype(x.array.dtype)))
        return wall - (self.high - self.low).log()

    def entropy(self):
        return (self.high - self.low).log()


class Inverse(Function):
    """The inverse of matrices (..., n, n); its derivative is -Y^T dY Y^T."""

    @staticmethod
    def forward(ctx, x):
        y = Tensor(np.linalg.inv(x.array))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        yt = y.transpose(-1, -2)
        return -matmul(matmul(yt, dy), yt)


class MultivariateNormal(Distribution):
    """N(loc, covariance), event shape (n,).

    Parameters  loc (..., n) and either scale_tril (..., n, n), lower triangular with positive diagonal (gradients reach
                it), or covariance_matrix (..., n, n), symmetric and positive definite (taken as a constant)
    """

    has_rsample = True

    def __init__(self, loc, covariance_matrix=None, scale_tril=None):
        if (covariance_matrix is None) == (scale_tril is None):
            raise ValueError("MultivariateNormal: give either covariance_matrix or scale_tril")
        (self.loc,) = tensors("MultivariateNormal", loc)
        n = self.loc.shape[-1] if self.loc.shape else 0
        matrix = covariance_matrix if scale_tril is None else scale_tril
        matrix = matrix if isinstance(matrix, Tensor) else Tensor(np.asarray(matrix, self.loc.array.dtype))
        if matrix.shape[-2:] != (n, n) or n == 0:
            raise ValueError(
                f"MultivariateNormal: loc {self.loc.shape} needs matrices (..., {n}, {n}); got {matrix.shape}"
            )
        if scale_tril is None:
            try:
                self.scale_tril = Tensor(np.linalg.cholesky(matrix.array))
            except np.linalg.LinAlgError:
                raise ValueError("MultivariateNormal: covariance_matrix is not positive definite") from None
        else:
            self.scale_tril = matrix
        super().__init__(np.broadcast_shapes(self.loc.shape[:-1], matrix.shape[:-2]), (n,))

    @property
    def mean(self):
        return self.loc

    @property
    def covariance_matrix(self):
        return matmul(self.scale_tril, self.scale_tril.transpose(-1, -2))

    @property
    def variance(self):
        return (self.scale_tril * self.scale_tril).sum(-1)

    def log_det(self):
        """log of the determinant of the covariance."""
        return 2 * diagonal(self.scale_tril, 0, -2, -1).log().sum(-1)

    def rsample(self, sample_shape=(), generator=None):
        z = noise(self._extended(sample_shape), self.loc.array.dtype, generator).unsqueeze(-1)
        return self.loc + matmul(self.scale_tril, z).squeeze(-1)

    def log_prob(self, value_):
        x = value(value_, self.loc)
        self._check_value(x)
        z = matmul(Inverse.apply(self.scale_tril), (x - self.loc).unsqueeze(-1)).squeeze(-1)
        return -0.5 * ((z * z).sum(-1) + self.log_det() + self.event_shape[0] * LOG_2PI)

    def entropy(self):
        return 0.5 * (self.log_det() + self.event_shape[0] * (1 + log(2 * pi)))
