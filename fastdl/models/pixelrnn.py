"""PixelRNN: an explicit model of images, pixel by pixel, whose memory are two-dimensional LSTMs.

    p(x) = prod_i p(x_iR | x_<i) p(x_iG | x_<i, x_iR) p(x_iB | x_<i, x_iR, x_iG)

7x7 convolution, mask A, to 2h maps -> n residual layers (Row LSTM, Diagonal BiLSTM, or masked 3x3 convolution: PixelCNN), each
with a 1x1 convolution h -> 2h that is added to its input -> twice (ReLU, 1x1 convolution, mask B, `maps` maps) -> a softmax over
`levels` values a colour, or one logit for binary images.

Published sizes: MNIST 7 diagonal layers, h = 16, 32 maps; CIFAR-10 12 layers, h = 128, 1,024 maps.

Ref  van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016, arXiv 1601.06759
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.distributions.generative import GenerativeModel, array, fit_likelihood, seeded
from fastdl.nn import functional as F
from fastdl.nn.masked import DiagonalBiLSTM, MaskedConv2d, RowLSTM
from fastdl.ops.random import numpy_generator
from fastdl.optim import AdamW

KINDS = ("row", "diagonal", "pixelcnn")


class Residual(nn.Module):
    """x + a 1x1 convolution of a two-dimensional LSTM (or of a masked convolution) of x."""

    def __init__(self, kind, h, colours):
        super().__init__()
        if kind == "row":
            self.inner = RowLSTM(2 * h, h, 3, colours)
        elif kind == "diagonal":
            self.inner = DiagonalBiLSTM(2 * h, h, colours)
        else:
            self.inner = MaskedConv2d(2 * h, h, 3, "B", colours)
        self.kind = kind
        self.out = MaskedConv2d(h, 2 * h, 1, "B", colours)

    def forward(self, x):
        y = self.inner(F.relu(x) if self.kind == "pixelcnn" else x)
        return x + self.out(F.relu(y) if self.kind == "pixelcnn" else y)


class PixelRNN(nn.Module, GenerativeModel):
    """A density of images with whole-number values 0 .. levels - 1 (binary: levels = 2).

    Shapes      x (N, channels, H, W) -> log_prob (N,)
    Settings    kind: row, diagonal or pixelcnn; layers, h, maps as above; first: side of the first convolution

    Example
    >>> PixelRNN("row", layers=1, h=4).log_prob(np.zeros((2, 1, 5, 5))).shape
    (2,)
    """

    density = "exact"

    def __init__(self, kind="diagonal", layers=7, h=16, channels=1, levels=2, maps=32, first=7):
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"PixelRNN: kind must be one of {', '.join(KINDS)}; got {kind!r}")
        if levels < 2 or channels not in (1, 3) or min(layers, h, maps) < 1:
            raise ValueError(
                f"PixelRNN: needs levels of at least 2 and 1 or 3 channels; got {levels} levels, {channels} channels"
            )
        self.kind, self.channels, self.levels = kind, channels, levels
        self.outputs = 1 if levels == 2 else levels  # numbers a colour
        self.first = MaskedConv2d(channels, 2 * h, first, "A", channels)
        self.layers = nn.ModuleList([Residual(kind, h, channels) for _ in range(layers)])
        self.head = nn.ModuleList(
            [MaskedConv2d(2 * h, maps, 1, "B", channels), MaskedConv2d(maps, maps, 1, "B", channels)]
        )
        self.last = MaskedConv2d(maps, channels * self.outputs, 1, "B", channels)

    def _check(self, x):
        x = array(x)
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"PixelRNN: expected images (N, {self.channels}, H, W); got shape {x.shape}")
        if (x != np.floor(x)).any() or x.min() < 0 or x.max() >= self.levels:
            raise ValueError(
                f"PixelRNN: values must be whole numbers 0 to {self.levels - 1}; hint: binarise, or round to levels, first"
            )
        return x.astype(self.first.weight.dtype)

    def _scaled(self, x):
        """Values as the network sees them: -1 .. 1."""
        return x * (2 / (self.levels - 1)) - 1

    def logits(self, scaled):
        """(N, channels, outputs, H, W) of scaled images (N, channels, H, W)."""
        y = self.first(scaled)
        for layer in self.layers:
            y = layer(y)
        for conv in self.head:
            y = conv(F.relu(y))
        N, _, H, W = y.shape
        return self.last(F.relu(y)).reshape(N, self.channels, self.outputs, H, W)

    def log_prob(self, x):
        """log p(x) in nats, (N,)."""
        x = self._check(x)
        z = self.logits(Tensor(self._scaled(x)))
        if self.outputs == 1:
            return -F.binary_cross_entropy_with_logits(z.squeeze(2), Tensor(x), reduction="none").sum((1, 2, 3))
        N, L = z.shape[0], z.shape[2]
        z = z.permute(0, 1, 3, 4, 2).reshape(-1, L)
        loss = F.cross_entropy(z, Tensor(x.astype(np.int64).reshape(-1)), reduction="none")
        return -loss.reshape(N, -1).sum(1)

    def bits_per_dim(self, x):
        """The mean of -log2 p(x) over all numbers of the images."""
        return self.mean_nll(x) / (np.log(2) * np.prod(np.shape(x)[1:]))

    def fit(self, x, epochs=10, lr=3e-3, weight_decay=0.1, batch_size=32, seed=0, validation=None, **settings):
        """Maximum likelihood by AdamW. Returns the history."""
        x = self._check(x)
        weights = [p for p in self.parameters() if p.ndim > 1]
        biases = [p for p in self.parameters() if p.ndim == 1]
        groups = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
        optimizer = AdamW(groups, lr=lr, weight_decay=weight_decay)
        return fit_likelihood(self, x, optimizer, epochs, batch_size, seed, validation, **settings)

    def sample(self, n, seed=None, size=(28, 28), start=None):
        """n images (n, channels, H, W) drawn pixel by pixel, each layer's states kept: one pixel's worth of network a step.

        start: images (n, channels, r, W) whose rows are taken as they are: the model completes them.
        """
        H, W = size if isinstance(size, tuple) else (size, size)
        walk = Walk(self, n, H, W)
        given = 0
        if start is not None:
            start = self._check(start)
            if start.shape[0] != n or start.shape[2] > H or start.shape[3] != W:
                raise ValueError(f"PixelRNN: start must be ({n}, {self.channels}, at most {H}, {W}); got {start.shape}")
            given = start.shape[2]
        rng = numpy_generator(seeded(seed))
        with no_grad():
            for r in range(H):
                for c in range(W):
                    for k in range(self.channels):
                        if r < given:
                            walk.image[:, k, r, c] = start[:, k, r, c]
                            continue
                        z = walk.logits(r, c)[:, k].astype(np.float64)  # (n, outputs)
                        if self.outputs == 1:
                            value = rng.random(n) < 1 / (1 + np.exp(-z[:, 0]))
                        else:
                            p = np.exp(z - z.max(1, keepdims=True))
                            value = (rng.random(n)[:, None] * p.sum(1, keepdims=True) >= p.cumsum(1)).sum(1)
                        walk.image[:, k, r, c] = np.minimum(value, self.levels - 1)
                    walk.logits(r, c)  # with the pixel known: its states are what later pixels read
        return Tensor(walk.image)


def _sigmoid(v):
    return 1 / (1 + np.exp(-np.clip(v, -80, 80)))


class Walk:
    """The network at one pixel after the other, on arrays: features and states of all earlier pixels are kept."""

    def __init__(self, model, n, H, W):
        self.model, self.image = model, np.zeros((n, model.channels, H, W), np.float32)
        weight = lambda conv: (conv.masked_weight().array, conv.bias.array)  # noqa: E731
        self.first, self.last = weight(model.first), weight(model.last)
        self.head = [weight(conv) for conv in model.head]
        self.layers = []
        hidden = model.layers[0].out.in_channels
        zeros = lambda k: np.zeros((n, k, H + 1, W + 2), np.float32)  # noqa: E731  (a row above, a column on either side)
        for layer in model.layers:
            kept = {"x": zeros(2 * hidden), "out": weight(layer.out)}
            parts = {"row": ["inner"], "diagonal": ["left", "right"], "pixelcnn": []}[model.kind]
            for name in parts:
                lstm = layer.inner if name == "inner" else getattr(layer.inner, name)
                kept[name] = (*weight(lstm.input_to_state), lstm.state_to_state.array, zeros(hidden), zeros(hidden))
            if model.kind == "pixelcnn":
                kept["inner"] = weight(layer.inner)
            self.layers.append(kept)

    def logits(self, r, c):
        """(n, channels, outputs) at pixel (r, c), from the image as far as it is known."""
        model, (w, b) = self.model, self.first
        k = w.shape[2] // 2
        W = self.image.shape[3]
        patch = np.zeros((len(self.image), *w.shape[1:]), np.float32)
        top, left, right = max(0, r - k), max(0, c - k), min(W, c + k + 1)
        patch[:, :, top - r + k : k + 1, left - c + k : right - c + k] = model._scaled(
            self.image[:, :, top : r + 1, left:right]
        )
        x = patch.reshape(len(patch), -1) @ w.reshape(len(w), -1).T + b
        for layer in self.layers:
            layer["x"][:, :, r + 1, c + 1] = x
            y = getattr(self, "_" + model.kind)(layer, x, r, c)
            w, b = layer["out"]
            x = x + y @ w[:, :, 0, 0].T + b
        for w, b in self.head:
            x = np.maximum(x, 0) @ w[:, :, 0, 0].T + b
        w, b = self.last
        return (np.maximum(x, 0) @ w[:, :, 0, 0].T + b).reshape(len(x), model.channels, model.outputs)

    @staticmethod
    def _cell(v, before):
        """(h, c) of the gates' arguments v (n, 4h) and the state before."""
        i, f, g, o = np.split(v, 4, 1)
        c = _sigmoid(f) * before + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(c), c

    def _row(self, layer, x, r, c):
        w, b, u, h, cell = layer["inner"]
        line = layer["x"][:, :, r + 1, c : c + 2]  # the pixel to the left, and this one; what is right of it is masked
        v = np.einsum("nck,ock->no", line, w[:, :, 0, :2]) + b + np.einsum("nhk,ghk->ng", h[:, :, r, c : c + 3], u)
        h[:, :, r + 1, c + 1], cell[:, :, r + 1, c + 1] = self._cell(v, cell[:, :, r, c + 1])
        return h[:, :, r + 1, c + 1]

    def _diagonal(self, layer, x, r, c):
        W = self.image.shape[3]
        if c == 0 and r > 0:  # the scan from the right, of the row above, which is complete
            for m in reversed(range(W)):
                self._diagonal_step(layer["right"], layer["x"][:, :, r, m + 1], r - 1, m, 1)
        y = self._diagonal_step(layer["left"], x, r, c, -1)
        return y + layer["right"][3][:, :, r, c + 1]

    def _diagonal_step(self, part, x, r, c, side):
        """The state at (r, c) from the row above and from the pixel at `side` (-1: left)."""
        w, b, u, h, cell = part
        v = x @ w[:, :, 0, 0].T + b + h[:, :, r, c + 1] @ u[:, :, 0].T + h[:, :, r + 1, c + 1 + side] @ u[:, :, 1].T
        h[:, :, r + 1, c + 1], cell[:, :, r + 1, c + 1] = self._cell(v, cell[:, :, r + 1, c + 1 + side])
        return h[:, :, r + 1, c + 1]

    def _pixelcnn(self, layer, x, r, c):
        w, b = layer["inner"]
        seen = np.maximum(layer["x"][:, :, r : r + 2, c : c + 3], 0)
        y = np.einsum("ncij,ocij->no", seen, w[:, :, :2]) + b
        return np.maximum(y, 0)


def pixelrnn_mnist(**settings) -> PixelRNN:
    """The published network for binary MNIST: 7 diagonal layers, h = 16."""
    return PixelRNN(**{"kind": "diagonal", "layers": 7, "h": 16, "maps": 32, **settings})


def pixelrnn_cifar10(**settings) -> PixelRNN:
    """The published network for CIFAR-10: 12 diagonal layers, h = 128, 256 levels."""
    return PixelRNN(
        **{"kind": "diagonal", "layers": 12, "h": 128, "channels": 3, "levels": 256, "maps": 1024, **settings}
    )
