"""Convolutions and transposed convolutions in one and two dimensions."""

import numpy as np

from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.nn._sizes import tuple_of
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter


class _Conv(Module):
    """What they share: the sizes, the parameters and their first values."""

    axes = 2
    transposed = False

    def __init__(
        self, in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation, dtype
    ):
        super().__init__()
        name, n = type(self).__name__, self.axes
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = tuple_of(kernel_size, n, f"{name}: kernel_size")
        self.stride = tuple_of(stride, n, f"{name}: stride")
        self.dilation = tuple_of(dilation, n, f"{name}: dilation")
        self.padding = padding if isinstance(padding, str) else tuple_of(padding, n, f"{name}: padding", 0)
        self.output_padding = tuple_of(output_padding, n, f"{name}: output_padding", 0)
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = Parameter(np.empty((first, second // groups, *self.kernel_size), dtype or np.float32))
        self.register_parameter("bias", Parameter(np.empty(out_channels, dtype or np.float32)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw new initial values: uniform in +-1 / sqrt(fan_in)."""
        init.default_linear_(self.weight, self.bias)

    def extra_repr(self):
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        for name in ("padding", "output_padding"):
            value = getattr(self, name)
            if isinstance(value, str) or any(value):
                parts.append(f"{name}={value!r}")
        if set(self.dilation) != {1}:
            parts.append(f"dilation={self.dilation}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if getattr(self, "padding_mode", "zeros") != "zeros":
            parts.append(f"padding_mode={self.padding_mode!r}")
        return ", ".join(parts)


class _ForwardConv(_Conv):
    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        dtype=None,
    ):
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(
                f"{type(self).__name__}: padding_mode must be zeros, reflect, replicate, circular; got {padding_mode!r}"
            )
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"{type(self).__name__}: padding must be 'same', 'valid' or numbers; got {padding!r}")
            if padding == "same" and set(tuple_of(stride, self.axes, "stride")) != {1}:
                raise ValueError(f"{type(self).__name__}: padding 'same' needs stride 1")
        self.padding_mode = padding_mode
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, 0, groups, bias, dilation, dtype)
        self._border = self._border_of_mode() if padding_mode != "zeros" else None

    def _border_of_mode(self):
        """Border for F.pad, the last axis first: (left, right, top, bottom)."""
        border = []
        for k, d, p in zip(
            reversed(self.kernel_size),
            reversed(self.dilation),
            reversed((None,) * self.axes if isinstance(self.padding, str) else self.padding),
            strict=True,
        ):
            total = (d * (k - 1) if self.padding == "same" else 0) if p is None else 2 * p
            border += [total // 2, total - total // 2]
        return tuple(border)

    def forward(self, x, *act):
        padding = self.padding
        if self._border is not None:
            x, padding = F.pad(x, self._border, self.padding_mode), 0
        return self.function(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups, *act)


class Conv1d(_ForwardConv):
    """Convolution over sequences.

    Shapes      x (N, C, L) -> (N, O, (L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1)
    Parameters  weight (O, C/groups, K), bias (O,)
    """

    axes = 1

    @staticmethod
    def function(*args):
        return F.conv1d(*args)


class Conv2d(_ForwardConv):
    """Convolution over images.

    Beyond torch: forward(x, act="relu") applies ReLU before the result is stored; a Sequential does so by itself where
    ReLU follows.

    Shapes      x (N, C, H, W) -> (N, O, OH, OW), OH = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1
    Parameters  weight (O, C/groups, KH, KW), bias (O,)

    Example
    >>> Conv2d(3, 64, 7, stride=2, padding=3)
    Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3))
    """

    @staticmethod
    def function(*args):
        return F.conv2d(*args)

    def forward(self, x, act=None):
        return super().forward(x, act)


class _TransposedConv(_Conv):
    transposed = True

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        dtype=None,
    ):
        if isinstance(padding, str):
            raise ValueError(f"{type(self).__name__}: padding must be numbers; got {padding!r}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation, dtype
        )

    def forward(self, x, output_size=None):
        extra = self.output_padding if output_size is None else self._output_padding(x, output_size)
        return self.function(x, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _output_padding(self, x, output_size):
        """The output_padding that gives this output size."""
        wanted = tuple(output_size)[-self.axes :]
        extra = []
        for n, size in enumerate(x.shape[-self.axes :]):
            least = (size - 1) * self.stride[n] - 2 * self.padding[n] + self.dilation[n] * (self.kernel_size[n] - 1) + 1
            if not least <= wanted[n] < least + self.stride[n]:
                raise ValueError(
                    f"output_size {wanted} cannot come from an input of shape {x.shape}: "
                    f"axis {n} may be {least} to {least + self.stride[n] - 1}"
                )
            extra.append(wanted[n] - least)
        return tuple(extra)


class ConvTranspose1d(_TransposedConv):
    """Transposed convolution over sequences.

    Shapes      x (N, C, L) -> (N, O, (L - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1)
    Parameters  weight (C, O/groups, K), bias (O,)
    """

    axes = 1

    @staticmethod
    def function(*args):
        return F.conv_transpose1d(*args)


class ConvTranspose2d(_TransposedConv):
    """Transposed convolution over images; output_size in the call chooses among the sizes that a stride leaves open.

    Shapes      x (N, C, H, W) -> (N, O, OH, OW),
                OH = (H - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1
    Parameters  weight (C, O/groups, KH, KW), bias (O,)
    """

    @staticmethod
    def function(*args):
        return F.conv_transpose2d(*args)
