"""RoI max pooling in plain loops.

Idea: walk through the cells of every bin, one channel at a time. This is the specification.
"""

from math import ceil, copysign, floor

from fastdl.kernels.roi_pool import LOWEST


def _round(a):
    """Halves away from zero."""
    low = floor(abs(a))
    return int(copysign(low + (abs(a) - low >= 0.5), a))


def forward(x, boxes, spatial_scale, out, argmax):
    T = x.dtype.type  # bins are rounded in x's dtype
    K, C, PH, PW = out.shape
    H, W = x.shape[2:]
    for k in range(K):
        n = int(boxes[k, 0])
        x1, y1, x2, y2 = (_round(v * T(spatial_scale)) for v in boxes[k, 1:])
        bin_h, bin_w = T(max(y2 - y1 + 1, 1)) / T(PH), T(max(x2 - x1 + 1, 1)) / T(PW)
        for p in range(PH):
            top = min(max(floor(T(p) * bin_h) + y1, 0), H)
            bottom = min(max(ceil(T(p + 1) * bin_h) + y1, 0), H)
            for q in range(PW):
                left = min(max(floor(T(q) * bin_w) + x1, 0), W)
                right = min(max(ceil(T(q + 1) * bin_w) + x1, 0), W)
                empty = bottom <= top or right <= left
                for c in range(C):
                    largest, cell = 0 if empty else LOWEST, H * W
                    for h in range(top, bottom):
                        for w in range(left, right):
                            if x[n, c, h, w] > largest:
                                largest, cell = x[n, c, h, w], h * W + w
                    out[k, c, p, q] = largest
                    argmax[k, c, p, q] = cell


def backward_x(dy, argmax, boxes, spatial_scale, out):
    out[...] = 0
    H, W = out.shape[2:]
    K, C, PH, PW = dy.shape
    for k in range(K):
        for p in range(PH):
            for q in range(PW):
                for c in range(C):
                    cell = int(argmax[k, c, p, q])
                    if cell < H * W:
                        out[int(boxes[k, 0]), c, cell // W, cell % W] += dy[k, c, p, q]


def backward_dy(ddx, argmax, boxes, out):
    H, W = ddx.shape[2:]
    K, C, PH, PW = out.shape
    for k in range(K):
        for p in range(PH):
            for q in range(PW):
                for c in range(C):
                    cell = int(argmax[k, c, p, q])
                    out[k, c, p, q] = ddx[int(boxes[k, 0]), c, cell // W, cell % W] if cell < H * W else 0
