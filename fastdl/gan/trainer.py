"""One loop for generators and discriminators: two optimizers, critic steps, penalties, averaged weights, a log."""

import copy

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.training import Training
from fastdl.gan.augment import diff_augment
from fastdl.gan.losses import LOSSES, accuracy, discriminator_loss, generator_loss, gradient_penalty, r1_penalty
from fastdl.ops.random import Generator
from fastdl.optim import Adam


def check_images(x, name="fit", shape=None, least=2):
    """x (N, C, H, W) or (N, D) as float32 in [-1, 1], or the error that says what to do about it."""
    a = np.asarray(x.array if isinstance(x, Tensor) else x)
    if a.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected numbers; got an array of {a.dtype}")
    if a.ndim not in (2, 4):
        raise ValueError(f"{name}: expected images (N, C, H, W) or vectors (N, D); got shape {a.shape}")
    if len(a) < least:
        raise ValueError(
            f"{name}: {len(a)} image(s) are too few to learn a distribution from; at least {least} are needed"
        )
    if shape is not None and a.shape[1:] != tuple(shape):
        raise ValueError(f"{name}: expected images of shape {tuple(shape)}; got {a.shape[1:]}")
    low, high = (float(a.min()), float(a.max())) if a.size else (0.0, 0.0)
    if not (low >= -1.001 and high <= 1.001):
        raise ValueError(
            f"{name}: images must lie in [-1, 1], as the generator's tanh does; these lie in [{low:.4g}, {high:.4g}]: "
            f"hint: x * 2 - 1 for 0..1, x / 127.5 - 1 for 0..255"
        )
    return a.astype(np.float32, copy=False)


class Average:
    """A copy of a network (or `into`) whose weights follow the original's as a running mean; buffers are copied.

    Maths  w_average <- decay w_average + (1 - decay) w
    """

    def __init__(self, module, decay=0.999, into=None):
        if not 0 <= decay < 1:
            raise ValueError(f"Average: decay must lie in [0, 1); got {decay}")
        self.module, self.decay = copy.deepcopy(module) if into is None else into, decay

    def update(self, module):
        """Take one step towards `module`."""
        for mine, its in zip(self.module.parameters(), module.parameters(), strict=True):
            mine.array[...] *= self.decay
            mine.array[...] += (1 - self.decay) * its.array
        for mine, its in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.array[...] = its.array

    def state_dict(self) -> dict:
        """The averaged weights."""
        return self.module.state_dict()

    def load_state_dict(self, state):
        """Go on from a state_dict."""
        self.module.load_state_dict(state)


