"""Convolution by NumPy: im2col and one matrix product a tile.

Idea: the windows of x are a strided view (rows, OW, KH, KW, C) of the zero-padded image; copied out as a matrix of
columns they turn the convolution into `columns @ filters`. Faster than loops by BLAS. It costs KH KW times the input in
memory, so the columns are made for BUDGET bytes of output rows at a time. Depthwise filters have no sum over channels
for BLAS to do: they go tap by tap over whole arrays.
"""

import numpy as np

BUDGET = 32 << 20  # bytes of columns alive at a time


def _padded(x, padding, shape):
    """x (N, C, H, W) as (N, Hp, Wp, C) with zeros around, at least as large as `shape` = (Hp, Wp)."""
    N, C, H, W = x.shape
    top, left = padding
    full = np.zeros((N, max(shape[0], H + top), max(shape[1], W + left), C), x.dtype)
    full[:, top : top + H, left : left + W] = x.transpose(0, 2, 3, 1)
    return full


def _reach(OH, OW, KH, KW, stride, dilation):
    """Rows and columns of padded input that OH x OW outputs read."""
    return (OH - 1) * stride[0] + dilation[0] * (KH - 1) + 1, (OW - 1) * stride[1] + dilation[1] * (KW - 1) + 1


def _windows(full, OH, OW, KH, KW, stride, dilation):
    """A view (N, OH, OW, KH, KW, C) of the padded input (N, Hp, Wp, C)."""
    n, h, w, c = full.strides
    return np.lib.stride_tricks.as_strided(
        full,
        (full.shape[0], OH, OW, KH, KW, full.shape[3]),
        (n, h * stride[0], w * stride[1], h * dilation[0], w * dilation[1], c),
        writeable=False,
    )


