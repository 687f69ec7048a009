"""Deconvolution in plain loops.

Idea: every input pixel stamps the filter, times its value, onto the output; seven loops. It is the specification.
"""


def _stamps(stride, padding, dilation, groups, x_shape, w_shape, y_shape):
    """Every multiplication of a deconvolution as the indices of y, of w (c, o, u, v) and of x (n, c, i, j)."""
    N, C, H, W = x_shape
    _, Og, KH, KW = w_shape
    _, _, OH, OW = y_shape
    for n in range(N):
        for c in range(C):
            first = c // (C // groups) * Og  # first output channel of c's group
            for i in range(H):
                for j in range(W):
                    for o in range(Og):
                        for u in range(KH):
                            for v in range(KW):
                                h = i * stride[0] + u * dilation[0] - padding[0]
                                w = j * stride[1] + v * dilation[1] - padding[1]
                                if 0 <= h < OH and 0 <= w < OW:
                                    yield (n, first + o, h, w), (c, o, u, v), (n, c, i, j)


def forward(x, w, b, stride, padding, dilation, groups, act, out):
    out[...] = 0
    for at_y, at_w, at_x in _stamps(stride, padding, dilation, groups, x.shape, w.shape, out.shape):
        out[at_y] += w[at_w] * x[at_x]
    if b is not None:
        for o in range(out.shape[1]):
            out[:, o] += b[o]
    if act == "relu":
        out[out < 0] = 0


def backward_x(dy, w, stride, padding, dilation, groups, dx):
    dx[...] = 0
    for at_y, at_w, at_x in _stamps(stride, padding, dilation, groups, dx.shape, w.shape, dy.shape):
        dx[at_x] += w[at_w] * dy[at_y]


def backward_w(dy, x, stride, padding, dilation, groups, dw, db):
    dw[...] = 0
    for at_y, at_w, at_x in _stamps(stride, padding, dilation, groups, x.shape, dw.shape, dy.shape):
        dw[at_w] += dy[at_y] * x[at_x]
    if db is not None:
        for o in range(len(db)):
            db[o] = dy[:, o].sum()
