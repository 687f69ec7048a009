# cython: boundscheck=False, wraparound=False, cdivision=True
"""Loops that NumPy cannot do in one call: growing regions, merging them, and the dual coordinate descent of the SVM.

Plain Python that Cython also compiles (types in _loops.pxd): a hundred times faster so, and right in any case.
"""


def _find(parent, i):
    """The root of i; paths become shorter on the way."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def segment(a, b, w, k, min_size, parent, size, inner):
    """Felzenszwalb and Huttenlocher's merging. Edges a-b of weight w in rising order; afterwards parent names the regions.

    Two regions merge if the edge is no heavier than inner + k / size of both; then small ones join their neighbours.
    parent (n,) starts as 0, 1, ...; size (n,) as 1; inner (n,) as 0: the heaviest edge within a region.
    """
    for e in range(len(a)):
        i = _find(parent, a[e])
        j = _find(parent, b[e])
        if i != j and w[e] <= inner[i] + k / size[i] and w[e] <= inner[j] + k / size[j]:
            parent[j] = i
            size[i] += size[j]
            inner[i] = w[e]
    for e in range(len(a)):
        i = _find(parent, a[e])
        j = _find(parent, b[e])
        if i != j and (size[i] < min_size or size[j] < min_size):
            parent[j] = i
            size[i] += size[j]
    for e in range(len(parent)):
        parent[e] = _find(parent, e)


def _alike(i, j, colours, area, use_colour, use_texture, histograms, sizes, boxes):
    """Similarity of two regions: the sum of the measures in use."""
    total = 0.0
    bins = histograms.shape[1]
    first = 0 if use_colour else colours
    last = bins if use_texture else colours
    for q in range(first, last):
        x = histograms[i, q]
        y = histograms[j, q]
        total += x if x < y else y
    both = sizes[i] + sizes[j]
    left = boxes[i, 0] if boxes[i, 0] < boxes[j, 0] else boxes[j, 0]
    top = boxes[i, 1] if boxes[i, 1] < boxes[j, 1] else boxes[j, 1]
    right = boxes[i, 2] if boxes[i, 2] > boxes[j, 2] else boxes[j, 2]
    bottom = boxes[i, 3] if boxes[i, 3] > boxes[j, 3] else boxes[j, 3]
    hull = (right - left) * (bottom - top)
    return total + 1.0 - both / area + 1.0 - (hull - both) / area


def group(histograms, sizes, boxes, adjacent, colours, area, use_colour, use_texture, alike, best, value, out):
    """Merge the two most similar neighbours until one region is left; returns how many boxes `out` holds: all regions ever seen.

    histograms (R, bins), sizes (R,), boxes (R, 4), adjacent (R, R) are used up. alike (R, R), best (R,), value (R,): work space.
    """
    R = len(sizes)
    for i in range(R):
        best[i] = -1
        value[i] = -1.0
        for j in range(R):
            alike[i, j] = -1.0
            if adjacent[i, j] and i != j:
                s = _alike(i, j, colours, area, use_colour, use_texture, histograms, sizes, boxes)
                alike[i, j] = s
                if s > value[i]:
                    value[i] = s
                    best[i] = j
        for q in range(4):
            out[i, q] = boxes[i, q]
    count = R
    while True:
        i = 0
        for k in range(1, R):
            if value[k] > value[i]:
                i = k
        j = best[i]
        if value[i] < 0:
            return count
        both = sizes[i] + sizes[j]
        for q in range(histograms.shape[1]):
            histograms[i, q] = (sizes[i] * histograms[i, q] + sizes[j] * histograms[j, q]) / both
        sizes[i] = both
        for q in range(2):
            if boxes[j, q] < boxes[i, q]:
                boxes[i, q] = boxes[j, q]
            if boxes[j, q + 2] > boxes[i, q + 2]:
                boxes[i, q + 2] = boxes[j, q + 2]
        for q in range(4):
            out[count, q] = boxes[i, q]
        count += 1
        value[j] = -1.0
        value[i] = -1.0
        best[i] = -1
        for k in range(R):
            if k == i or k == j or not (adjacent[i, k] or adjacent[j, k]):  # noqa: SIM109
                alike[k, j] = -1.0
                alike[j, k] = -1.0
                continue
            adjacent[j, k] = 0
            adjacent[k, j] = 0
            adjacent[i, k] = 1
            adjacent[k, i] = 1
            alike[k, j] = -1.0
            alike[j, k] = -1.0
            s = _alike(i, k, colours, area, use_colour, use_texture, histograms, sizes, boxes)
            alike[i, k] = s
            alike[k, i] = s
            if s > value[i]:
                value[i] = s
                best[i] = k
            if best[k] == i or best[k] == j or s > value[k]:
                value[k] = -1.0
                for q in range(R):
                    if alike[k, q] > value[k]:
                        value[k] = alike[k, q]
                        best[k] = q
        adjacent[i, j] = 0
        adjacent[j, i] = 0
        alike[i, j] = -1.0
        alike[j, i] = -1.0


def dual_step(x, y, norms, order, w, alpha, cost, diagonal):
    """One pass of dual coordinate descent over `order`; returns the largest violation of the optimality conditions.

    x (n, d) with the constant 1 as last column, y (n,) -1 or 1, norms (n,) squared lengths, w (d,) = sum alpha y x.
    cost (n,): the largest alpha (hinge; diagonal 0), or infinity with diagonal 1 / (2 C) (squared hinge).
    """
    worst = 0.0
    d = x.shape[1]
    for n in range(len(order)):
        i = order[n]
        dot = 0.0
        for q in range(d):
            dot += w[q] * x[i, q]
        slope = y[i] * dot - 1.0 + diagonal[i] * alpha[i]
        gain = slope
        if (alpha[i] == 0.0 and slope > 0.0) or (alpha[i] == cost[i] and slope < 0.0):
            gain = 0.0
        if gain == 0.0:
            continue
        worst = max(worst, gain, -gain)
        old = alpha[i]
        new = old - slope / (norms[i] + diagonal[i])
        if new < 0.0:
            new = 0.0
        if new > cost[i]:
            new = cost[i]
        alpha[i] = new
        step = (new - old) * y[i]
        for q in range(d):
            w[q] += step * x[i, q]
    return worst
