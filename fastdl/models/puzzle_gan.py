"""Puzzle-GAN: a whole image from a few of its patches, whose places are not told.

Each patch is enlarged to the size of the image, so its place is hidden, and goes through one shared encoder: 5x5 stride 2
convolutions f, 2f, 4f, 8f, then 4x4 to 2f numbers; the encodings are summed over the patches at every scale, so their order does
not matter. A mask generator (transposed convolutions back, beside the encoder's features) says where the patches lie; an image
generator (from the encoding and z, beside the mask generator's features) paints the image.

Losses of G: adversarial + w1 |mask - true mask| + w2 |image x mask - real x true mask|. The discriminator also refuses hard fakes:
a real image with the patches of another pasted in, and these patches pasted into another image.

Ref  Lee, Yun, Choi, Yoo, Yang, Oh, "Unsupervised Holistic Image Generation from Key Local Patches", 2018, arXiv 1703.10730;
     jigsaw variant: Li et al., "JigsawGAN", 2022, arXiv 2101.07555
"""

from itertools import pairwise, permutations

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.generative import GenerativeModel, seeded
from fastdl.distributions.training import Training
from fastdl.gan import check_images
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.ops.random import randn
from fastdl.ops.shape import cat
from fastdl.optim import Adam


def key_patches(x, patches=3, size=10):
    """(N, patches, 2) top left corners of windows with the largest gradient energy that do not overlap; x (N, C, H, W)."""
    x = np.asarray(x, np.float32)
    N, _, H, W = x.shape
    if size > min(H, W) or patches * size * size > H * W:
        raise ValueError(f"key_patches: {patches} windows of {size}x{size} do not fit into {H}x{W}")
    energy = np.zeros((N, H + 1, W + 1))
    energy[:, 1:, 1:] = (np.gradient(x, axis=2) ** 2 + np.gradient(x, axis=3) ** 2).sum(1).cumsum(1).cumsum(2)
    window = energy[:, size:, size:] - energy[:, :-size, size:] - energy[:, size:, :-size] + energy[:, :-size, :-size]
    corners = np.zeros((N, patches, 2), np.int64)
    for n in range(N):
        score = window[n] + 1e-6 * np.arange(window[n].size)[::-1].reshape(window[n].shape)
        for k in range(patches):
            if not np.isfinite(score).any() or score.max() == -np.inf:
                raise ValueError(f"key_patches: no room is left for window {k + 1} of {patches}; hint: smaller windows")
            r, c = np.unravel_index(score.argmax(), score.shape)
            corners[n, k] = r, c
            score[max(0, r - size + 1) : r + size, max(0, c - size + 1) : c + size] = -np.inf
    return corners


def cut(x, corners, size):
    """(patches enlarged to the image's size (N, P, C, H, W), masks (N, 1, H, W)) of images and corners (N, P, 2)."""
    x = np.asarray(x, np.float32)
    N, C, H, W = x.shape
    P = corners.shape[1]
    masks, pieces = np.zeros((N, 1, H, W), np.float32), np.zeros((N, P, C, size, size), np.float32)
    for n in range(N):
        for k, (r, c) in enumerate(corners[n]):
            masks[n, :, r : r + size, c : c + size] = 1
            pieces[n, k] = x[n, :, r : r + size, c : c + size]
    with no_grad():
        large = F.interpolate(Tensor(pieces.reshape(N * P, C, size, size)), size=(H, W), mode="bilinear").array
    return np.ascontiguousarray(large).reshape(N, P, C, H, W), masks


