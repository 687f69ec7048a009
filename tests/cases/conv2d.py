"""Cases of conv2d: each small one stands for the forward, the data gradient and the weight gradient."""

import numpy as np

from fastdl.kernels._conv_shapes import conv_geometry
from fastdl.testing import Case, channels_last


def _three(name, x, w, bench=False, bias=True, act=None, **params):
    """The three entry points on one problem."""
    geometry = conv_geometry(
        x, w, *(params.get(k, d) for k, d in (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1)))
    )
    y = geometry.out_shape
    O, Cg, KH, KW = w
    b = (O,) if bias else None
    forward = {**params, "act": act} if act else params
    image = channels_last if bench else tuple
    return [
        Case(name, "conv2d_forward", {"x": image(x), "w": w, "b": b}, forward, K=Cg * KH * KW + 1, bench=bench),
        Case(
            name,
            "conv2d_backward_x",
            {"dy": image(y), "w": w},
            {"x_shape": x, **params},
            K=O // params.get("groups", 1) * KH * KW,
            bench=bench,
        ),
        Case(
            name,
            "conv2d_backward_w",
            {"dy": image(y), "x": image(x)},
            {"w_shape": w, "want_bias": bias, **params},
            K=max(1, y[0] * y[2] * y[3]),
            bench=bench,
        ),
    ]


def _with_nan(rng):
    x = rng.standard_normal((2, 3, 6, 5))
    x[0, 1, 2, 3], x[1, 2, 5, 4] = np.nan, np.inf
    return x


