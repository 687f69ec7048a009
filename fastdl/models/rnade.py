"""RNADE: NADE of real numbers; each conditional is a mixture of Gaussians (or Laplace distributions).

    a_d as in NADE, h_d = max(0, rho_d a_d);  of dimension d: weights softmax, means linear, scales exp of V_d h_d + b_d

D H + H + D (3 K H + 3 K) + D parameters for K components: W, c, V and b, rho.

Ref  Uria, Murray, Larochelle, "RNADE: The real-valued neural autoregressive density-estimator", 2013, arXiv 1306.0186
     In place of the paper's factor sigma on the gradient of the means, linear_means adds a linear dependence of the means on
     the values before, which carries a plain Gaussian's part of the density.
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions import Categorical, Laplace, MixtureSameFamily, Normal
from fastdl.distributions.generative import GenerativeModel, array, fit_likelihood, seeded
from fastdl.nn import init
from fastdl.ops.linalg import matmul
from fastdl.ops.nade import nade
from fastdl.optim import AdamW

FAMILIES = {"normal": Normal, "laplace": Laplace}


class RNADE(nn.Module, GenerativeModel):
    """A density of real vectors; standardise them first, with the training part's mean and deviation.

    Shapes      x (N, dimensions) -> log_prob (N,)
    Parameters  W (H, D), V (D, 3K, H), b (D, 3K), c (H,), rho (D,); with linear_means A (D, D), used below its diagonal
    Settings    components K, dist "normal" or "laplace", floor: the smallest scale, against spikes at repeated values
    """

    density = "exact"

    def __init__(self, dimensions, hidden=64, components=5, dist="normal", floor=1e-2, linear_means=False):
        super().__init__()
        if dist not in FAMILIES:
            raise ValueError(f"RNADE: dist must be one of {', '.join(FAMILIES)}; got {dist!r}")
        if min(dimensions, hidden, components) < 1:
            raise ValueError(
                f"RNADE: dimensions, hidden, components must be at least 1; got {(dimensions, hidden, components)}"
            )
        self.dimensions, self.components, self.dist, self.floor = dimensions, components, dist, floor
        D, H, K = dimensions, hidden, components
        self.W = nn.Parameter(np.empty((H, D), np.float32))
        self.V = nn.Parameter(np.empty((D, 3 * K, H), np.float32))
        start = np.zeros((D, 3, K), np.float32)
        start[:, 1] = np.linspace(-1, 1, K) if K > 1 else 0  # means apart, or the components stay equal
        self.b = nn.Parameter(start.reshape(D, 3 * K))
        self.c = nn.Parameter(np.zeros(H, np.float32))
        self.rho = nn.Parameter(np.ones(D, np.float32))
        self.register_parameter("A", nn.Parameter(np.zeros((D, D), np.float32)) if linear_means else None)
        init.normal_(self.W, 0, 1 / np.sqrt(D))
        init.normal_(self.V, 0, 0.1 / np.sqrt(H))

    def _mixture(self, x):
        N, K = x.shape[0], self.components
        y = nade(x, self.W, self.V, self.b, self.c, self.rho).reshape(N, self.dimensions, 3, K)
        mean = y[:, :, 1]
        if self.A is not None:
            below = Tensor(np.tri(self.dimensions, k=-1, dtype=x.dtype))
            mean = mean + matmul(x, (self.A * below).T).unsqueeze(2)
        scale = y[:, :, 2].clamp(-12, 12).exp() + self.floor
        return MixtureSameFamily(Categorical(logits=y[:, :, 0]), FAMILIES[self.dist](mean, scale))

    def _vectors(self, x):
        x = x if isinstance(x, Tensor) else Tensor(array(x))
        if x.ndim != 2 or x.shape[1] != self.dimensions:
            raise ValueError(f"RNADE: expected vectors (N, {self.dimensions}); got shape {x.shape}")
        if not np.isfinite(x.array).all():
            raise ValueError("RNADE: values must be finite")
        return x.to(self.W.dtype)

    def log_prob(self, x):
        """log p(x) in nats, (N,), a density with respect to x as it is given."""
        x = self._vectors(x)
        return self._mixture(x).log_prob(x).sum(1)

    def sample(self, n, seed=None):
        """n vectors (n, D), drawn dimension by dimension."""
        x, generator = np.zeros((n, self.dimensions), self.W.dtype), seeded(seed)
        with no_grad():
            for d in range(self.dimensions):
                x[:, d] = self._mixture(Tensor(x)).sample((), generator).array[:, d]
        return Tensor(x)

    def fit(self, x, epochs=100, lr=3e-3, weight_decay=0.1, batch_size=50, seed=0, validation=None, **settings):
        """Maximum likelihood by AdamW; without a validation part it will over-fit small tables. Returns the history."""
        decayed = [p for p in (self.W, self.V, self.A) if p is not None]
        optimizer = AdamW(
            [{"params": decayed}, {"params": [self.b, self.c, self.rho], "weight_decay": 0.0}],
            lr=lr,
            weight_decay=weight_decay,
        )
        return fit_likelihood(self, x, optimizer, epochs, batch_size, seed, validation, **settings)
