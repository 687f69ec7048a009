"""Convolution in plain loops.

Idea: the formula, one multiplication at a time, in seven loops. It is the specification: nothing here is clever.
"""


def _reads(stride, padding, dilation, groups, x_shape, w_shape, y_shape):
    """Every multiplication of a convolution: indices (n, o, i, j) of y, (o, c, u, v) of w, (n, c, h, w) of x."""
    N, O, OH, OW = y_shape
    _, _, H, W = x_shape
    _, Cg, KH, KW = w_shape
    for n in range(N):
        for o in range(O):
            first = o // (O // groups) * Cg  # first input channel of o's group
            for i in range(OH):
                for j in range(OW):
                    for c in range(Cg):
                        for u in range(KH):
                            for v in range(KW):
                                h = i * stride[0] + u * dilation[0] - padding[0]
                                w = j * stride[1] + v * dilation[1] - padding[1]
                                if 0 <= h < H and 0 <= w < W:
                                    yield (n, o, i, j), (o, c, u, v), (n, first + c, h, w)


def forward(x, w, b, stride, padding, dilation, groups, act, out):
    out[...] = 0
    for at_y, at_w, at_x in _reads(stride, padding, dilation, groups, x.shape, w.shape, out.shape):
        out[at_y] += w[at_w] * x[at_x]
    if b is not None:
        for o in range(out.shape[1]):
            out[:, o] += b[o]
    if act == "relu":
        out[out < 0] = 0


def backward_x(dy, w, stride, padding, dilation, groups, dx):
    dx[...] = 0
    for at_y, at_w, at_x in _reads(stride, padding, dilation, groups, dx.shape, w.shape, dy.shape):
        dx[at_x] += w[at_w] * dy[at_y]


def backward_w(dy, x, stride, padding, dilation, groups, dw, db):
    dw[...] = 0
    for at_y, at_w, at_x in _reads(stride, padding, dilation, groups, x.shape, dw.shape, dy.shape):
        dw[at_w] += dy[at_y] * x[at_x]
    if db is not None:
        for o in range(len(db)):
            db[o] = dy[:, o].sum()
