"""Text to image: a sentence in, an image out: a DCGAN whose generator and discriminator are told the text.

Text encoder -> t (text_dim). G: t -> dense 128, leaky ReLU, beside z 100 -> DCGAN generator. D: convolutions to a 4x4 map, beside
the 128 numbers of the text at every place, 1x1 convolution, 4x4 score.

GAN-CLS: D also sees real images with the wrong text, and must refuse them. GAN-INT: G also learns from texts halfway between two.
The encoder is trained first, with an image encoder, so that a sentence scores highest with its own image (structured joint
embedding), and is then frozen. Small: words and a GRU; published: characters, convolutions and an RNN (CharCNNRNN, 1,024 numbers).

Ref  Reed, Akata, Yan, Logeswaran, Schiele, Lee, "Generative Adversarial Text to Image Synthesis", 2016, arXiv 1605.05396;
     Reed, Akata, Lee, Schiele, "Learning Deep Representations of Fine-Grained Visual Descriptions", 2016 (encoder)
"""

import re

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.generative import GenerativeModel, seeded
from fastdl.distributions.training import Training
from fastdl.gan import check_images
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.ops.linalg import matmul
from fastdl.ops.random import randn
from fastdl.ops.shape import cat
from fastdl.optim import Adam

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "


def words_of(text):
    """The lower-case words of a sentence."""
    return re.findall(r"[a-z0-9]+", text.lower())


class Vocabulary:
    """Words and their numbers; 0 fills short sentences up."""

    def __init__(self, captions):
        self.words = sorted({w for caption in captions for w in words_of(caption)})
        self.index = {w: i + 1 for i, w in enumerate(self.words)}
        self.length = max(len(words_of(caption)) for caption in captions)
        if not self.words:
            raise ValueError("Vocabulary: the captions hold no words")

    def __len__(self):
        return len(self.words) + 1

    def encode(self, captions, length=None) -> np.ndarray:
        """(N, T) int64, filled up with 0 on the left; ValueError for words that were never seen.

        T: `length`, or that of the longest sentence known, so that a sentence is the same whatever stands beside it.
        """
        rows = [words_of(c) for c in ([captions] if isinstance(captions, str) else captions)]
        for row in rows:
            if not row:
                raise ValueError("a caption is empty")
            unknown = [w for w in row if w not in self.index]
            if unknown:
                raise ValueError(
                    f"unknown words: {', '.join(unknown)}; known are {', '.join(self.words[:40])}"
                    + (" ..." if len(self.words) > 40 else "")
                )
        T = length or max(self.length, *map(len, rows))
        return np.array([[0] * (T - len(r)) + [self.index[w] for w in r][-T:] for r in rows], np.int64)


class TextEncoder(nn.Module):
    """Word numbers (N, T) -> (N, text_dim): embeddings, a GRU, its last state."""

    def __init__(self, vocabulary, text_dim=64, embedding=32):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.gru = nn.GRU(embedding, text_dim, batch_first=True)

    def forward(self, ids):
        ids = ids if isinstance(ids, Tensor) else Tensor(np.asarray(ids))
        return self.gru(self.embedding(ids))[1][-1]


class CharCNNRNN(nn.Module):
    """Sentences of up to 201 characters -> (N, 1024): three convolutions with pooling, an RNN, its mean state, a dense layer.

    Shapes      ids (N, 201) places in ALPHABET, -1 past the end -> (N, text_dim)
    """

    def __init__(self, text_dim=1024, width=512, first=384):
        super().__init__()
        self.conv1 = nn.Conv1d(len(ALPHABET), first, 4)
        self.conv2, self.conv3 = nn.Conv1d(first, width, 4), nn.Conv1d(width, width, 4)
        self.rnn = nn.RNN(width, width, batch_first=True)
        self.project = nn.Linear(width, text_dim)

    @staticmethod
    def encode(captions, length=201) -> np.ndarray:
        """(N, length) places of the characters in ALPHABET; others and the end are -1."""
        table = {c: i for i, c in enumerate(ALPHABET)}
        rows = [[table.get(c, -1) for c in text.lower()[:length]] for text in captions]
        return np.array([r + [-1] * (length - len(r)) for r in rows], np.int64)

    def forward(self, ids):
        ids = np.asarray(ids.array if isinstance(ids, Tensor) else ids)
        hot = (ids[..., None] == np.arange(len(ALPHABET))).astype(self.conv1.weight.dtype)
        x = Tensor(hot.transpose(0, 2, 1))
        for conv, size in ((self.conv1, 3), (self.conv2, 3), (self.conv3, 2)):
            x = F.max_pool1d(F.relu(conv(x)), size)
        return self.project(self.rnn(x.permute(0, 2, 1))[0].mean(1))


