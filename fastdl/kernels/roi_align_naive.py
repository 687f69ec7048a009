"""RoI align in plain loops.

Idea: take every sample of every bin, mix its four cells, add up. This is the specification.
"""

from math import ceil


def _bins(corners, PH, PW, T, spatial_scale, aligned):
    """(y1, x1, height of a bin, width of a bin) on the map, computed in T."""
    x1, y1, x2, y2 = (v * T(spatial_scale) - T(0.5 if aligned else 0) for v in corners)
    height, width = y2 - y1, x2 - x1
    if not aligned:
        height, width = max(height, T(1)), max(width, T(1))
    return y1, x1, height / T(PH), width / T(PW)


def _line(start, step, p, samples, size, T):
    """Samples of bin p along one axis: (cell, next cell, weight of the next), or None where a sample is outside."""
    line = []
    for i in range(samples):
        at = start + p * step + (i + 0.5) * step / samples
        if not -1 <= at <= size:
            line.append(None)
            continue
        at = max(at, 0.0)
        low = int(at)
        if low >= size - 1:
            line.append((size - 1, size - 1, T(0)))
        else:
            line.append((low, low + 1, T(at - low)))
    return line


def _samples(boxes, shape, PH, PW, spatial_scale, sampling_ratio, aligned):
    """(k, n, p, q, count, samples) of every bin; samples are four (row, column, weight) each."""
    T = boxes.dtype.type
    H, W = shape[2:]
    for k in range(len(boxes)):
        y1, x1, bin_h, bin_w = _bins(boxes[k, 1:].tolist(), PH, PW, float, spatial_scale, aligned)
        gy = gx = sampling_ratio
        if sampling_ratio <= 0:  # counted in x's dtype
            _, _, tall, wide = _bins(boxes[k, 1:], PH, PW, T, spatial_scale, aligned)
            gy, gx = max(ceil(tall), 0), max(ceil(wide), 0)
        for p in range(PH):
            rows = _line(y1, bin_h, p, gy, H, T)
            for q in range(PW):
                columns = _line(x1, bin_w, q, gx, W, T)
                samples = [
                    ((i, j, (1 - y) * (1 - x)), (i, jj, (1 - y) * x), (ii, j, y * (1 - x)), (ii, jj, y * x))
                    for i, ii, y in filter(None, rows)
                    for j, jj, x in filter(None, columns)
                ]
                yield k, int(boxes[k, 0]), p, q, T(max(gy * gx, 1)), samples


def forward(x, boxes, spatial_scale, sampling_ratio, aligned, out):
    _, C, PH, PW = out.shape
    for k, n, p, q, count, samples in _samples(boxes, x.shape, PH, PW, spatial_scale, sampling_ratio, aligned):
        for c in range(C):
            total = x.dtype.type(0)
            for sample in samples:
                for i, j, weight in sample:
                    total += weight * x[n, c, i, j]
            out[k, c, p, q] = total / count


def backward_x(dy, boxes, spatial_scale, sampling_ratio, aligned, out):
    _, C, PH, PW = dy.shape
    out[...] = 0
    for k, n, p, q, count, samples in _samples(boxes, out.shape, PH, PW, spatial_scale, sampling_ratio, aligned):
        for c in range(C):
            for sample in samples:
                for i, j, weight in sample:
                    out[n, c, i, j] += weight * dy[k, c, p, q] / count