class PartEncoder(nn.Module):
    """Patches (N, P, C, S, S) -> features of four sizes and a code (N, 2f, 1, 1), summed over the patches."""

    def __init__(self, channels, f, image_size):
        super().__init__()
        widths = [channels, f, 2 * f, 4 * f, 8 * f]
        self.convs = nn.ModuleList([nn.Conv2d(a, b, 5, 2, 2) for a, b in pairwise(widths)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(b) for b in widths[2:]])
        self.last = nn.Conv2d(8 * f, 2 * f, image_size // 16)

    def forward(self, patches):
        N, P = patches.shape[:2]
        h, features = patches.reshape(N * P, *patches.shape[2:]), []
        for i, conv in enumerate(self.convs):
            h = conv(h)
            h = F.leaky_relu(self.norms[i - 1](h) if i else h, 0.2)
            features.append(h.reshape(N, P, *h.shape[1:]).sum(1))
        code = self.last(h)
        return features, code.reshape(N, P, *code.shape[1:]).sum(1)


class Decoder(nn.Module):
    """A code (N, inputs, 1, 1) and four maps of features to put beside -> (N, outputs, S, S), and its own features."""

    def __init__(self, inputs, beside, f, outputs, image_size):
        super().__init__()
        self.first = nn.ConvTranspose2d(inputs, 8 * f, image_size // 16)
        widths = [8 * f, 4 * f, 2 * f, f, outputs]
        self.deconvs = nn.ModuleList(
            [
                nn.ConvTranspose2d(a + b, c, 5, 2, 2, output_padding=1)
                for a, b, c in zip(widths, beside, widths[1:], strict=False)
            ]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(w) for w in widths[:4]])

    def forward(self, code, beside):
        h, kept = F.relu(self.norms[0](self.first(code))), []
        for i, deconv in enumerate(self.deconvs):
            kept.append(h)
            h = deconv(cat([h, *beside[i]], 1))
            if i < 3:
                h = F.relu(self.norms[i + 1](h))
        return h, kept


class Discriminator(nn.Module):
    """Images (N, C, S, S) -> logits (N,)."""

    def __init__(self, channels, f, image_size):
        super().__init__()
        widths = [channels, f, 2 * f, 4 * f, 8 * f]
        layers = []
        for i, (a, b) in enumerate(pairwise(widths)):
            layers += [nn.Conv2d(a, b, 5, 2, 2), *([nn.BatchNorm2d(b)] if i else []), nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*layers, nn.Conv2d(8 * f, 1, image_size // 16))

    def forward(self, x):
        return self.main(x).reshape(x.shape[0])


class PuzzleGAN(nn.Module, GenerativeModel):
    """Part encoder, mask generator, image generator, discriminator; density "none".

    The published size is image_size 64, channels 3, f 64, z 128.
    """

    density = "none"

    def __init__(self, patches=3, image_size=64, channels=3, f=64, z=128, patch=None):
        super().__init__()
        if image_size % 16:
            raise ValueError(f"PuzzleGAN: image_size must be divisible by 16; got {image_size}")
        self.patches, self.image_size, self.channels, self.z = patches, image_size, channels, z
        self.patch = patch or round(image_size * 10 / 32)
        own, parts = [8 * f, 4 * f, 2 * f, f], [8 * f, 4 * f, 2 * f, f]
        self.encoder = PartEncoder(channels, f, image_size)
        self.mask_generator = Decoder(2 * f, parts, f, 1, image_size)
        self.image_generator = Decoder(
            2 * f + z, [a + b for a, b in zip(own, parts, strict=True)], f, channels, image_size
        )
        self.discriminator = Discriminator(channels, f, image_size)
        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
                init.normal_(m.weight, 0.0, 0.02)

    def forward(self, patches, z):
        """(images (N, C, S, S) in [-1, 1], masks (N, 1, S, S) in 0..1) from patches (N, P, C, S, S) and z (N, z)."""
        image, logits = self.paint(patches, z)
        return image, logits.sigmoid()

    def paint(self, patches, z):
        """As forward, with the logits of the masks."""
        if len(z.shape) != 2 or z.shape[1] != self.z:
            raise ValueError(f"PuzzleGAN: the latent must have shape (N, {self.z}); got {z.shape}")
        if patches.shape[2:] != (self.channels, self.image_size, self.image_size):
            size = self.image_size
            raise ValueError(
                f"PuzzleGAN: patches must be (N, P, {self.channels}, {size}, {size}), enlarged by cut(); got {patches.shape}"
            )
        features, code = self.encoder(patches)
        beside = [[h] for h in reversed(features)]
        mask, kept = self.mask_generator(code, beside)
        image, _ = self.image_generator(
            cat([code, z.reshape(*z.shape, 1, 1)], 1), [[a, b[0]] for a, b in zip(kept, beside, strict=True)]
        )
        return image.tanh(), mask

    def fit(
        self, x, steps=1000, batch_size=32, lr=2e-4, w_mask=10.0, w_appearance=10.0, seed=0, each=None, every=100,
        keep=None, mask_loss="l1",
    ):  # fmt: skip
        """Train on images in [-1, 1]; the patches are cut where the gradient energy is largest. Returns the log.

        mask_loss: "l1" as published, or "bce": cross-entropy. An absolute error is least for an empty mask wherever less than half
        of the guesses are right, and a sigmoid that has gone to 0 does not come back; cross-entropy brings it back.
        """
        if mask_loss not in ("l1", "bce"):
            raise ValueError(f"PuzzleGAN.fit: mask_loss must be 'l1' or 'bce'; got {mask_loss!r}")
        x = check_images(x, "PuzzleGAN.fit", (self.channels, self.image_size, self.image_size))
        corners = key_patches(x, self.patches, self.patch)
        d_optimizer = Adam(self.discriminator.parameters(), lr=lr, betas=(0.5, 0.999))
        painters = [p for m in (self.encoder, self.mask_generator, self.image_generator) for p in m.parameters()]
        g_optimizer = Adam(painters, lr=lr, betas=(0.5, 0.999))
        self.train()
        training = Training(self, steps, {"g": g_optimizer, "d": d_optimizer}, seed, each, every, keep)
        rng, generator = training.rng, training.random
        for _ in training:
            rows = rng.choice(len(x), min(batch_size, len(x)), replace=False)
            real, (parts, masks) = x[rows], cut(x[rows], corners[rows], self.patch)
            truth, parts, masks = Tensor(real), Tensor(parts), Tensor(masks)
            other = real[rng.permutation(len(rows))]
            pasted = [
                Tensor(other * masks.array + real * (1 - masks.array)),
                Tensor(real * masks.array + other * (1 - masks.array)),
            ]
            g_optimizer.zero_grad()
            self.discriminator.requires_grad_(False)
            image, logits = self.paint(parts, randn(len(rows), self.z, generator=generator))
            mask = logits.sigmoid()
            adversarial = F.softplus(-self.discriminator(image)).mean()
            spatial = (mask - masks).abs().mean()
            told = spatial if mask_loss == "l1" else F.binary_cross_entropy_with_logits(logits, masks)
            appearance = (image * mask - truth * masks).abs().mean()
            (adversarial + w_mask * told + w_appearance * appearance).backward()
            self.discriminator.requires_grad_(True)
            g_optimizer.step()

            d_optimizer.zero_grad()
            fakes = [image.detach(), *pasted]
            d_loss = F.softplus(-self.discriminator(truth)).mean()
            d_loss = d_loss + sum(F.softplus(self.discriminator(f)).mean() for f in fakes) * (1 / 3)
            d_loss.backward()
            d_optimizer.step()
            record = {"d_loss": d_loss, "adversarial": adversarial, "mask": spatial, "appearance": appearance}
            training.record(**{name: value.item() for name, value in record.items()})
        return training.log

    def restore(self, x, seed=None):
        """(images, masks, true masks) painted from the key patches of images x (N, C, S, S)."""
        x = check_images(x, "PuzzleGAN.restore", (self.channels, self.image_size, self.image_size), least=1)
        parts, truth = cut(x, key_patches(x, self.patches, self.patch), self.patch)
        self.eval()
        with no_grad():
            image, mask = self(Tensor(parts), randn(len(x), self.z, generator=seeded(seed)))
        return image, mask, Tensor(truth)


def mask_iou(mask, truth) -> float:
    """Mean intersection over union of masks (N, 1, H, W), those above 1/2."""
    a, b = (np.asarray(m.array if isinstance(m, Tensor) else m) > 0.5 for m in (mask, truth))
    return float(((a & b).sum((1, 2, 3)) / np.maximum((a | b).sum((1, 2, 3)), 1)).mean())


class Jigsaw(nn.Module):
    """Which of the 24 orders four quarters of an image were put in: (N, C, S, S) -> logits (N, 24).

    Each quarter goes through one shared encoder; a dense layer sees all four codes.
    """

    ORDERS = tuple(permutations(range(4)))

    def __init__(self, channels=1, size=28, f=16):
        super().__init__()
        half = size // 2
        if size % 2 or half < 4:
            raise ValueError(f"Jigsaw: the image's side must be even and at least 8; got {size}")
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, f, 3, padding=1), nn.ReLU(), nn.Conv2d(f, 2 * f, 3, 2, 1), nn.ReLU(), nn.Flatten(),
            nn.Linear(2 * f * ((half + 1) // 2) ** 2, 64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 24))

    @staticmethod
    def quarters(x):
        """(N, 4, C, S/2, S/2): top left, top right, bottom left, bottom right."""
        N, C, S, _ = x.shape
        return x.reshape(N, C, 2, S // 2, 2, S // 2).transpose(0, 2, 4, 1, 3, 5).reshape(N, 4, C, S // 2, S // 2)

    @classmethod
    def shuffle(cls, x, rng):
        """(quarters in a random order (N, 4, C, h, h), the numbers of the orders (N,))."""
        q, labels = cls.quarters(np.asarray(x)), rng.integers(0, 24, len(x))
        return q[np.arange(len(x))[:, None], np.array(cls.ORDERS)[labels]], labels

    @classmethod
    def assemble(cls, quarters, labels):
        """The images (N, C, S, S) from shuffled quarters and the orders that they are thought to be in."""
        back = np.argsort(np.array(cls.ORDERS)[labels], 1)
        q = quarters[np.arange(len(quarters))[:, None], back]
        N, _, C, h, _ = q.shape
        return q.reshape(N, 2, 2, C, h, h).transpose(0, 3, 1, 4, 2, 5).reshape(N, C, 2 * h, 2 * h)

    def forward(self, quarters):
        N = quarters.shape[0]
        return self.head(self.encoder(quarters.reshape(N * 4, *quarters.shape[2:])).reshape(N, -1))
