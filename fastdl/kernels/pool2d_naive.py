"""Pooling in plain loops.

Idea: look at the taps of every window one by one, in row-major order. This is the specification.
"""

from math import inf, isnan

from fastdl.kernels import resize_naive

avg_forward = resize_naive.forward  # an average is a weighted sum


def _outputs(rows, cols, shape):
    """(n, c, o, p, taps) of every output; taps are (number in the window, row, column) inside the image."""
    N, C = shape[:2]
    for o in range(rows.outputs):
        for p in range(cols.outputs):
            taps = [(i * cols.taps + j, h, w) for h, i, _ in rows.of(o) for w, j, _ in cols.of(p)]
            for n in range(N):
                for c in range(C):
                    yield n, c, o, p, taps


def max_forward(x, rows, cols, out, index):
    none = rows.taps * cols.taps
    for n, c, o, p, taps in _outputs(rows, cols, x.shape):
        largest, number = -inf, taps[0][0] if taps else none
        for t, h, w in taps:
            value = x[n, c, h, w]
            if value > largest or isnan(value):
                largest, number = value, t
        out[n, c, o, p] = largest
        if index is not None:
            index[n, c, o, p] = number


def max_backward_x(dy, index, rows, cols, out):
    out[...] = 0
    for n, c, o, p, taps in _outputs(rows, cols, dy.shape):
        for t, h, w in taps:
            if index[n, c, o, p] == t:
                out[n, c, h, w] += dy[n, c, o, p]


def max_backward_dy(ddx, index, rows, cols, out):
    out[...] = 0
    for n, c, o, p, taps in _outputs(rows, cols, ddx.shape):
        for t, h, w in taps:
            if index[n, c, o, p] == t:
                out[n, c, o, p] = ddx[n, c, h, w]
