"""Masked convolutions and the two-dimensional LSTMs of PixelRNN: no output sees a pixel that comes later.

Order: rows from the top, pixels from the left, and within a pixel the colours R, G, B. Feature j of F belongs to colour
j * colours // F. Mask "A" hides a pixel's own colour and later ones, mask "B" only later ones.

Ref  van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016, arXiv 1601.06759
"""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.nn import functional as F
from fastdl.nn.conv import Conv2d
from fastdl.nn.init import uniform_
from fastdl.nn.module import Module
from fastdl.nn.parameter import Buffer, Parameter
from fastdl.ops.conv_lstm import conv_lstm
from fastdl.ops.pad import pad
from fastdl.ops.shape import cat, flip


def colour_mask(kind, out_channels, in_channels, colours=1, blocks=1):
    """(out, in) of 0 and 1: which input features may reach which output features at the same pixel.

    blocks: the output is so many blocks (gates), each with features of every colour.
    """
    if kind not in ("A", "B"):
        raise ValueError(f"the mask must be 'A' or 'B'; got {kind!r}")
    per = out_channels // blocks
    out = np.arange(out_channels) % per * colours // per
    given = np.arange(in_channels) * colours // in_channels
    return (given[None] < out[:, None] if kind == "A" else given[None] <= out[:, None]).astype(np.float32)


class MaskedConv2d(Conv2d):
    """A convolution with odd kernel, padded to the same size, that sees rows above, pixels to the left, and at the centre what
    its mask allows.

    Shapes      x (N, C, H, W) -> (N, O, H, W)
    Parameters  weight (O, C, KH, KW), bias (O,); buffer mask, of weight's shape
    """

    def __init__(self, in_channels, out_channels, kernel_size, mask="B", colours=1, blocks=1):
        kh, kw = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
        if kh % 2 == 0 or kw % 2 == 0:
            raise ValueError(f"MaskedConv2d: the kernel must have odd sides; got {(kh, kw)}")
        super().__init__(in_channels, out_channels, (kh, kw), padding=(kh // 2, kw // 2))
        seen = np.ones((out_channels, in_channels, kh, kw), np.float32)
        seen[:, :, kh // 2 + 1 :] = 0
        seen[:, :, kh // 2, kw // 2 + 1 :] = 0
        seen[:, :, kh // 2, kw // 2] = colour_mask(mask, out_channels, in_channels, colours, blocks)
        self.mask = Buffer(seen, persistent=False)

    def masked_weight(self):
        """The weight with what may not be seen set to 0."""
        return self.weight * self.mask.to(self.weight.dtype)

    def forward(self, x):
        return F.conv2d(x, self.masked_weight(), self.bias, 1, self.padding)


class RowLSTM(Module):
    """Rows from the top, all pixels of a row at once; the state comes from k pixels of the row above: a triangular context.

    Shapes      x (N, C, H, W) -> (N, hidden, H, W)
    Parameters  input_to_state: a masked 1 x k convolution to 4 hidden maps (i, f, g, o); state_to_state (4 hidden, hidden, k)
    """

    def __init__(self, in_channels, hidden, k=3, colours=1, mask="B"):
        super().__init__()
        if k < 1 or k % 2 == 0:
            raise ValueError(f"RowLSTM: k must be odd; got {k}")
        self.hidden, self.k = hidden, k
        self.input_to_state = MaskedConv2d(in_channels, 4 * hidden, (1, k), mask, colours, blocks=4)
        self.state_to_state = Parameter(np.empty((4 * hidden, hidden, k), np.float32))
        uniform_(self.state_to_state, -1 / np.sqrt(hidden * k), 1 / np.sqrt(hidden * k))

    def forward(self, x):
        v = self.input_to_state(x).permute(2, 0, 3, 1)  # (H, N, W, 4h): a step a row
        return conv_lstm(v, self.state_to_state, self.k // 2).permute(1, 3, 0, 2)


def skew(x, value=0.0):
    """(..., H, W) -> (..., H, H + W - 1): row r moved right by r; new places are `value`."""
    *lead, H, W = x.shape
    # H places more at the end of each row, then rows read one place short: each starts one place later than the one above
    flat = pad(x, (0, H), value=value).reshape(*lead, H * (W + H))
    return flat[..., : H * (W + H - 1)].reshape(*lead, H, W + H - 1)


def unskew(x, width):
    """The inverse of skew: (..., H, H + width - 1) -> (..., H, width)."""
    *lead, H, S = x.shape
    return pad(x.reshape(*lead, H * S), (0, H)).reshape(*lead, H, S + 1)[..., :width]


class DiagonalLSTM(Module):
    """One direction of the diagonal scan, from the top left: the state at (r, c) comes from (r, c-1) and (r-1, c).

    Shapes      x (N, C, H, W) -> (N, hidden, H, W)
    Parameters  input_to_state: a masked 1x1 convolution; state_to_state (4 hidden, hidden, 2): row above, own row
    """

    NOTHING = -60.0  # the input gate's argument outside the image: the gate is shut there, and the state 0

    def __init__(self, in_channels, hidden, colours=1, mask="B"):
        super().__init__()
        self.hidden = hidden
        self.input_to_state = MaskedConv2d(in_channels, 4 * hidden, 1, mask, colours, blocks=4)
        self.state_to_state = Parameter(np.empty((4 * hidden, hidden, 2), np.float32))
        uniform_(self.state_to_state, -1 / np.sqrt(hidden * 2), 1 / np.sqrt(hidden * 2))

    def forward(self, x):
        v, h = self.input_to_state(x), self.hidden
        v = cat([skew(v[:, :h], self.NOTHING), skew(v[:, h:])], 1)
        y = conv_lstm(
            v.permute(3, 0, 2, 1), self.state_to_state, 1
        )  # a step a column of the skewed map: (H+W-1, N, H, h)
        return unskew(y.permute(1, 3, 2, 0), x.shape[3])


class DiagonalBiLSTM(Module):
    """Both diagonal scans; that from the right is shifted down a row, so that every earlier pixel is seen and no later one.

    Shapes      x (N, C, H, W) -> (N, hidden, H, W)
    Parameters  left, right: a DiagonalLSTM each
    """

    def __init__(self, in_channels, hidden, colours=1, mask="B", shift=True):
        super().__init__()
        self.left, self.right = (DiagonalLSTM(in_channels, hidden, colours, mask) for _ in range(2))
        self.shift = shift  # False is wrong, and there for the test that shows it

    def forward(self, x):
        back = flip(self.right(flip(x, 3)), 3)
        if self.shift:
            zero = Tensor(np.zeros((*back.shape[:2], 1, back.shape[3]), back.array.dtype))
            back = cat([zero, back[:, :, :-1]], 2)
        return self.left(x) + back
