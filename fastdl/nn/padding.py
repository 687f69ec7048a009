"""Layers that put a border around the last one or two axes."""

from fastdl.nn import functional as F
from fastdl.nn._sizes import tuple_of
from fastdl.nn.module import Module


class _Pad(Module):
    """padding: one integer, or (left, right) / (left, right, top, bottom); negative values crop (constant mode)."""

    ends, mode = 4, "constant"

    def __init__(self, padding):
        super().__init__()
        self.padding = tuple_of(padding, self.ends, f"{type(self).__name__}: padding", -(10**9))
        self.value = 0.0

    def forward(self, x):
        if self.mode == "constant":
            return F.pad(x, self.padding, "constant", self.value)
        return F.pad(x, self.padding, self.mode)

    def extra_repr(self):
        return str(self.padding)


class ZeroPad1d(_Pad):
    """Zeros around (..., L)."""

    ends = 2


class ZeroPad2d(_Pad):
    """Zeros around (..., H, W)."""


class ConstantPad1d(_Pad):
    """`value` around (..., L)."""

    ends = 2

    def __init__(self, padding, value):
        super().__init__(padding)
        self.value = value

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """`value` around (..., H, W)."""

    ends = 4


class ReflectionPad1d(_Pad):
    """The inside mirrored at the edge element: c b | a b c | b a."""

    ends, mode = 2, "reflect"


class ReflectionPad2d(_Pad):
    """The inside mirrored at the edge pixels."""

    mode = "reflect"


class ReplicationPad1d(_Pad):
    """The edge element repeated: a a | a b c | c c."""

    ends, mode = 2, "replicate"


class ReplicationPad2d(_Pad):
    """The edge pixels repeated."""

    mode = "replicate"


class CircularPad1d(_Pad):
    """The other end: b c | a b c | a b."""

    ends, mode = 2, "circular"


class CircularPad2d(_Pad):
    """The other side of the image."""

    mode = "circular"