CASES = [
    *_three("one pixel", (1, 1, 1, 1), (1, 1, 1, 1)),
    *_three("plain", (2, 3, 6, 5), (4, 3, 3, 3)),
    *_three("padding and relu", (1, 5, 7, 6), (7, 5, 3, 3), padding=1, act="relu"),
    *_three("no bias", (1, 4, 5, 5), (3, 4, 2, 2), bias=False),
    *_three("stride 2", (1, 3, 9, 8), (5, 3, 3, 3), stride=2, padding=1),
    *_three("stride 2 by 3", (1, 2, 11, 13), (3, 2, 3, 5), stride=(2, 3), padding=(1, 2)),
    *_three("stride larger than the kernel", (2, 3, 10, 11), (4, 3, 2, 1), stride=(3, 4)),
    *_three("dilation", (1, 3, 9, 10), (4, 3, 3, 2), dilation=(2, 3), padding=2),
    *_three("dilation and stride", (1, 2, 12, 11), (3, 2, 3, 3), dilation=2, stride=3, padding=3),
    *_three("stride divides the dilation", (1, 2, 9, 9), (2, 2, 3, 3), dilation=2, stride=2, padding=2),
    *_three("four paddings", (1, 3, 5, 6), (4, 3, 4, 4), padding=(2, 1, 0, 3)),
    *_three("padding beyond the kernel", (1, 2, 3, 3), (3, 2, 2, 2), padding=3),
    *_three("kernel larger than the input", (2, 3, 2, 3), (5, 3, 5, 5), padding=2),
    *_three("groups", (1, 6, 5, 6), (8, 3, 3, 3), padding=1, groups=2),
    *_three("one output a group", (1, 6, 5, 4), (3, 2, 3, 3), groups=3),
    *_three("depthwise", (2, 19, 7, 6), (19, 1, 3, 3), padding=1, groups=19),
    *_three("depthwise, stride 2", (1, 5, 8, 9), (5, 1, 3, 3), padding=1, stride=2, groups=5),
    *_three("depthwise, 5x5, dilated", (1, 3, 9, 9), (3, 1, 5, 5), padding=4, dilation=2, groups=3),
    *_three("depthwise, two outputs a channel", (1, 4, 6, 5), (8, 1, 3, 3), padding=1, groups=4, act="relu"),
    *_three("1x1", (2, 17, 4, 5), (19, 17, 1, 1)),
    *_three("1x1, stride 2", (1, 18, 5, 6), (7, 18, 1, 1), stride=2),
    *_three("1x1, padded", (1, 3, 3, 2), (4, 3, 1, 1), padding=1),
    *_three("tile plus one", (1, 17, 5, 5), (67, 17, 3, 3), padding=1),
    *_three("small maps of a batch", (7, 18, 3, 3), (20, 18, 3, 3), padding=1),
    *_three("first layer", (1, 3, 12, 11), (18, 3, 7, 7), stride=2, padding=3),
    *_three("lenet", (3, 1, 12, 12), (6, 1, 5, 5)),
    *_three("lenet 2", (1, 6, 8, 8), (16, 6, 5, 5)),
    *_three("few outputs", (1, 18, 6, 20), (3, 18, 3, 3), padding=1),
    *_three("one row, long kernel", (2, 2, 1, 40), (3, 2, 1, 11), padding=(0, 5)),
    *_three("one row, very long kernel", (1, 17, 1, 90), (2, 17, 1, 80)),
    *_three("wide pixels", (2, 130, 4, 3), (9, 130, 3, 3), padding=1),
    *_three("wide pixels, stride 2", (2, 66, 5, 6), (9, 66, 3, 2), stride=2, padding=(2, 1)),
    *_three("wide pixels, rows apart", (2, 129, 7, 4), (9, 129, 1, 2), stride=3, padding=1),
    *_three("wide pixels, 1x1, stride 2", (3, 70, 5, 5), (17, 70, 1, 1), stride=2),
    *_three("wide pixels, 1x1, padded", (1, 70, 3, 4), (9, 70, 1, 1), stride=2, padding=1),
    *_three("wide pixels, column", (1, 70, 6, 5), (9, 70, 3, 1), stride=2, padding=1, dilation=(2, 1)),
    *_three("lenet, padded, relu", (2, 1, 11, 13), (6, 1, 5, 5), padding=2, act="relu"),
    *_three("one channel, stride 2 down", (1, 1, 13, 9), (5, 1, 3, 3), stride=(2, 1)),
    *_three("one channel to seven", (2, 1, 6, 21), (7, 1, 3, 4), padding=1),
    *_three("two channels to two", (1, 2, 9, 29), (2, 2, 3, 3), padding=1),
    *_three("three channels to eight", (2, 3, 9, 20), (8, 3, 3, 7), padding=(1, 3)),
    *_three("three channels to four", (5, 3, 9, 13), (4, 3, 3, 5), act="relu"),
    *_three("two channels to three, dilated", (2, 2, 8, 19), (3, 2, 2, 4), stride=(2, 1), dilation=(1, 3)),
    *_three("five channels to one", (2, 5, 7, 40), (1, 5, 3, 3), padding=2),
    *_three("long row", (1, 17, 2, 300), (9, 17, 1, 3), padding=1),
    *_three("empty batch", (0, 3, 5, 5), (4, 3, 3, 3)),
    *_three("no output channels", (1, 3, 5, 5), (0, 3, 3, 3)),
    *_three("no input channels", (1, 0, 5, 5), (4, 0, 3, 3)),
    Case("NaN and inf", "conv2d_forward", {"x": _with_nan, "w": (4, 3, 3, 3)}, {"padding": 1}, K=27),
    *_three("1x32x28x28->32 3x3", (1, 32, 28, 28), (32, 32, 3, 3), bench=True, padding=1),
    *_three("1x64x28x28->64 3x3", (1, 64, 28, 28), (64, 64, 3, 3), bench=True, padding=1),
    *_three("8x64x56x56->64 3x3", (8, 64, 56, 56), (64, 64, 3, 3), bench=True, padding=1),
    *_three("4x256x56x56->256 3x3", (4, 256, 56, 56), (256, 256, 3, 3), bench=True, padding=1),
    *_three("8x256x14x14->256 3x3", (8, 256, 14, 14), (256, 256, 3, 3), bench=True, padding=1),
    *_three("8x512x7x7->512 3x3", (8, 512, 7, 7), (512, 512, 3, 3), bench=True, padding=1),
    *_three("8x128x28x28->32 3x3", (8, 128, 28, 28), (32, 128, 3, 3), bench=True, padding=1),
    *_three("4x64x224x224->64 3x3", (4, 64, 224, 224), (64, 64, 3, 3), bench=True, padding=1),
    *_three("8x3x224x224->64 11x11/4", (8, 3, 224, 224), (64, 3, 11, 11), bench=True, stride=4, padding=2),
    *_three("8x3x224x224->64 7x7/2", (8, 3, 224, 224), (64, 3, 7, 7), bench=True, stride=2, padding=3),
    *_three("8x128x56x56->128 3x3/2", (8, 128, 56, 56), (128, 128, 3, 3), bench=True, stride=2, padding=1),
    *_three("8x256x56x56->64 1x1", (8, 256, 56, 56), (64, 256, 1, 1), bench=True),
    *_three("8x1024x14x14->2048 1x1/2", (8, 1024, 14, 14), (2048, 1024, 1, 1), bench=True, stride=2),
    *_three("64x1x28x28->6 5x5", (64, 1, 28, 28), (6, 1, 5, 5), bench=True),
    *_three("64x6x14x14->16 5x5", (64, 6, 14, 14), (16, 6, 5, 5), bench=True),
    *_three("depthwise 8x128x56x56 3x3", (8, 128, 56, 56), (128, 1, 3, 3), bench=True, padding=1, groups=128),
]
