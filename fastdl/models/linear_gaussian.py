"""x = W z + mean + noise: the one latent-variable model whose evidence and posterior are known, to measure bounds against.

    z ~ N(0, I), x | z ~ N(W z + mean, s^2 I);  p(x) = N(mean, W W^T + s^2 I);  p(z | x) = N(M^-1 W^T (x - mean) / s^2, M^-1),
    M = I + W^T W / s^2

Ref  Tipping and Bishop, "Probabilistic Principal Component Analysis", 1999
"""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.distributions import Independent, MultivariateNormal, Normal
from fastdl.distributions.generative import GenerativeModel, array, seeded
from fastdl.ops.linalg import matmul


class LinearGaussian(GenerativeModel):
    """Probabilistic PCA with `latent` components, fitted in closed form, in float64."""

    density = "exact"

    def __init__(self, latent):
        self.latent = latent

    def fit(self, x):
        x = array(x, dtype=np.float64).astype(np.float64)
        if x.ndim != 2 or not self.latent < x.shape[1] or len(x) < 2:
            raise ValueError(f"LinearGaussian: expected (N, D) with D > {self.latent} and N > 1; got shape {x.shape}")
        self.mean = x.mean(0)
        values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
        values, vectors = values[::-1], vectors[:, ::-1]
        self.variance = float(values[self.latent :].mean())
        self.W = vectors[:, : self.latent] * np.sqrt(values[: self.latent] - self.variance)  # (D, Z)
        return self

    def prior(self):
        """p(z)."""
        return Independent(Normal(np.zeros(self.latent), np.ones(self.latent)), 1)

    def decoder(self, z):
        """p(x | z), z (..., Z) a Tensor."""
        loc = matmul(z, Tensor(self.W.T)) + Tensor(self.mean)
        return Independent(Normal(loc, np.full(self.W.shape[0], np.sqrt(self.variance))), 1)

    def posterior(self, x):
        """p(z | x), exactly."""
        precision = np.eye(self.latent) + self.W.T @ self.W / self.variance
        covariance = np.linalg.inv(precision)
        return MultivariateNormal((array(x) - self.mean) @ self.W @ covariance / self.variance, covariance)

    def diagonal_posterior(self, x):
        """The best N(m, diag(s^2)) in KL(q || posterior): the same mean, variances 1 / diagonal of the precision."""
        precision = np.eye(self.latent) + self.W.T @ self.W / self.variance
        mean = self.posterior(x).loc.array
        return Independent(Normal(mean, np.broadcast_to(np.diag(precision) ** -0.5, mean.shape).copy()), 1)

    def log_prob(self, x):
        covariance = self.W @ self.W.T + self.variance * np.eye(len(self.W))
        return MultivariateNormal(self.mean, covariance).log_prob(array(x).astype(np.float64))

    def sample(self, n, seed=None):
        generator = seeded(seed)
        return self.decoder(self.prior().sample((n,), generator)).sample((), generator)