def joint_embedding_loss(images, texts, same):
    """Structured hinge, both ways: each image scores its own text above the others by 1, each text its own image.

    Shapes  images, texts (N, E); same (N, N) bool: pairs with equal meaning, which cost nothing
    """
    scores = matmul(images, texts.T)  # (N, N)
    own = (scores * Tensor(np.eye(scores.shape[0], dtype=scores.dtype))).sum(1, keepdim=True)  # (N, 1)
    margin = Tensor(1 - np.asarray(same, scores.dtype))
    by_image = F.relu(margin + scores - own) * margin
    by_text = F.relu(margin + scores - own.T) * margin
    return (by_image.mean() + by_text.mean()) * 0.5


class Generator(nn.Module):
    """z (N, latent), t (N, text_dim) -> images (N, channels, size, size) in [-1, 1]."""

    def __init__(self, image_size=64, channels=3, latent=100, text_dim=1024, text=128, ngf=64):
        super().__init__()
        self.latent = latent
        self.project = nn.Sequential(nn.Linear(text_dim, text), nn.LeakyReLU(0.2))
        doublings = int(np.log2(image_size // 4))
        width, layers = ngf * 2 ** (doublings - 1), []
        layers += [nn.ConvTranspose2d(latent + text, width, 4, 1, 0, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        for _ in range(doublings - 1):
            layers += [
                nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width // 2),
                nn.ReLU(),
            ]
            width //= 2
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh())

    def forward(self, z, t):
        if len(z.shape) != 2 or z.shape[1] != self.latent:
            raise ValueError(f"Text2Image: the latent must have shape (N, {self.latent}); got {z.shape}")
        h = cat([z, self.project(t)], 1)
        return self.main(h.reshape(*h.shape, 1, 1))


class Discriminator(nn.Module):
    """Images and t (N, text_dim) -> logits (N,). norm: batch norm as published; without it weights start as He's."""

    def __init__(self, image_size=64, channels=3, text_dim=1024, text=128, ndf=64, norm=True):
        super().__init__()
        normed = (lambda width: [nn.BatchNorm2d(width)]) if norm else lambda width: []
        self.project = nn.Sequential(nn.Linear(text_dim, text), nn.LeakyReLU(0.2))
        layers, width = [nn.Conv2d(channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2)], ndf
        for _ in range(int(np.log2(image_size // 4)) - 1):
            layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=not norm), *normed(2 * width), nn.LeakyReLU(0.2)]
            width *= 2
        self.images = nn.Sequential(*layers)
        self.joint = nn.Sequential(
            nn.Conv2d(width + text, width, 1, bias=not norm), *normed(width), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 4)
        )
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                init.normal_(m.weight, 0.0, 0.02) if norm else init.kaiming_normal_(m.weight, 0.2)

    def forward(self, x, t):
        h, p = self.images(x), self.project(t)
        p = p.reshape(*p.shape, 1, 1).expand(*p.shape, *h.shape[2:])
        return self.joint(cat([h, p], 1)).reshape(x.shape[0])


class Text2Image(nn.Module, GenerativeModel):
    """Encoder, generator and discriminator; density "none".

    captions: all sentences that will occur, for the vocabulary. The published sizes are image_size 64, text_dim 1024, ngf 64.
    d_norm: batch norm in the discriminator, as published. On few and simple images it tells real batches from generated ones by
    their statistics alone, and the text is never learned: on digits in five inks 18 % of the digits were as asked after 600 steps
    with it, 51 % without (and hard wrong texts in both).
    """

    density = "none"

    def __init__(
        self, captions, image_size=64, channels=3, latent=100, text_dim=1024, text=128, ngf=64, ndf=None,
        d_norm=True,
    ):  # fmt: skip
        super().__init__()
        if image_size < 8 or image_size & (image_size - 1):
            raise ValueError(f"Text2Image: image_size must be a power of two from 8; got {image_size}")
        self.vocabulary = captions if isinstance(captions, Vocabulary) else Vocabulary(captions)
        self.image_size, self.channels, self.latent_size = image_size, channels, latent
        self.encoder = TextEncoder(len(self.vocabulary), text_dim)
        self.generator = Generator(image_size, channels, latent, text_dim, text, ngf)
        self.discriminator = Discriminator(image_size, channels, text_dim, text, ndf or ngf, d_norm)
        self.image_encoder = nn.Sequential(
            nn.Conv2d(channels, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * (image_size // 4) ** 2, text_dim),
        )  # fmt: skip
        self.register_buffer("text_mean", Tensor(np.zeros(text_dim, np.float32)))
        self.register_buffer("text_scale", Tensor(np.ones(text_dim, np.float32)))
        for m in self.generator.modules():
            if isinstance(m, nn.ConvTranspose2d):
                init.normal_(m.weight, 0.0, 0.02)

    def embed(self, captions, length=None) -> Tensor:
        """(N, text_dim) of sentences, without a history. Errors: ValueError for unknown words."""
        return self._embed(self.vocabulary.encode(captions, length))

    def _embed(self, ids) -> Tensor:
        with no_grad():
            return Tensor(np.concatenate([self.encoder(ids[i : i + 250]).array for i in range(0, len(ids), 250)]))

    def told(self, captions) -> Tensor:
        """(N, text_dim): what generator and discriminator are told: the embedding with mean 0 and variance 1 a dimension.

        As large as the noise: unscaled (a spread of about 0.3) the text would be a hundredth of the generator's input.
        """
        return Tensor((self.embed(captions).array - self.text_mean.array) / self.text_scale.array)

    def _data(self, x, captions, name):
        x = check_images(x, name, (self.channels, self.image_size, self.image_size))
        if isinstance(captions, str) or len(captions) != len(x):
            raise ValueError(
                f"{name}: {len(x)} images, but {1 if isinstance(captions, str) else len(captions)} captions"
            )
        meaning = {c: i for i, c in enumerate(dict.fromkeys(captions))}
        return x, self.vocabulary.encode(captions), np.array([meaning[c] for c in captions])

    def fit_encoder(self, x, captions, meanings=None, steps=300, batch_size=64, lr=1e-3, seed=0) -> list:
        """Train both encoders by the joint embedding loss; returns the losses.

        meanings (N,): equal numbers for captions that say the same (default: equal captions).
        """
        x, ids, own = self._data(x, captions, "Text2Image.fit_encoder")
        meanings = own if meanings is None else np.asarray(meanings)
        optimizer = Adam([*self.encoder.parameters(), *self.image_encoder.parameters()], lr=lr)
        rng, losses = np.random.default_rng(seed), []
        for _ in range(steps):
            rows = rng.choice(len(x), min(batch_size, len(x)), replace=False)
            optimizer.zero_grad()
            same = meanings[rows][:, None] == meanings[rows]
            loss = joint_embedding_loss(self.image_encoder(Tensor(x[rows])), self.encoder(ids[rows]), same)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        codes = self._embed(ids).array
        self.text_mean.array[...] = codes.mean(0)
        self.text_scale.array[...] = codes.std(0) + 1e-3
        return losses

    def fit(
        self, x, captions, meanings=None, steps=1000, batch_size=64, lr=2e-4, g_lr=None, mismatch=True, interpolate=True,
        hard=0, seed=0, each=None, every=100, keep=None,
    ):  # fmt: skip
        """Train generator and discriminator on images in [-1, 1] and their captions; the encoder stays. Returns the log.

        mismatch: GAN-CLS, real images with wrong texts; interpolate: GAN-INT. Wrong texts never mean the same as the right one;
        hard: of 1 + hard drawn wrong texts the one most like the right one is taken, so that the obvious (a colour) is not all
        that tells them apart.
        """
        x, ids, own = self._data(x, captions, "Text2Image.fit")
        meanings = own if meanings is None else np.asarray(meanings)
        if mismatch and len(np.unique(meanings)) < 2:
            raise ValueError("Text2Image.fit: all captions mean the same, so there are no wrong ones")
        texts = (self._embed(ids).array - self.text_mean.array) / self.text_scale.array
        d_optimizer = Adam(self.discriminator.parameters(), lr=lr, betas=(0.5, 0.999))
        g_optimizer = Adam(self.generator.parameters(), lr=g_lr or lr, betas=(0.5, 0.999))
        self.generator.train()
        self.discriminator.train()
        training = Training(self, steps, {"g": g_optimizer, "d": d_optimizer}, seed, each, every, keep)
        rng, generator = training.rng, training.random
        for _ in training:
            rows = rng.choice(len(x), min(batch_size, len(x)), replace=False)
            n = len(rows)
            real, t = Tensor(x[rows]), Tensor(texts[rows])
            wrong = rng.integers(0, len(x), n)
            while mismatch and (again := meanings[wrong] == meanings[rows]).any():
                wrong[again] = rng.integers(0, len(x), int(again.sum()))
            for _ in range(hard if mismatch else 0):
                other = rng.integers(0, len(x), n)
                far, near = (((texts[w] - t.array) ** 2).sum(1) for w in (wrong, other))
                nearer = (near < far) & (meanings[other] != meanings[rows])
                wrong[nearer] = other[nearer]
            with no_grad():
                fake = self.generator(randn(n, self.latent_size, generator=generator), t)
            d_optimizer.zero_grad()
            loss = F.softplus(-self.discriminator(real, t)).mean()
            refused = F.softplus(self.discriminator(fake, t)).mean()
            if mismatch:
                refused = 0.5 * (refused + F.softplus(self.discriminator(real, Tensor(texts[wrong]))).mean())
            d_loss = loss + refused
            d_loss.backward()
            d_optimizer.step()

            g_optimizer.zero_grad()
            self.discriminator.requires_grad_(False)
            z = randn(n, self.latent_size, generator=generator)
            g_loss = F.softplus(-self.discriminator(self.generator(z, t), t)).mean()
            if interpolate:
                between = Tensor(0.5 * (t.array + texts[rng.permutation(rows)]))
                g_loss = g_loss + F.softplus(-self.discriminator(self.generator(z, between), between)).mean()
            g_loss.backward()
            self.discriminator.requires_grad_(True)
            g_optimizer.step()
            training.record(d_loss=d_loss.item(), g_loss=g_loss.item())
        return training.log

    def generate(self, captions, seed=None) -> Tensor:
        """An image for every sentence (or for one), the generator in evaluation mode."""
        t = self.told(captions)
        self.generator.eval()
        with no_grad():
            return self.generator(randn(t.shape[0], self.latent_size, generator=seeded(seed)), t)

    def sample(self, n, seed=None, captions=("",)):
        """Images of n of the given captions, in turn."""
        return self.generate([captions[i % len(captions)] for i in range(n)], seed)

    def r_precision(self, images, captions, pool, same=None, seed=0, choices=10) -> float:
        """How often an image's own caption is the best of `choices` by the joint embedding; the others come from `pool`.

        same(a, b): do two captions say the same? Those are never among the others (default: equal captions).
        """
        rng, right = np.random.default_rng(seed), 0
        pool = list(dict.fromkeys(pool))
        codes, texts = self._image_codes(images), self.embed(pool).array
        for code, caption, own in zip(codes, captions, self.embed(captions).array, strict=True):
            others = [i for i, c in enumerate(pool) if c != caption and not (same and same(c, caption))]
            chosen = rng.choice(others, min(choices - 1, len(others)), replace=False)
            right += int((texts[chosen] @ code).max() < own @ code)
        return right / len(captions)

    def _image_codes(self, images):
        """(N, text_dim) of images by the joint embedding's own encoder."""
        with no_grad():
            return np.concatenate(
                [self.image_encoder(images[i : i + 250]).array for i in range(0, images.shape[0], 250)]
            )
