"""Cases of pool2d: max and average, sliding and adaptive."""

import numpy as np

from fastdl import kernels
from fastdl.kernels import pool2d
from fastdl.kernels._memory import channels_last
from fastdl.testing import Case


def _image(shape, bench):
    """A shape, or for a benchmark numbers of that shape with channels last in memory, as activations are."""
    N, C, H, W = shape
    return (lambda rng: rng.standard_normal((N, H, W, C)).transpose(0, 3, 1, 2)) if bench else shape


def _sliding(shape, kernel_size, **params):
    rows, cols = pool2d.sliding("pool2d", shape, kernel_size, **params)
    return {"rows": rows, "cols": cols}


def _index(shape, windows):
    """The index that a forward pass over some image of this shape returns."""

    def make(rng):
        x = rng.standard_normal(shape)
        with kernels.use("numpy"):
            return channels_last(pool2d.max_pool2d_forward(x, **windows)[1])

    return make


def _all(name, shape, windows, bench=False):
    N, C = shape[:2]
    out = (N, C, windows["rows"].outputs, windows["cols"].outputs)
    index = _index(shape, windows)
    K = windows["rows"].taps * windows["cols"].taps
    common = {"params": windows, "kernel": "pool2d", "bench": bench}
    return [
        Case(name, "max_pool2d_forward", {"x": _image(shape, bench)}, **common),
        Case(name, "max_pool2d_backward_x", {"dy": _image(out, bench), "index": index}, K=K, **common),
        Case(name, "max_pool2d_backward_dy", {"ddx": _image(shape, bench), "index": index}, **common),
        Case(name, "avg_pool2d_forward", {"x": _image(shape, bench)}, K=K, **common),
        Case(name, "avg_pool2d_backward_x", {"dy": _image(out, bench)}, K=K, **common),
    ]


def _ties(rng):
    return rng.integers(-1, 2, (2, 5, 9, 8)).astype(float)


def _special(rng):
    x = rng.standard_normal((2, 5, 9, 8))
    x[0, :, 2, 3], x[0, 1, 2, 4], x[1, 2, 5:, :] = np.nan, np.nan, -np.inf
    x[1, 3, :, :] = -np.inf
    x[1, 4, 1, 1] = np.inf
    return x


def _max(name, x, **windows):
    return Case(name, "max_pool2d_forward", {"x": x}, _sliding((2, 5, 9, 8), **windows), kernel="pool2d")


def _average(name, shape, **windows):
    return _all(name, shape, _sliding(shape, **windows))[3:]


def _adaptive(shape, size):
    rows, cols = pool2d.adaptive("pool2d", shape, size)
    return {"rows": rows, "cols": cols}


CASES = [
    *_all("one pixel", (1, 1, 1, 1), _sliding((1, 1, 1, 1), 1)),
    *_all("2x2", (2, 3, 6, 8), _sliding((2, 3, 6, 8), 2)),
    *_all("2x2, a line and a column left over", (2, 6, 7, 9), _sliding((2, 6, 7, 9), 2)),
    *_all("2x2, 70 channels", (1, 70, 4, 5), _sliding((1, 70, 4, 5), 2)),
    *_all("2x2, one line of windows", (3, 16, 2, 3), _sliding((3, 16, 2, 3), 2)),
    *_all("2x2, an image below one window", (2, 5, 3, 1), _sliding((2, 5, 3, 1), (2, 1))),
    *_all("2x3/2", (2, 5, 6, 7), _sliding((2, 5, 6, 7), (2, 3), stride=2)),
    *_all("3x2/2", (2, 5, 7, 6), _sliding((2, 5, 7, 6), (3, 2), stride=2)),
    *_all("3x3/2, padding 1", (2, 17, 9, 8), _sliding((2, 17, 9, 8), 3, stride=2, padding=1)),
    *_all("70 channels", (1, 70, 5, 7), _sliding((1, 70, 5, 7), (3, 2), stride=1, padding=(1, 0))),
    *_all("ceil", (2, 3, 8, 11), _sliding((2, 3, 8, 11), 3, stride=2, padding=1, ceil_mode=True)),
    *_all("2x2 ceil, the last window leaves the image", (2, 5, 4, 7), _sliding((2, 5, 4, 7), 2, ceil_mode=True)),
    *_all("ceil drops a window", (1, 2, 4, 6), _sliding((1, 2, 4, 6), 2, stride=3, padding=1, ceil_mode=True)),
    *_all("stride over kernel", (1, 5, 11, 13), _sliding((1, 5, 11, 13), 2, stride=(3, 5))),
    *_all("dilation", (2, 3, 9, 11), _sliding((2, 3, 9, 11), (3, 2), stride=(1, 2), padding=1, dilation=(2, 3))),
    *_all("a window without taps", (1, 3, 1, 4), _sliding((1, 3, 1, 4), 2, stride=1, padding=1, dilation=2)),
    *_all("no images", (0, 3, 6, 6), _sliding((0, 3, 6, 6), 2)),
    *_all("no channels", (2, 0, 6, 6), _sliding((2, 0, 6, 6), 2)),
    *_all("300 taps", (1, 3, 20, 15), _sliding((1, 3, 20, 15), (20, 15))),
    *_all("global, many channels", (2, 130, 4, 5), _adaptive((2, 130, 4, 5), 1)),
    *_all("adaptive, windows overlap", (2, 5, 7, 10), _adaptive((2, 5, 7, 10), (3, 4))),
    *_all("adaptive, larger than x", (1, 3, 3, 4), _adaptive((1, 3, 3, 4), (5, 4))),
    *_all("adaptive to nothing", (1, 3, 3, 4), _adaptive((1, 3, 3, 4), (0, 2))),
    *_average("without padding", (2, 5, 7, 9), kernel_size=3, stride=2, padding=1, count_include_pad=False),
    *_average("without padding, ceil", (2, 5, 8, 8), kernel_size=3, stride=2, ceil_mode=True, count_include_pad=False),
    *_average("divisor", (2, 5, 7, 9), kernel_size=(3, 2), stride=2, divisor_override=5),
    _max("ties", _ties, kernel_size=3, stride=2, padding=1),
    _max("NaN and inf", _special, kernel_size=3, stride=2, padding=1),
    _max("NaN and inf, 2x2", _special, kernel_size=2),
    *_all("ResNet stem", (8, 64, 112, 112), _sliding((8, 64, 112, 112), 3, stride=2, padding=1), bench=True),
    *_all("LeNet", (64, 6, 28, 28), _sliding((64, 6, 28, 28), 2), bench=True),
    *_all("ResNet global", (8, 2048, 7, 7), _adaptive((8, 2048, 7, 7), 1), bench=True),
]
