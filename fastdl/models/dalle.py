"""DALL-E: a discrete VAE turns images into tokens, and one transformer models text tokens followed by image tokens.

    image (N, C, H, W) -> encoder -> scores of `vocab` codes at every place (N, vocab, h, w) -> one code a place
    codes -> decoder -> mean and log scale of each pixel's logit (N, 2 C, H, W)
    caption tokens, image tokens -> causal transformer -> the next token; an image is drawn token by token and decoded

The dVAE's defaults are the published ones: 53,786,240 parameters in the encoder, 43,829,766 in the decoder, under its keys.

Ref  Ramesh et al. 2021, "Zero-Shot Text-to-Image Generation", arXiv 2102.12092; Gumbel-softmax: Jang, Gu, Poole 2017,
     arXiv 1611.01144.
"""

import math

import numpy as np

from fastdl import decoding, nn
from fastdl.autograd import Tensor, no_grad
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.ops.shape import cat
from fastdl.random import generator

EPS = 0.1  # pixels lie in [EPS, 1 - EPS], so that their logits are bounded


class Conv(nn.Module):
    """A convolution with parameters w (out, in, k, k) and b (out,), the names of the published weights."""

    def __init__(self, n_in, n_out, k):
        super().__init__()
        self.w = nn.Parameter(np.empty((n_out, n_in, k, k), np.float32))
        self.b = nn.Parameter(np.zeros(n_out, np.float32))
        self.k = k
        init.normal_(self.w, 0.0, 1 / math.sqrt(n_in * k * k))

    def forward(self, x):
        return F.conv2d(x, self.w, self.b, padding=self.k // 2)


class Block(nn.Module):
    """id_path(x) + gain * four convolutions, each after a ReLU; the widths of the kernels are 3, 3, 3, 1 or 1, 3, 3, 3."""

    def __init__(self, n_in, n_out, kernels, gain):
        super().__init__()
        hidden = n_out // 4
        self.gain = gain
        self.id_path = Conv(n_in, n_out, 1) if n_in != n_out else None
        self.res_path = nn.Module()
        sizes = (n_in, hidden, hidden, hidden, n_out)
        for i, k in enumerate(kernels):
            setattr(self.res_path, f"conv_{i + 1}", Conv(sizes[i], sizes[i + 1], k))

    def forward(self, x):
        y = x
        for i in range(4):
            y = getattr(self.res_path, f"conv_{i + 1}")(F.relu(y))
        return (x if self.id_path is None else self.id_path(x)) + y * self.gain


class _Half(nn.Module):
    """Input convolution, groups of blocks with pooling or upsampling between them, output convolution after a ReLU."""

    def __init__(self, first, widths, n_blocks, kernels, output, between):
        super().__init__()
        self.groups, self.n_blocks, self.between = len(widths), n_blocks, between
        gain = 1 / (self.groups * n_blocks) ** 2
        self.blocks = nn.Module()
        self.blocks.input = Conv(*first)
        width = first[1]
        for g, wide in enumerate(widths):
            group = nn.Module()
            for b in range(n_blocks):
                setattr(group, f"block_{b + 1}", Block(width, wide, kernels, gain))
                width = wide
            setattr(self.blocks, f"group_{g + 1}", group)
        self.blocks.output = nn.Module()
        self.blocks.output.conv = Conv(width, output, 1)

    def forward(self, x):
        x = self.blocks.input(x)
        for g in range(self.groups):
            group = getattr(self.blocks, f"group_{g + 1}")
            for b in range(self.n_blocks):
                x = getattr(group, f"block_{b + 1}")(x)
            if g < self.groups - 1:
                x = self.between(x)
        return self.blocks.output.conv(F.relu(x))


class DiscreteVAE(nn.Module):
    """Images to codes and back.

    Shapes      images (N, channels, H, W) in 0..1, H and W divisible by 2^(groups - 1); codes (N, h, w)
    Parameters  encoder.blocks.input.w, .b, .group_1.block_1.res_path.conv_1.w, ..., .output.conv.w; decoder.* likewise

    Example
    >>> vae = DiscreteVAE(1, vocab=32, hidden=8, groups=3, init=16)
    >>> vae.encode(np.zeros((2, 1, 28, 28), np.float32)).shape, vae.decode(np.zeros((2, 7, 7), int)).shape
    ((2, 7, 7), (2, 1, 28, 28))
    """

    def __init__(self, channels=3, vocab=8192, hidden=256, groups=4, n_blocks=2, init=128, likelihood="laplace"):
        super().__init__()
        if likelihood not in ("laplace", "normal"):
            raise ValueError(f"DiscreteVAE: likelihood must be 'laplace' or 'normal'; got {likelihood!r}")
        self.likelihood = likelihood
        widths = [hidden * 2**g for g in range(groups)]
        self.channels, self.vocab, self.factor = channels, vocab, 2 ** (groups - 1)
        pool = lambda x: F.max_pool2d(x, 2)  # noqa: E731
        grow = lambda x: F.interpolate(x, scale_factor=2, mode="nearest")  # noqa: E731
        self.encoder = _Half((channels, hidden, 7), widths, n_blocks, (3, 3, 3, 1), vocab, pool)
        self.decoder = _Half((vocab, init, 1), widths[::-1], n_blocks, (1, 3, 3, 3), 2 * channels, grow)

    def scores(self, x):
        """(N, vocab, h, w) unnormalised log probabilities of the codes."""
        x = x if isinstance(x, Tensor) else Tensor(np.asarray(x, np.float32))
        if len(x.shape) != 4 or x.shape[1] != self.channels or x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise ValueError(
                f"DiscreteVAE: expected images (N, {self.channels}, H, W) with sides divisible by {self.factor}; got {x.shape}"
            )
        return self.encoder(x * (1 - 2 * EPS) + EPS)

    def encode(self, x) -> np.ndarray:
        """The likeliest code at every place, int64 (N, h, w)."""
        with no_grad():
            return self.scores(x).array.argmax(1)

    def decode(self, codes) -> np.ndarray:
        """Images (N, channels, H, W) in 0..1 of codes (N, h, w)."""
        codes = np.asarray(codes)
        if codes.size and (codes.min() < 0 or codes.max() >= self.vocab):
            raise ValueError(
                f"DiscreteVAE: codes must lie in 0 .. {self.vocab - 1}; got {codes.min()} .. {codes.max()}"
            )
        onehot = np.zeros((codes.shape[0], self.vocab, *codes.shape[1:]), np.float32)
        np.put_along_axis(onehot, codes[:, None], 1, 1)
        with no_grad():
            return self._pixels(self.decoder(Tensor(onehot))).array

    def _pixels(self, out):
        mean = F.sigmoid(out[:, : self.channels])
        if self.likelihood == "normal":
            return mean
        return ((mean - EPS) / (1 - 2 * EPS)).clamp(0, 1)

    def loss(self, x, temperature=1.0, kl_weight=1.0, usage_weight=0.0):
        """(mean negative bound in nats a pixel, reconstruction (N, channels, H, W)) with Gumbel-softmax codes.

        The likelihood of a pixel is logit-Laplace, or normal with deviation 0.1 (for images with large parts exactly black,
        on which a Laplace scale would run to 0); the KL of the codes is to the uniform distribution. usage_weight: of the
        KL of the batch's mean use of codes to the uniform distribution, against a codebook that collapses.
        """
        x = x if isinstance(x, Tensor) else Tensor(np.asarray(x, np.float32))
        scores = self.scores(x)
        u = generator().random(scores.shape, dtype=np.float32)
        gumbel = -np.log(-np.log(np.clip(u, 1e-7, 1 - 1e-7)))
        codes = F.softmax((scores + Tensor(gumbel.astype(np.float32))) / temperature, 1)
        out = self.decoder(codes)
        log_q = F.log_softmax(scores, 1)
        q = log_q.exp()
        extra = kl_weight * ((q * (log_q + math.log(self.vocab))).sum() / x.array.size)
        if usage_weight:
            mean_q = q.mean((0, 2, 3))
            extra = extra + usage_weight * (mean_q * ((mean_q + 1e-9).log() + math.log(self.vocab))).sum()
        if self.likelihood == "normal":
            nll = 50 * (F.sigmoid(out[:, : self.channels]) - x) ** 2 + (0.5 * math.log(2 * math.pi) - math.log(10))
            return nll.mean() + extra, self._pixels(out)
        target = x.array * (1 - 2 * EPS) + EPS
        logit = Tensor(np.log(target / (1 - target)))
        mean, s = out[:, : self.channels], out[:, self.channels :].clamp(-4, 4)
        nll = (logit - mean).abs() * (-s).exp() + s + math.log(2) + Tensor(np.log(target * (1 - target)))
        return nll.mean() + extra, self._pixels(out)


def structured_mask(text, side, kind="full", kernel=3) -> np.ndarray:
    """(T, T) bool, True: attend; T = text + side^2 tokens, causal. Text is seen by all; image tokens see of the image

    "full" all before them, "row" their row, "column" their column, "conv" the `kernel` x `kernel` window above and to the left.
    """
    T = text + side * side
    mask = np.tri(T, dtype=bool)
    if kind == "full":
        return mask
    r, c = np.divmod(np.arange(side * side), side)
    dr, dc = r[:, None] - r[None], c[:, None] - c[None]
    half = kernel // 2
    near = {"row": dr == 0, "column": dc == 0, "conv": (dr <= half) & (np.abs(dc) <= half)}
    if kind not in near:
        raise ValueError(f"structured_mask: kind must be full, row, column or conv; got {kind!r}")
    mask[text:, text:] &= near[kind]
    return mask


class DALLE(nn.Module):
    """The prior: a causal transformer over caption tokens and the image's codes in raster order.

    Shapes      captions (N, text_length) in 0 .. text_vocab - 1 (0: padding), codes (N, side^2)
                -> scores of what follows each token (N, text_length + side^2, text_vocab + image_vocab)
    Parameters  embedding, text_positions, rows, columns, layers.*, norm, output
    masks       one kind for each layer in turn, see structured_mask; caption_dropout: share of captions left out in training
    """

    def __init__(
        self, text_vocab, image_vocab, text_length, side, d=96, layers=3, heads=4, dropout=0.0, masks=("full",),
        caption_dropout=0.0,
    ):  # fmt: skip
        super().__init__()
        self.text_vocab, self.image_vocab, self.text_length, self.side = text_vocab, image_vocab, text_length, side
        self.caption_dropout = caption_dropout
        self.embedding = nn.Embedding(text_vocab + image_vocab + 1, d)  # the last one stands before everything
        self.text_positions, self.rows, self.columns = (nn.Embedding(n, d) for n in (text_length + 1, side, side))
        self.layers = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(d, heads, 4 * d, dropout, "gelu", batch_first=True, norm_first=True)
                for _ in range(layers)
            ]
        )
        self.norm, self.output = nn.LayerNorm(d), nn.Linear(d, text_vocab + image_vocab)
        for e in (self.embedding, self.text_positions, self.rows, self.columns):
            init.normal_(e.weight, 0.0, 0.02)
        kinds = [masks[i % len(masks)] for i in range(layers)]
        self._masks = [None if k == "full" else ~structured_mask(text_length + 1, side, k) for k in kinds]

    def _positions(self):
        r, c = np.divmod(np.arange(self.side**2), self.side)
        return cat([self.text_positions.weight, self.rows(r) + self.columns(c)], 0)  # (1 + text + side^2, d)

    def hidden(self, tokens, start=0, caches=None):
        """(N, T, d) for tokens (N, T) at the positions from `start` on."""
        T = tokens.shape[1]
        x = self.embedding(tokens) + self._positions()[start : start + T]
        for i, layer in enumerate(self.layers):
            mask = self._masks[i]
            cache = None if caches is None else caches[i]
            if mask is None:
                x = layer(x, is_causal=True, cache=cache)
            else:
                part = Tensor(np.ascontiguousarray(mask[start : start + T, : start + T]))
                x = layer(x, part, is_causal=False, cache=cache)
        return self.norm(x)

    def _join(self, captions, codes):
        captions, codes = np.asarray(captions), np.asarray(codes).reshape(len(captions), -1)
        if captions.shape[1:] != (self.text_length,) or codes.shape[1] > self.side**2:
            raise ValueError(
                f"DALLE: expected captions (N, {self.text_length}) and at most {self.side**2} codes; got {captions.shape} and "
                f"{codes.shape}"
            )
        for what, ids, most in (("caption", captions, self.text_vocab), ("image", codes, self.image_vocab)):
            if ids.size and (ids.min() < 0 or ids.max() >= most):
                raise ValueError(f"DALLE: {what} tokens must lie in 0 .. {most - 1}; got {ids.min()} .. {ids.max()}")
        first = np.full((len(captions), 1), self.text_vocab + self.image_vocab)
        return np.concatenate([first, captions, codes + self.text_vocab], 1)

    def forward(self, captions, codes):
        return self.output(self.hidden(self._join(captions, codes)[:, :-1]))

    def image_nll(self, captions, codes):
        """(N, side^2) nats of every image token given the caption and the tokens before it."""
        codes = np.asarray(codes).reshape(len(captions), -1)
        scores = self(captions, codes)[:, self.text_length :, self.text_vocab :]
        flat = F.cross_entropy(scores.reshape(-1, self.image_vocab), codes.reshape(-1), reduction="none")
        return flat.reshape(*codes.shape)

    def loss(self, captions, codes):
        """1/8 of the caption tokens' cross-entropy and 7/8 of the image tokens'."""
        if self.training and self.caption_dropout:
            keep = generator().random((len(captions), 1)) >= self.caption_dropout
            captions = np.where(keep, captions, 0)
        tokens = self._join(captions, codes)
        scores = self.output(self.hidden(tokens[:, :-1]))
        L = self.text_length
        text = F.cross_entropy(
            scores[:, :L, : self.text_vocab].reshape(-1, self.text_vocab), tokens[:, 1 : L + 1].reshape(-1)
        )
        image = F.cross_entropy(
            scores[:, L:, self.text_vocab :].reshape(-1, self.image_vocab),
            (tokens[:, L + 1 :] - self.text_vocab).reshape(-1),
        )
        return text / 8 + image * (7 / 8)

    def generate(self, captions, temperature=1.0, top_k=None, top_p=None, generator=None) -> np.ndarray:
        """Codes (N, side, side), drawn one after the other given captions (N, text_length)."""
        was_training = self.training
        self.eval()
        try:
            with no_grad():
                session = _Session(self)
                scores = session.read(self._join(captions, np.empty((len(captions), 0), np.int64)))
                codes = decoding.decode(
                    session,
                    scores,
                    self.side**2,
                    temperature=temperature,
                    top_k=top_k,
                    top_p=top_p,
                    generator=generator,
                )
        finally:
            self.train(was_training)
        return codes.reshape(-1, self.side, self.side)


class _Session:
    """Decoding in progress (see fastdl/decoding.py)."""

    def __init__(self, model):
        self.model, self.caches, self.length = model, [nn.KVCache() for _ in model.layers], 0

    def read(self, tokens):
        x = self.model.hidden(tokens, self.length, self.caches)[:, -1]
        self.length += tokens.shape[1]
        return self.model.output(x).array[:, self.model.text_vocab :]

    def step(self, tokens):
        return self.read((tokens + self.model.text_vocab)[:, None])

    def reorder(self, rows):
        for cache in self.caches:
            cache.reorder(rows)
