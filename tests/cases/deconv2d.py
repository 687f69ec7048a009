"""Cases of deconv2d: each small one stands for the forward, the data gradient and the weight gradient."""

from fastdl.kernels._conv_shapes import deconv_geometry
from fastdl.testing import Case, channels_last


def _three(name, x, w, bench=False, bias=True, act=None, **params):
    """The three entry points on one problem."""
    defaults = (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1), ("groups", 1))
    y = deconv_geometry(x, w, *(params.get(k, d) for k, d in defaults)).out_shape
    C, Og, KH, KW = w
    b = (y[1],) if bias else None
    forward = {**params, "act": act} if act else params
    cg = C // params.get("groups", 1)
    image = channels_last if bench else tuple
    return [
        Case(name, "deconv2d_forward", {"x": image(x), "w": w, "b": b}, forward, K=cg * KH * KW + 1, bench=bench),
        Case(
            name, "deconv2d_backward_x", {"dy": image(y), "w": w}, {"x_shape": x, **params}, K=Og * KH * KW, bench=bench
        ),
        Case(
            name,
            "deconv2d_backward_w",
            {"dy": image(y), "x": image(x)},
            {"w_shape": w, "want_bias": bias, **params},
            K=max(1, y[0] * y[2] * y[3]),
            bench=bench,
        ),
    ]


CASES = [
    *_three("one pixel", (1, 1, 1, 1), (1, 1, 1, 1)),
    *_three("plain", (2, 3, 4, 5), (3, 4, 3, 3)),
    *_three("doubling", (1, 5, 4, 3), (5, 7, 4, 4), stride=2, padding=1),
    *_three("doubling, relu", (1, 18, 3, 3), (18, 17, 4, 4), stride=2, padding=1, act="relu"),
    *_three("output padding", (1, 3, 4, 5), (3, 2, 3, 3), stride=2, padding=1, output_padding=1),
    *_three("stride larger than the kernel", (1, 3, 4, 3), (3, 5, 2, 1), stride=(3, 4), output_padding=(1, 2)),
    *_three("dilation", (1, 2, 4, 5), (2, 3, 3, 2), dilation=(2, 3), stride=2),
    *_three("groups", (2, 6, 4, 3), (6, 2, 3, 3), groups=3, stride=2),
    *_three("depthwise", (1, 18, 4, 5), (18, 1, 4, 4), groups=18, stride=2, padding=1),
    *_three("depthwise, two outputs a channel", (1, 3, 4, 5), (3, 2, 3, 3), groups=3, stride=2, padding=1),
    *_three("four paddings", (1, 3, 5, 4), (3, 2, 3, 3), padding=(0, 1, 2, 0), stride=2),
    *_three("to three channels", (2, 17, 6, 9), (17, 3, 4, 4), stride=2, padding=1),
    *_three("from one channel", (2, 1, 5, 5), (1, 9, 3, 3), stride=2),
    *_three("filter of 8, stride 4", (1, 3, 3, 4), (3, 3, 8, 8), stride=4, padding=2, bias=False),
    *_three("phases side by side", (2, 7, 5, 6), (7, 5, 2, 2), stride=2, act="relu"),
    *_three("phases side by side, in pairs", (1, 4, 3, 7), (4, 17, 4, 8), stride=(2, 4), padding=(1, 2)),
    *_three("a batch of small maps", (6, 16, 3, 3), (16, 16, 4, 4), stride=2, padding=1),
    *_three("empty batch", (0, 3, 4, 4), (3, 2, 3, 3)),
    *_three("no input channels", (1, 0, 3, 3), (0, 2, 3, 3)),
    *_three("1x32x14x14->32 4x4/2", (1, 32, 14, 14), (32, 32, 4, 4), bench=True, stride=2, padding=1),
    *_three("16x512x4x4->256 4x4/2", (16, 512, 4, 4), (512, 256, 4, 4), bench=True, stride=2, padding=1),
    *_three("16x128x16x16->64 4x4/2", (16, 128, 16, 16), (128, 64, 4, 4), bench=True, stride=2, padding=1),
    *_three("16x64x32x32->3 4x4/2", (16, 64, 32, 32), (64, 3, 4, 4), bench=True, stride=2, padding=1),
    *_three("1x21x28x28->21 16x16/8", (1, 21, 28, 28), (21, 21, 16, 16), bench=True, stride=8, padding=4, bias=False),
]