def _tiles(OH, row_bytes):
    """(first row, last row) such that the columns of a tile stay within BUDGET."""
    rows = int(max(1, min(OH, BUDGET // max(row_bytes, 1))))
    for i in range(0, OH, rows):
        yield i, min(i + rows, OH)


def _filters(w, groups):
    """w (O, C/G, KH, KW) as (G, KH KW C/G, O/G)."""
    O, Cg, KH, KW = w.shape
    return (
        w.reshape(groups, O // groups, Cg, KH, KW).transpose(0, 3, 4, 2, 1).reshape(groups, KH * KW * Cg, O // groups)
    )


def _columns(view, groups, i0, i1):
    """The columns of rows i0..i1 of the image: (G, rows OW, KH KW C/G)."""
    part = view[0, i0:i1]
    R, OW, KH, KW, C = part.shape
    Cg = C // groups
    grouped = part.reshape(R, OW, KH, KW, groups, Cg) if groups > 1 else part[:, :, :, :, None]
    return grouped.transpose(4, 0, 1, 2, 3, 5).reshape(groups, R * OW, KH * KW * Cg)


def _by_group(rows, groups):
    """(R, OW, O) as (G, R OW, O/G)."""
    R, OW, O = rows.shape
    return rows.reshape(R * OW, groups, O // groups).transpose(1, 0, 2)


def _depthwise_taps(full, OH, OW, KH, KW, stride, dilation):
    """(u, v, the pixels of the padded input (N, OH, OW, C) under that tap, a view)."""
    for u in range(KH):
        for v in range(KW):
            h, w = u * dilation[0], v * dilation[1]
            yield (
                u,
                v,
                full[:, h : h + (OH - 1) * stride[0] + 1 : stride[0], w : w + (OW - 1) * stride[1] + 1 : stride[1]],
            )


def forward(x, w, b, stride, padding, dilation, groups, act, out):
    O, Cg, KH, KW = w.shape
    N, _, OH, OW = out.shape
    y = out.transpose(0, 2, 3, 1)  # (N, OH, OW, O)
    reach = _reach(OH, OW, KH, KW, stride, dilation)
    if Cg == 1 and groups > 1:
        y[...] = 0
        times = O // groups
        for n in range(N):
            full = _padded(x[n : n + 1], padding, reach)
            for u, v, pixels in _depthwise_taps(full, OH, OW, KH, KW, stride, dilation):
                y[n] += np.repeat(pixels[0], times, axis=-1) * w[:, 0, u, v]
    else:
        filters = _filters(w, groups)
        for n in range(N):
            view = _windows(_padded(x[n : n + 1], padding, reach), OH, OW, KH, KW, stride, dilation)
            for i0, i1 in _tiles(OH, OW * KH * KW * x.shape[1] * x.itemsize):
                product = np.matmul(_columns(view, groups, i0, i1), filters)  # (G, rows OW, O/G)
                y[n, i0:i1] = product.transpose(1, 0, 2).reshape(i1 - i0, OW, O)
    if b is not None:
        y += b
    if act == "relu":
        np.maximum(y, 0, out=y)


def backward_x(dy, w, stride, padding, dilation, groups, dx):
    O, Cg, KH, KW = w.shape
    N, _, OH, OW = dy.shape
    _, C, H, W = dx.shape
    top, left = padding
    reach = _reach(OH, OW, KH, KW, stride, dilation)
    filters = _filters(w, groups).transpose(0, 2, 1)  # (G, O/G, KH KW C/G)
    for n in range(N):
        rows = dy[n].transpose(1, 2, 0)  # (OH, OW, O)
        full = np.zeros((1, max(reach[0], H + top), max(reach[1], W + left), C), dx.dtype)
        if Cg == 1 and groups > 1:
            for u, v, pixels in _depthwise_taps(full, OH, OW, KH, KW, stride, dilation):
                pixels[0] += (rows * w[:, 0, u, v]).reshape(OH, OW, C, O // groups).sum(axis=-1)
        else:
            for i0, i1 in _tiles(OH, OW * KH * KW * C * dx.itemsize):
                columns = np.matmul(_by_group(rows[i0:i1], groups), filters)  # (G, rows OW, KH KW C/G)
                columns = columns.reshape(groups, i1 - i0, OW, KH, KW, Cg).transpose(1, 2, 3, 4, 0, 5)
                columns = columns.reshape(i1 - i0, OW, KH, KW, C)
                part = full[:, i0 * stride[0] :]
                for u, v, pixels in _depthwise_taps(part, i1 - i0, OW, KH, KW, stride, dilation):
                    pixels[0] += columns[:, :, u, v]
        dx[n] = full[0, top : top + H, left : left + W].transpose(2, 0, 1)


def backward_w(dy, x, stride, padding, dilation, groups, dw, db):
    O, Cg, KH, KW = dw.shape
    N, _, OH, OW = dy.shape
    reach = _reach(OH, OW, KH, KW, stride, dilation)
    dw[...] = 0
    for n in range(N):
        rows = dy[n].transpose(1, 2, 0)  # (OH, OW, O)
        full = _padded(x[n : n + 1], padding, reach)
        if Cg == 1 and groups > 1:
            for u, v, pixels in _depthwise_taps(full, OH, OW, KH, KW, stride, dilation):
                dw[:, 0, u, v] += np.einsum("ijo,ijo->o", rows, np.repeat(pixels[0], O // groups, axis=-1))
            continue
        view = _windows(full, OH, OW, KH, KW, stride, dilation)
        for i0, i1 in _tiles(OH, OW * KH * KW * x.shape[1] * x.itemsize):
            columns = _columns(view, groups, i0, i1).transpose(0, 2, 1)  # (G, KH KW C/G, rows OW)
            product = np.matmul(columns, _by_group(rows[i0:i1], groups))  # (G, KH KW C/G, O/G)
            product = product.reshape(groups, KH, KW, Cg, O // groups).transpose(0, 4, 3, 1, 2)
            dw += product.reshape(O, Cg, KH, KW)
    if db is not None:
        dy.sum(axis=(0, 2, 3), out=db)