class ImagePool:
    """The last generated images, for the discriminator: with probability 1/2 it is shown an older one instead.

    Ref  Shrivastava et al. 2017, arXiv 1612.07828
    """

    def __init__(self, size=50, seed=0):
        self.size, self.images, self.rng = size, [], np.random.default_rng(seed)

    def query(self, images):
        """A batch like `images` (N, ...), some of it exchanged for what it was given before."""
        if self.size == 0:
            return images
        out = []
        for image in images.array:
            if len(self.images) < self.size:
                self.images.append(image.copy())
                out.append(image)
            elif self.rng.random() < 0.5:
                i = int(self.rng.integers(len(self.images)))
                out.append(self.images[i])
                self.images[i] = image.copy()
            else:
                out.append(image)
        return Tensor(np.stack(out))

    def state_dict(self) -> dict:
        """The images kept, and the stream of the draws."""
        return {"images": list(self.images), "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state):
        """Go on from a state_dict."""
        self.images = [np.array(image) for image in state["images"]]
        self.rng.bit_generator.state = state["rng"]


class GANTrainer:
    """Alternates discriminator and generator steps.

    latent(n, generator) gives what the generator takes: (n, ...). loss: see fastdl.gan.losses. n_critic discriminator
    steps come before each generator step. penalty: "gp" (weight times (|grad| - 1)^2) or "r1" (weight / 2 times |grad|^2).
    drift: adds drift * D(real)^2. ema: decay of an average of the generator, .average.module, or an Average.
    augment: ways of fastdl.gan.diff_augment in which all that the discriminator sees is changed first, () for none.
    """

    def __init__(
        self,
        generator,
        discriminator,
        g_optimizer,
        d_optimizer,
        latent,
        loss="nonsaturating",
        n_critic=1,
        penalty=None,
        penalty_weight=10.0,
        drift=0.0,
        ema=None,
        seed=0,
        augment=(),
    ):
        if loss not in LOSSES:
            raise ValueError(f"GANTrainer: loss must be one of {', '.join(LOSSES)}; got {loss!r}")
        if penalty not in (None, "gp", "r1"):
            raise ValueError(f"GANTrainer: penalty must be None, 'gp' or 'r1'; got {penalty!r}")
        if n_critic < 1:
            raise ValueError(f"GANTrainer: n_critic must be at least 1; got {n_critic}")
        self.generator, self.discriminator = generator, discriminator
        self.g_optimizer, self.d_optimizer, self.latent = g_optimizer, d_optimizer, latent
        self.loss, self.n_critic, self.penalty, self.penalty_weight, self.drift = (
            loss, n_critic, penalty, penalty_weight, drift,
        )  # fmt: skip
        self.average = Average(generator, ema) if isinstance(ema, float) else ema
        self.seed, self.random, self.steps, self.augment = seed, Generator().manual_seed(seed), 0, augment

    def _seen(self, x):
        """What the discriminator is shown of images x."""
        return diff_augment(x, self.augment, self.random) if self.augment else x

    def discriminator_step(self, real) -> dict:
        """One update of the discriminator on real samples (Tensor) and as many generated ones."""
        with no_grad():
            fake = self._seen(self.generator(self.latent(real.shape[0], self.random)))
            real = self._seen(real)
        self.d_optimizer.zero_grad()
        on_real, on_fake = self.discriminator(real), self.discriminator(fake)  # apart: no batch norm over both
        loss = discriminator_loss(self.loss, on_real, on_fake)
        record = {"d_loss": loss.item(), "d_real": float(on_real.array.mean()), "d_fake": float(on_fake.array.mean())}
        record["d_accuracy"] = accuracy(on_real, on_fake)
        if self.penalty == "gp":
            extra = gradient_penalty(self.discriminator, real, fake, generator=self.random)
            loss = loss + self.penalty_weight * extra
            record["penalty"] = extra.item()
        elif self.penalty == "r1":
            extra = r1_penalty(self.discriminator, real)
            loss = loss + 0.5 * self.penalty_weight * extra
            record["penalty"] = extra.item()
        if self.drift:
            loss = loss + self.drift * (on_real * on_real).mean()
        loss.backward()
        self.d_optimizer.step()
        return record

    def generator_step(self, n) -> dict:
        """One update of the generator on n generated samples; the discriminator is left as it is."""
        self.g_optimizer.zero_grad()
        self.discriminator.requires_grad_(False)
        fake = self._seen(self.generator(self.latent(n, self.random)))
        loss = generator_loss(self.loss, self.discriminator(fake))
        loss.backward()
        self.discriminator.requires_grad_(True)
        self.g_optimizer.step()
        if self.average is not None:
            self.average.update(self.generator)
        return {"g_loss": loss.item()}

    def step(self, real) -> dict:
        """One discriminator step, and after every n_critic-th a generator step; the record of what happened."""
        record = self.discriminator_step(real)
        self.steps += 1
        if self.steps % self.n_critic == 0:
            record |= self.generator_step(real.shape[0])
        for name, value in record.items():
            if not np.isfinite(value):
                raise RuntimeError(
                    f"GANTrainer: {name} is {value} at step {self.steps}: training has diverged; hint: a lower learning "
                    "rate, or penalty='gp'"
                )
        return record

    def training(self, steps, each=None, every=100, keep=None, model=None) -> Training:
        """The loop over `steps` steps, with all of this trainer's state in it."""
        training = Training(
            model or nn.ModuleList([self.generator, self.discriminator]), steps,
            {"generator": self.g_optimizer, "discriminator": self.d_optimizer}, self.seed, each, every, keep,
            {} if self.average is None else {"average": self.average},
        )  # fmt: skip
        training.random = self.random
        return training

    def fit(self, x, steps=None, epochs=None, batch_size=64, each=None, every=100, keep=None, model=None) -> list:
        """Train on x (N, ...) in [-1, 1] for `steps` discriminator steps, or so many epochs; returns the log.

        The log has a mean record for every `every` steps. each(step, record) is called with each of them. keep, model: see
        Training; model is the module whose weights are kept.
        """
        x = check_images(x, "GANTrainer.fit")
        if (steps is None) == (epochs is None):
            raise ValueError("GANTrainer.fit: give either steps or epochs")
        batch_size = min(batch_size, len(x))
        per_epoch = len(x) // batch_size
        self.generator.train()
        self.discriminator.train()
        training = self.training(steps if steps is not None else epochs * per_epoch, each, every, keep, model)
        for step in training:
            k = (step - 1) % per_epoch
            if k == 0:
                training.values["order"] = training.rng.permutation(len(x))
            rows = training.values["order"][k * batch_size : (k + 1) * batch_size]
            self.steps = step - 1
            training.record(**self.step(Tensor(x[rows])))
        return training.log


def adam_trainer(
    model, loss="nonsaturating", g_lr=2e-4, d_lr=2e-4, betas=(0.5, 0.999), seed=0, **settings
) -> GANTrainer:
    """The GANTrainer of a model with generator, discriminator and latent(n, generator), Adam for both networks.

    The defaults are DCGAN's; other settings are GANTrainer's.
    """
    networks = model.generator, model.discriminator
    optimizers = [Adam(net.parameters(), lr=lr, betas=betas) for net, lr in zip(networks, (g_lr, d_lr), strict=True)]
    return GANTrainer(*networks, *optimizers, model.latent, loss, seed=seed, **settings)
