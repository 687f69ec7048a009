"""VAE: an encoder gives q(z | x), a decoder p(x | z); both learn by raising a lower bound of log p(x).

    ELBO = E_q[log p(x | z)] - beta KL(q(z | x) || p(z)),   z = mu + exp(logvar / 2) eps

784-500-(20, 20) and 20-500-784 with tanh: 815,824 parameters. The convolutional form has strided convolutions 32, 64 and
their transposes. Variants: beta, labels as condition, a learned mixture as prior (its KL by Monte Carlo), IWAE.

Ref  Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, arXiv 1312.6114; Rezende, Mohamed, Wierstra 2014;
     Higgins et al. 2017 (beta); Burda, Grosse, Salakhutdinov 2016, arXiv 1509.00519 (IWAE)
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions import Bernoulli, Categorical, Independent, MixtureSameFamily, Normal
from fastdl.distributions.elbo import elbo, iwae_bound
from fastdl.distributions.generative import GenerativeModel, array, fit_likelihood, seeded
from fastdl.nn import functional as F
from fastdl.ops.shape import cat
from fastdl.optim import Adam

LIKELIHOODS = ("bernoulli", "gaussian", "categorical")


class ConvEncoder(nn.Module):
    """(N, D) as images (N, 1, s, s) -> (N, width): convolutions 4x4, stride 2, of 32 and 64 channels."""

    def __init__(self, size, inputs, width):
        super().__init__()
        self.size = size
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 4, 2, 1), nn.Conv2d(32, 64, 4, 2, 1)
        self.fc = nn.Linear(64 * (size // 4) ** 2 + inputs - size * size, width)

    def forward(self, x):
        image, rest = x[:, : self.size**2], x[:, self.size**2 :]
        h = F.relu(self.conv2(F.relu(self.conv1(image.reshape(-1, 1, self.size, self.size))))).flatten(1)
        return F.relu(self.fc(cat([h, rest], 1) if rest.shape[1] else h))


class ConvDecoder(nn.Module):
    """(N, inputs) -> (N, outputs channels * s * s) by transposed convolutions 4x4, stride 2, from 64 over 32 channels."""

    def __init__(self, size, inputs, outputs):
        super().__init__()
        self.size = size
        self.fc = nn.Linear(inputs, 64 * (size // 4) ** 2)
        self.deconv1, self.deconv2 = nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ConvTranspose2d(32, outputs, 4, 2, 1)

    def forward(self, z):
        h = F.relu(self.fc(z)).reshape(-1, 64, self.size // 4, self.size // 4)
        return self.deconv2(F.relu(self.deconv1(h))).permute(0, 2, 3, 1).flatten(1)  # a pixel's numbers side by side


class VAE(nn.Module, GenerativeModel):
    """A variational auto-encoder; log_prob is a lower bound (density "bound").

    Shapes      x (N, dimensions), or images of as many pixels: 0/1 for bernoulli, any numbers for gaussian, whole numbers
                below `levels` for categorical; y (N,) labels if classes are given
    Parameters  encoder (hidden), mu, logvar; decoder (hidden), out; log_sigma for gaussian; prior_* for a mixture prior
    Settings    prior: 1 for N(0, I), K for a learned mixture of K Gaussians. conv: images of side sqrt(dimensions)

    Example
    >>> sum(p.numel() for p in VAE(784, hidden=500, z=20).parameters())
    815824
    """

    density = "bound"

    def __init__(
        self,
        dimensions=784,
        hidden=500,
        z=20,
        likelihood="bernoulli",
        levels=256,
        beta=1.0,
        classes=0,
        prior=1,
        conv=False,
    ):
        super().__init__()
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"VAE: likelihood must be one of {', '.join(LIKELIHOODS)}; got {likelihood!r}")
        if min(dimensions, hidden, z, prior) < 1 or beta < 0:
            raise ValueError(f"VAE: sizes must be at least 1 and beta 0; got {(dimensions, hidden, z, prior, beta)}")
        self.dimensions, self.z, self.likelihood, self.levels = dimensions, z, likelihood, levels
        self.beta, self.classes = beta, classes
        per_pixel = levels if likelihood == "categorical" else 1
        if conv:
            size = round(dimensions**0.5)
            if size * size != dimensions or size % 4:
                raise ValueError(f"VAE: conv needs square images with a side divisible by 4; got {dimensions} pixels")
            self.encoder = ConvEncoder(size, dimensions + classes, hidden)
            self.decoder = ConvDecoder(size, z + classes, per_pixel)
        else:
            self.encoder = nn.Sequential(nn.Linear(dimensions + classes, hidden), nn.Tanh())
            self.decoder = nn.Sequential(
                nn.Linear(z + classes, hidden), nn.Tanh(), nn.Linear(hidden, dimensions * per_pixel)
            )
        self.mu, self.logvar = nn.Linear(hidden, z), nn.Linear(hidden, z)
        if likelihood == "gaussian":
            self.log_sigma = nn.Parameter(np.zeros((), np.float32))
        if prior > 1:
            rng = np.random.default_rng(0)
            self.prior_logits = nn.Parameter(np.zeros(prior, np.float32))
            self.prior_loc = nn.Parameter(rng.standard_normal((prior, z)).astype(np.float32))
            self.prior_log_scale = nn.Parameter(np.zeros((prior, z), np.float32))
        self.components = prior

    def _vectors(self, x):
        x = x if isinstance(x, Tensor) else Tensor(array(x))
        x = x.flatten(1) if len(x.shape) > 2 else x
        if len(x.shape) != 2 or x.shape[1] != self.dimensions:
            raise ValueError(f"VAE: expected {self.dimensions} numbers a sample; got shape {x.shape}")
        return x.to(self.mu.weight.dtype)

    def _condition(self, x, y, what):
        if not self.classes:
            if y is not None:
                raise ValueError("VAE: labels were given, but the model has no classes; hint: VAE(classes=10)")
            return x
        if y is None:
            raise ValueError(f"VAE: this is a conditional model: {what} needs labels y")
        labels = np.asarray(y.array if isinstance(y, Tensor) else y).astype(np.int64)
        if labels.min() < 0 or labels.max() >= self.classes or labels.shape != (x.shape[-2],):
            raise ValueError(f"VAE: labels must be ({x.shape[-2]},) numbers 0 to {self.classes - 1}")
        hot = np.broadcast_to(np.eye(self.classes, dtype=x.dtype)[labels], (*x.shape[:-1], self.classes))
        return cat([x, Tensor(hot.copy())], -1)

    def encode(self, x, y=None):
        """q(z | x): an Independent Normal of batch shape (N,)."""
        h = self.encoder(self._condition(self._vectors(x), y, "encode"))
        return Independent(Normal(self.mu(h), (0.5 * self.logvar(h).clamp(-20, 20)).exp()), 1)

    def decode(self, z, y=None):
        """p(x | z) for z (..., N, Z): a distribution whose log_prob is (..., N)."""
        z = z if isinstance(z, Tensor) else Tensor(np.asarray(z, np.float32))
        if z.shape[-1] != self.z:
            raise ValueError(f"VAE: the latent must have shape (N, {self.z}); got {z.shape}")
        lead = z.shape[:-1]
        flat = self.decoder(self._condition(z, y, "decode").reshape(-1, self.z + self.classes))
        if self.likelihood == "categorical":
            return Independent(Categorical(logits=flat.reshape(*lead, self.dimensions, self.levels)), 1)
        flat = flat.reshape(*lead, self.dimensions)
        if self.likelihood == "bernoulli":
            return Independent(Bernoulli(logits=flat), 1)
        return Independent(Normal(flat, self.log_sigma.clamp(-7, 7).exp()), 1)

    def prior(self):
        """p(z)."""
        if self.components == 1:
            like = self.mu.weight.dtype
            return Independent(Normal(Tensor(np.zeros(self.z, like)), Tensor(np.ones(self.z, like))), 1)
        parts = Independent(Normal(self.prior_loc, self.prior_log_scale.clamp(-7, 7).exp()), 1)
        return MixtureSameFamily(Categorical(logits=self.prior_logits), parts)

    def elbo(self, x, y=None, samples=1, free_bits=0.0, generator=None):
        """(reconstruction, kl), each (N,), in nats an image."""
        x = self._vectors(x)
        return elbo(x, lambda z: self.decode(z, y), self.encode(x, y), self.prior(), samples, free_bits, generator)

    def log_prob(self, x, y=None):
        """reconstruction - beta KL, (N,): for beta = 1 a lower bound of log p(x), from one sample of q."""
        reconstruction, kl = self.elbo(x, y)
        return reconstruction - self.beta * kl

    def iwae(self, x, k=50, y=None, generator=None, batch=50):
        """The importance-weighted bound (N,) as an array."""
        x, parts = self._vectors(x).array, []
        with no_grad():
            for i in range(0, len(x), batch):
                part, labels = Tensor(x[i : i + batch]), None if y is None else np.asarray(y)[i : i + batch]
                decoder = lambda z, labels=labels: self.decode(z, labels)  # noqa: E731
                q = self.encode(part, labels)
                parts.append(iwae_bound(part, decoder, q, self.prior(), k, generator).array)
        return np.concatenate(parts)

    def sample(self, n, seed=None, y=None, mean=False):
        """n samples (n, D) of the decoder's distribution at z from the prior; mean: its mean instead (grey values)."""
        self.eval()
        generator = seeded(seed)
        with no_grad():
            p = self.decode(self.prior().sample((n,), generator), y)
            return p.base.mean if mean else p.sample((), generator)

    def reconstruct(self, x, y=None):
        """The decoder's mean at the posterior's mean, (N, D)."""
        with no_grad():
            return self.decode(self.encode(x, y).mean, y).base.mean

    def fit(self, x, y=None, epochs=30, lr=1e-3, batch_size=100, seed=0, validation=None, **settings):
        """Raise the bound by Adam. With labels (conditional) pass y, and no validation. Returns the history."""
        vectors = self._vectors(x)
        if self.likelihood == "bernoulli" and not ((vectors.array == 0) | (vectors.array == 1)).all():
            raise ValueError("VAE: a bernoulli likelihood is of 0 and 1; hint: binarise, or likelihood='gaussian'")
        optimizer = Adam(self.parameters(), lr=lr)
        if y is None:
            return fit_likelihood(self, vectors.array, optimizer, epochs, batch_size, seed, validation, **settings)
        labelled = _Labelled(self, np.asarray(y.array if isinstance(y, Tensor) else y))
        indices = np.arange(len(vectors.array))[:, None]
        labelled.x = vectors.array
        return fit_likelihood(labelled, indices, optimizer, epochs, batch_size, seed, **settings)


class _Labelled:
    """A VAE with its data, so that fit_likelihood can draw (image, label) pairs by index."""

    def __init__(self, model, labels):
        self.model, self.labels, self.x = model, labels, None
        self.train, self.eval, self.modules = model.train, model.eval, model.modules
        self.state_dict, self.load_state_dict = model.state_dict, model.load_state_dict

    def log_prob(self, rows):
        rows = np.asarray(rows)[:, 0].astype(np.int64)
        return self.model.log_prob(Tensor(self.x[rows]), self.labels[rows])
