"""NADE: an explicit density of binary vectors, one neural conditional a variable, weights shared between them.

    p(x) = prod_i p(x_i | x_<i),   h_i = sigmoid(c + W[:, <i] x_<i),   p(x_i = 1 | x_<i) = sigmoid(V_i h_i + b_i)

Pixel 100 uses the 99 before it. Because c + W[:, <i] x_<i grows by one column from i to i + 1, all D conditionals of an image
cost O(D H); the walk is one kernel (fastdl/kernels/nade.py).

2 D H + D + H parameters: 785,284 for D = 784, H = 500.

Ref  Larochelle and Murray, "The Neural Autoregressive Distribution Estimator", 2011;
     Uria, Cote, Gregor, Murray, Larochelle, "Neural Autoregressive Distribution Estimation", 2016, arXiv 1605.02226
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.distributions.generative import GenerativeModel, array, fit_likelihood, seeded
from fastdl.kernels.nade import nade_sample
from fastdl.nn import init
from fastdl.nn.functional import binary_cross_entropy_with_logits
from fastdl.ops.nade import nade
from fastdl.ops.random import numpy_generator
from fastdl.optim import AdamW


class NADE(nn.Module, GenerativeModel):
    """A density of binary vectors.

    Shapes      x (N, dimensions) of 0 and 1 -> log_prob (N,); images (N, 1, H, W) are flattened in raster order
    Parameters  W (hidden, D), V (D, hidden), b (D,), c (hidden,)
    Settings    order: None (as they come), a seed (a fixed random order), or the permutation itself

    Example
    >>> sum(p.numel() for p in NADE(784, hidden=500).parameters())
    785284
    """

    density = "exact"

    def __init__(self, dimensions, hidden=500, order=None):
        super().__init__()
        if dimensions < 1 or hidden < 1:
            raise ValueError(f"NADE: dimensions and hidden must be at least 1; got {dimensions} and {hidden}")
        self.dimensions, self.hidden = D, H = dimensions, hidden
        self.order = _order(order, D)
        self.W = nn.Parameter(np.empty((H, D), np.float32))
        self.V = nn.Parameter(np.empty((D, H), np.float32))
        self.b = nn.Parameter(np.zeros(D, np.float32))
        self.c = nn.Parameter(np.zeros(H, np.float32))
        for weight in (self.W, self.V):
            init.uniform_(weight, -1 / np.sqrt(H), 1 / np.sqrt(H))

    def _vectors(self, x):
        x = x if isinstance(x, Tensor) else Tensor(array(x))
        x = x.reshape(x.shape[0], -1) if x.ndim > 2 else x
        if x.ndim != 2 or x.shape[1] != self.dimensions:
            raise ValueError(f"NADE: expected vectors (N, {self.dimensions}); got shape {x.shape}")
        x = x.to(self.W.dtype)
        if ((x.array != 0) & (x.array != 1)).any():
            raise ValueError("NADE: values must be 0 or 1; hint: binarise first, e.g. x >= 0.5")
        return x if self.order is None else Tensor(x.array[:, self.order])

    def forward(self, x):
        """Logits (N, D) of every variable given the ones before it, in the model's order."""
        return nade(self._vectors(x), self.W, self.V, self.b, self.c)

    def log_prob(self, x):
        """log p(x) in nats, (N,)."""
        x = self._vectors(x)
        logits = nade(x, self.W, self.V, self.b, self.c)
        return -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)

    def sample(self, n, seed=None):
        """n vectors (n, D) of 0 and 1, drawn variable by variable."""
        u = numpy_generator(seeded(seed)).random((n, self.dimensions), np.float32).astype(self.W.dtype, copy=False)
        x, _ = nade_sample(u, self.W.array, self.V.array[:, None], self.b.array[:, None], self.c.array)
        return Tensor(x if self.order is None else x[:, np.argsort(self.order)])

    def fit(self, x, epochs=30, lr=3e-3, weight_decay=0.1, batch_size=100, seed=0, validation=None, **settings):
        """Maximum likelihood by AdamW; a new model's biases start at the pixels' own frequencies. Returns the history.

        validation: held-out data, on which the best epoch is chosen. Other settings: see fit_likelihood.
        """
        vectors = self._vectors(x).array
        if not self.b.array.any():  # not trained before
            mean = vectors.mean(0).clip(1e-3, 1 - 1e-3)
            self.b.array[...] = np.log(mean / (1 - mean))
        optimizer = AdamW(
            [{"params": [self.W, self.V]}, {"params": [self.b, self.c], "weight_decay": 0.0}],
            lr=lr,
            weight_decay=weight_decay,
        )
        x = array(x).reshape(len(vectors), -1)
        return fit_likelihood(self, x, optimizer, epochs, batch_size, seed, validation, **settings)


def _order(order, D):
    if order is None:
        return None
    order = np.random.default_rng(order).permutation(D) if isinstance(order, int) else np.asarray(order)
    if sorted(order.tolist()) != list(range(D)):
        raise ValueError(f"NADE: order must be a permutation of the {D} variables")
    return order
