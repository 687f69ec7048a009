"""The gated unit as lectures write it: no biases, reset before the product, h = (1 - z) h_prev + z h~.

    z = s(W_z [h, x]), r = s(W_r [h, x]), h~ = tanh(W [r * h, x])

torch's form (nn.GRU) swaps z and 1 - z and applies the reset after the product, so that weights carry over for z (negated), but
outputs are not the same: see to_lecture.

Ref  Cho et al. 2014, arXiv 1406.1078.
"""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.nn import functional as F
from fastdl.nn.linear import Linear
from fastdl.nn.module import Module
from fastdl.ops.shape import cat, stack


class LectureGRU(Module):
    """Shapes      x (T, B, input_size), h (B, hidden_size) -> outputs (T, B, hidden_size), last h
    Parameters  update, reset, candidate: weight (hidden_size, hidden_size + input_size), no bias: 3 H (D + H) numbers
    """

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.update, self.reset, self.candidate = (
            Linear(hidden_size + input_size, hidden_size, bias=False) for _ in range(3)
        )
        self.use_reset = True

    def forward(self, x, h=None):
        if len(x.shape) != 3 or x.shape[2] != self.input_size or not x.shape[0]:
            raise ValueError(f"LectureGRU: expected (T, B, {self.input_size}) with T at least 1; got {x.shape}")
        h = Tensor(np.zeros((x.shape[1], self.hidden_size), x.dtype)) if h is None else h
        rows = []
        for t in range(x.shape[0]):
            both = cat([h, x[t]], 1)
            z = F.sigmoid(self.update(both))
            kept = F.sigmoid(self.reset(both)) * h if self.use_reset else h
            h = (1 - z) * h + z * F.tanh(self.candidate(cat([kept, x[t]], 1)))
            rows.append(h)
        return stack(rows), h


def to_lecture(layer, lecture, reset=True):
    """Copy the weights of an nn.GRU (one layer) into a LectureGRU: z negated, the rest as it is; reset=False: r = 1."""
    (rx, zx, nx), (rh, zh, nh) = (np.split(w.array, 3) for w in (layer.weight_ih_l0, layer.weight_hh_l0))
    lecture.update.weight.array[...] = -np.concatenate([zh, zx], 1)
    lecture.reset.weight.array[...] = np.concatenate([rh, rx], 1)
    lecture.candidate.weight.array[...] = np.concatenate([nh, nx], 1)
    lecture.use_reset = reset
    return lecture
