"""AAE: an auto-encoder whose codes are made to look like draws of a prior by a discriminator: any prior that can be sampled.

Each batch: 1. reconstruction (encoder, decoder); 2. the discriminator tells prior draws from codes; 3. the encoder fools it.
784-1000-1000-z, z-1000-1000-784 and z-1000-1000-1, ReLU, linear code.

Semi-supervised form (classes > 0): the encoder also gives a softmax y, held to a categorical prior by a discriminator of its
own, and trained by cross-entropy where there are labels; the decoder sees (y, z): style apart from class.

Ref  Makhzani, Shlens, Jaitly, Goodfellow, Frey, "Adversarial Autoencoders", 2015, arXiv 1511.05644
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.generative import GenerativeModel, seeded
from fastdl.distributions.training import Training
from fastdl.gan import check_images, discriminator_loss, generator_loss
from fastdl.nn import functional as F
from fastdl.ops.random import numpy_generator
from fastdl.ops.shape import cat
from fastdl.optim import Adam


def normal(n, z, rng, scale=1.0):
    """N(0, scale^2 I)."""
    return scale * rng.standard_normal((n, z))


def mixture(n, z, rng, components=10, radius=4.0):
    """2-D Gaussians around a ring, long ones pointing outwards; further codes standard normal."""
    k = rng.integers(0, components, n)
    angle = 2 * np.pi * k / components
    along, across = radius + 1.0 * rng.standard_normal(n), 0.35 * rng.standard_normal(n)
    flat = np.stack([along * np.cos(angle) - across * np.sin(angle), along * np.sin(angle) + across * np.cos(angle)], 1)
    return np.concatenate([flat, rng.standard_normal((n, z - 2))], 1)


def swiss_roll(n, z, rng):
    """A spiral of one and a half turns; further codes standard normal."""
    t = np.sqrt(rng.random(n))  # even along the spiral
    angle = 3 * np.pi * t
    flat = 4 * t[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.standard_normal((n, 2))
    return np.concatenate([flat, rng.standard_normal((n, z - 2))], 1)


PRIORS = {"normal": normal, "mixture": mixture, "swiss_roll": swiss_roll}


def _mlp(inputs, hidden, outputs):
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


class AAE(nn.Module, GenerativeModel):
    """An adversarial auto-encoder of vectors in [-1, 1]; density "none".

    Parameters  encoder, decoder, discriminator (and with classes label_discriminator): three dense layers each
    Settings    prior: normal, mixture, swiss_roll, or a function (n, z, rng) -> (n, z)
    """

    density = "none"

    def __init__(self, dimensions=784, z=8, hidden=1000, prior="normal", classes=0):
        super().__init__()
        if isinstance(prior, str):
            if prior not in PRIORS:
                raise ValueError(f"AAE: prior must be one of {', '.join(PRIORS)} or a function; got {prior!r}")
            if prior != "normal" and z < 2:
                raise ValueError(f"AAE: prior {prior} needs at least 2 codes; got {z}")
            prior = PRIORS[prior]
        self.dimensions, self.z, self.prior, self.classes = dimensions, z, prior, classes
        self.encoder = _mlp(dimensions, hidden, z + classes)
        self.decoder = _mlp(z + classes, hidden, dimensions)
        self.discriminator = _mlp(z, hidden, 1)
        if classes:
            self.label_discriminator = _mlp(classes, hidden, 1)

    def _vectors(self, x):
        x = check_images(x, "AAE", least=1).reshape(len(x), -1)
        if x.shape[1] != self.dimensions:
            raise ValueError(f"AAE: expected {self.dimensions} numbers a sample; got {x.shape[1]}")
        return x

    def _split(self, x):
        """(z, label logits or None) of x (N, D)."""
        code = self.encoder(x)
        return (code, None) if not self.classes else (code[:, : self.z], code[:, self.z :])

    def encode(self, x) -> Tensor:
        """Codes (N, z)."""
        with no_grad():
            return self._split(Tensor(self._vectors(x)))[0]

    def classify(self, x) -> np.ndarray:
        """Labels (N,) of the semi-supervised form."""
        if not self.classes:
            raise ValueError("AAE: the model has no classes; hint: AAE(classes=10) and fit(x, labels=...)")
        with no_grad():
            return self._split(Tensor(self._vectors(x)))[1].array.argmax(1)

    def decode(self, z, labels=None) -> Tensor:
        """Images (N, D) in [-1, 1] of codes z (N, z), and of labels (N,) in the semi-supervised form."""
        z = z if isinstance(z, Tensor) else Tensor(np.asarray(z, np.float32))
        if len(z.shape) != 2 or z.shape[1] != self.z:
            raise ValueError(f"AAE: the latent must have shape (N, {self.z}); got {z.shape}")
        if self.classes:
            if labels is None:
                raise ValueError("AAE: this model decodes (label, style): labels are needed")
            z = cat([z, Tensor(np.eye(self.classes, dtype=np.float32)[np.asarray(labels)])], 1)
        return self.decoder(z).tanh()

    def reconstruct(self, x) -> Tensor:
        """Encoded and decoded again."""
        with no_grad():
            z, logits = self._split(Tensor(self._vectors(x)))
            return self.decoder(z if logits is None else cat([z, F.softmax(logits, -1)], 1)).tanh()

    def sample(self, n, seed=None) -> Tensor:
        """n images (n, D) decoded from draws of the prior."""
        rng = numpy_generator(seeded(seed))
        with no_grad():
            z = self.prior(n, self.z, rng).astype(np.float32)
            return self.decode(z, rng.integers(0, self.classes, n) if self.classes else None)

    def fit(
        self, x, steps=2000, batch_size=100, lr=1e-3, adversarial_lr=5e-4, labels=None, seed=0,
        each=None, every=100, keep=None,
    ):  # fmt: skip
        """Train on x (N, D) in [-1, 1]; returns the log.

        labels (N,), for the semi-supervised form: a class, or -1 where it is not known.
        """
        x = self._vectors(check_images(x, "AAE.fit"))
        if (labels is None) != (self.classes == 0):
            raise ValueError(
                "AAE.fit: labels belong to a model with classes, and such a model needs them (-1: not known)"
            )
        if labels is not None:
            labels = np.asarray(labels)
            if labels.shape != (len(x),) or labels.dtype.kind not in "iu":
                raise ValueError(
                    f"AAE.fit: labels must be {len(x)} integers; got {labels.dtype} of shape {labels.shape}"
                )
            if labels.min() < -1 or labels.max() >= self.classes:
                raise ValueError(f"AAE.fit: labels must lie in 0 .. {self.classes - 1}, or be -1 where not known")
        coders = [*self.encoder.parameters(), *self.decoder.parameters()]
        judges = [self.discriminator] + ([self.label_discriminator] if self.classes else [])
        optimizers = {
            "reconstruction": Adam(coders, lr=lr),
            "discriminator": Adam([p for j in judges for p in j.parameters()], lr=adversarial_lr, betas=(0.5, 0.999)),
            "encoder": Adam(self.encoder.parameters(), lr=adversarial_lr, betas=(0.5, 0.999)),
        }
        known = None if labels is None else np.flatnonzero(labels >= 0)
        if known is not None:
            optimizers["labels"] = Adam(self.encoder.parameters(), lr=lr)
        training = Training(self, steps, optimizers, seed, each, every, keep)
        rng = training.rng
        for _ in training:
            batch = Tensor(x[rng.integers(0, len(x), batch_size)])
            record = self._step(batch, optimizers, judges, rng)
            if known is not None and len(known):
                rows = rng.choice(known, min(batch_size, len(known)), replace=False)
                optimizers["labels"].zero_grad()
                loss = F.cross_entropy(self._split(Tensor(x[rows]))[1], labels[rows])
                loss.backward()
                optimizers["labels"].step()
                record["label_loss"] = loss.item()
            training.record(**record)
        return training.log

    def _step(self, batch, optimizers, judges, rng):
        """The three phases on one batch (Tensor)."""
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        z, logits = self._split(batch)
        rebuilt = self.decoder(z if logits is None else cat([z, F.softmax(logits, -1)], 1)).tanh()
        reconstruction = F.mse_loss(rebuilt, batch)
        reconstruction.backward()
        optimizers["reconstruction"].step()

        with no_grad():
            z, logits = self._split(batch)
        n = batch.shape[0]
        truths = [Tensor(self.prior(n, self.z, rng).astype(np.float32))]
        codes = [z]
        if self.classes:
            truths.append(Tensor(np.eye(self.classes, dtype=np.float32)[rng.integers(0, self.classes, n)]))
            codes.append(F.softmax(logits, -1))
        optimizers["discriminator"].zero_grad()
        d_loss = sum(
            discriminator_loss("nonsaturating", d(t), d(c)) for d, t, c in zip(judges, truths, codes, strict=True)
        )
        d_loss.backward()
        optimizers["discriminator"].step()

        optimizers["encoder"].zero_grad()
        z, logits = self._split(batch)
        codes = [z] if logits is None else [z, F.softmax(logits, -1)]
        g_loss = sum(generator_loss("nonsaturating", d(c)) for d, c in zip(judges, codes, strict=True))
        g_loss.backward()
        optimizers["encoder"].step()  # the discriminators' gradients are dropped by zero_grad before their next step
        return {"reconstruction": reconstruction.item(), "d_loss": d_loss.item(), "g_loss": g_loss.item()}
