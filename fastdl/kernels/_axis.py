"""One axis of a pooling or a resize: which inputs every output reads, as a small sparse matrix.

Pooling and resizing treat height and width alike and apart, so two Axis objects say everything about windows: stride,
padding, dilation, ceil_mode, adaptive bins, interpolation weights. Kernels loop over entries and know none of these.
The transposed Axis lists for every input the outputs that read it; with it a backward pass gathers, not scatters.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import ceil

import numpy as np

CACHED = 256  # axes kept; a network needs about two a layer


@dataclass(frozen=True, eq=False)
class Axis:
    """Output o reads input index[e] with weight[e], as tap tap[e] of its window, for e in ptr[o] .. ptr[o + 1] - 1."""

    inputs: int
    outputs: int
    taps: int  # of the longest window; tap numbers are below it
    ptr: np.ndarray  # (outputs + 1,) int32
    index: np.ndarray  # (entries,) int32
    tap: np.ndarray  # (entries,) int32
    weight: np.ndarray  # (entries,) float64

    def of(self, o):
        """(input, tap, weight) of every entry of output o."""
        e = slice(self.ptr[o], self.ptr[o + 1])
        return list(zip(self.index[e].tolist(), self.tap[e].tolist(), self.weight[e].tolist(), strict=True))

    @cached_property
    def weight32(self):
        return self.weight.astype(np.float32)

    @cached_property
    def transposed(self):
        """The same entries by input: index names outputs, in ascending order."""
        order = np.argsort(self.index, kind="stable")
        ptr = np.searchsorted(self.index[order], np.arange(self.inputs + 1)).astype(np.int32)
        entries = self._output[order], self.tap[order], self.weight[order]
        result = Axis(self.outputs, self.inputs, self.taps, ptr, *entries)
        result.__dict__["transposed"] = self
        return result

    @cached_property
    def _output(self):
        return np.repeat(np.arange(self.outputs, dtype=np.int32), np.diff(self.ptr))

    @cached_property
    def padded(self):
        """(index, weight), both (outputs, taps): the taps of each window; absent ones have index -1 and weight 0."""
        index = np.full((self.outputs, self.taps), -1, np.int64)
        weight = np.zeros((self.outputs, self.taps))
        index[self._output, self.tap] = self.index
        weight[self._output, self.tap] = self.weight
        return index, weight

    @cached_property
    def matrix(self):
        """(outputs, inputs) float64: the weights, dense."""
        dense = np.zeros((self.outputs, self.inputs))
        np.add.at(dense, (self._output, self.index), self.weight)
        return dense


def _axis(inputs, taps, index, tap, weight, present):
    """From (outputs, taps) arrays: the entries where `present`."""
    outputs = len(index)
    counts = np.zeros(outputs + 1, np.int32)
    np.cumsum(present.sum(1), out=counts[1:])
    return Axis(
        inputs, outputs, taps, counts, index[present].astype(np.int32), tap[present].astype(np.int32), weight[present]
    )


def window_outputs(layer, size, kernel, stride, padding, dilation=1, ceil_mode=False):
    """Number of windows along an axis; ValueError where there is none."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    outputs = (ceil(room / stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (outputs - 1) * stride >= size + padding:
        outputs -= 1  # the last window must begin inside the input or its left padding
    if outputs < 1 or size < 1:
        raise ValueError(
            f"{layer}: a window of {dilation * (kernel - 1) + 1} does not fit into an axis of {size} "
            f"with padding {padding}"
        )
    return outputs


@lru_cache(CACHED)
def windows(layer, size, kernel, stride, padding, dilation=1, ceil_mode=False, count_include_pad=True, divisor=None):
    """Sliding windows; weights are those of an average: 1 / (taps counted), or 1 / divisor."""
    outputs = window_outputs(layer, size, kernel, stride, padding, dilation, ceil_mode)
    start = np.arange(outputs)[:, None] * stride - padding
    tap = np.broadcast_to(np.arange(kernel), (outputs, kernel))
    index = start + tap * dilation
    present = (index >= 0) & (index < size)
    if divisor is not None:
        count = np.full((outputs, 1), float(divisor))
    elif count_include_pad:  # padding counts, what lies beyond it (ceil_mode) does not
        count = (index < size + padding).sum(1, keepdims=True)
    else:
        count = np.maximum(present.sum(1, keepdims=True), 1)
    return _axis(size, kernel, index, tap, np.broadcast_to(1.0 / count, index.shape), present)


@lru_cache(CACHED)
def adaptive(size, outputs):
    """Windows [floor(o size / outputs), ceil((o + 1) size / outputs)), which cover the axis evenly."""
    o = np.arange(outputs)[:, None]
    start, end = o * size // outputs, -((o + 1) * size // -outputs)
    taps = int((end - start).max()) if outputs else 0
    tap = np.broadcast_to(np.arange(taps), (outputs, taps))
    index = start + tap
    return _axis(size, taps, index, tap, np.broadcast_to(1.0 / (end - start), index.shape), index < end)


@lru_cache(CACHED)
def nearest(size, outputs, factor=None):
    """Output o reads input floor(o * size / outputs), rounded in float32 as PyTorch does; factor replaces the ratio."""
    step = np.float32(1 / factor if factor else size / outputs)
    if outputs == size:
        step = np.float32(1)
    index = np.minimum(np.floor(np.arange(outputs, dtype=np.float32) * step).astype(np.int64), size - 1)[:, None]
    return _axis(size, 1, index, np.zeros_like(index), np.ones(index.shape), index >= 0)


def _centres(size, outputs, align_corners, factor):
    """Where the outputs lie on the input's axis (float64): corners on corners, or pixel edges on pixel edges."""
    o = np.arange(outputs, dtype=np.float64)
    if align_corners:
        return o * ((size - 1) / (outputs - 1) if outputs > 1 else 0.0)
    return (o + 0.5) * (1 / factor if factor else size / outputs) - 0.5


@lru_cache(CACHED)
def linear(size, outputs, align_corners=False, factor=None):
    """Linear interpolation between the two nearest inputs."""
    at = np.maximum(_centres(size, outputs, align_corners, factor), 0.0)
    low = np.minimum(at.astype(np.int64), size - 1)
    upper = np.where(low < size - 1, np.minimum(at - low, 1.0), 0.0)
    index = np.stack([low, np.minimum(low + 1, size - 1)], 1)
    weight = np.stack([1 - upper, upper], 1)
    return _axis(size, 2, index, np.broadcast_to(np.arange(2), index.shape), weight, weight != 0)


@lru_cache(CACHED)
def cubic(size, outputs, align_corners=False, factor=None):
    """Cubic convolution (Keys, a = -0.75) over four inputs; those beyond the border repeat the border."""
    at = _centres(size, outputs, align_corners, factor)
    low = np.floor(at).astype(np.int64)
    t = (at - low)[:, None]
    d = np.abs(np.concatenate([t + 1, t, 1 - t, 2 - t], 1))  # distances to the four taps
    a = -0.75
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    index = np.clip(low[:, None] + np.arange(-1, 3), 0, size - 1)
    weight = np.where(d <= 1, near, far)
    return _axis(size, 4, index, np.broadcast_to(np.arange(4), index.shape), weight, weight != 0)
