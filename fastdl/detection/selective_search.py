"""Selective search: boxes of regions, found by merging what looks alike, bottom up.

1. Graph segmentation: pixels are nodes, neighbours are joined by edges weighted with the difference of their colours;
   regions merge along light edges, as long as these are lighter than what holds the regions together.
2. The two most similar neighbouring regions merge, again and again, until one is left. Similarity: the histograms of
   colour and of texture that two regions have in common, and how small and how well fitting they are together.
   Histograms of a union are the size-weighted means, so nothing is looked at twice.
3. Every region of the hierarchy gives a box; several colour spaces, scales and similarities give different hierarchies.

Ref  Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", 2004; Uijlings, van de Sande, Gevers,
     Smeulders, "Selective Search for Object Recognition", 2013.
"""

import numpy as np

from fastdl.detection import _loops

COLOUR_BINS, TEXTURE_BINS, ORIENTATIONS = 25, 10, 8
MODES = {  # (colour spaces, k, whether colour counts in the similarity)
    "single": (("hsv",), (100,), (True,)),
    "fast": (("hsv", "lab"), (50, 100), (True, False)),
    "quality": (("hsv", "lab", "rgi", "rgb", "grey"), (50, 100, 150, 300), (True, False)),
}


def _check(image):
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape or image.dtype.kind not in "uif":
        raise ValueError(
            f"selective search: expected an image (H, W), (H, W, 1) or (H, W, 3), 0..255; got {image.dtype} {image.shape}"
        )
    image = image.astype(np.float64)
    if not np.isfinite(image).all():
        raise ValueError("selective search: the image has numbers that are not finite")
    return image


def _filter(x, taps, axis):
    """Convolve with odd taps along an axis; the border repeats."""
    r = len(taps) // 2
    pad = [(0, 0)] * x.ndim
    pad[axis] = (r, r)
    wide, n = np.pad(x, pad, "edge"), x.shape[axis]
    return sum(t * wide[(slice(None),) * axis + (slice(i, i + n),)] for i, t in enumerate(taps))


def _gauss(sigma):
    x = np.arange(-int(np.ceil(4 * sigma)), int(np.ceil(4 * sigma)) + 1)
    taps = np.exp(-(x**2) / (2 * sigma**2))
    return taps / taps.sum()


def graph_segmentation(image, k=100.0, sigma=0.8, min_size=20) -> np.ndarray:
    """(H, W) int64 region numbers 0, 1, ...

    image    (H, W[, C]), 0..255, C = 1 or 3
    k        larger: larger regions
    sigma    of the blur before
    min_size pixels; smaller regions join a neighbour

    Example
    >>> int(graph_segmentation(np.repeat([0, 255], 8)[None].repeat(16, 0), k=10).max())
    1
    """
    return _segments(_check(image), k, sigma, min_size)


def _segments(image, k, sigma, min_size):
    H, W, _ = image.shape
    if sigma > 0:
        taps = _gauss(sigma)
        image = _filter(_filter(image, taps, 0), taps, 1)
    number = np.arange(H * W, dtype=np.int32).reshape(H, W)
    starts, ends, weights = [], [], []
    for a, b in (
        (np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]), (np.s_[1:, :-1], np.s_[:-1, 1:]),
    ):  # fmt: skip
        starts.append(number[a].ravel()), ends.append(number[b].ravel())
        weights.append(np.sqrt(((image[a] - image[b]) ** 2).sum(-1)).ravel())
    starts, ends, weights = np.concatenate(starts), np.concatenate(ends), np.concatenate(weights)
    order = np.argsort(weights, kind="stable")
    parent, size = number.reshape(-1).copy(), np.ones(H * W, np.int32)
    _loops.segment(starts[order], ends[order], weights[order], float(k), int(min_size), parent, size, np.zeros(H * W))
    return np.unique(parent, return_inverse=True)[1].reshape(H, W)


def _colours(image, space):
    """The image in a colour space, every channel 0..255."""
    if image.shape[2] == 1 or space == "rgb":
        return image
    r, g, b = np.moveaxis(image, -1, 0) / 255
    if space == "grey":
        return (255 * (0.299 * r + 0.587 * g + 0.114 * b))[..., None]
    if space == "rgi":
        total = np.maximum(r + g + b, 1e-9)
        return 255 * np.stack([r / total, g / total, total / 3], -1)
    top, low = np.maximum(np.maximum(r, g), b), np.minimum(np.minimum(r, g), b)
    if space == "hsv":
        span = np.maximum(top - low, 1e-9)
        hue = np.where(top == r, (g - b) / span, np.where(top == g, 2 + (b - r) / span, 4 + (r - g) / span)) / 6 % 1
        return 255 * np.stack([hue * (top > low), (top - low) / np.maximum(top, 1e-9), top], -1)
    if space != "lab":
        raise ValueError(f"selective search: colour spaces are rgb, grey, rgi, hsv and lab; got {space!r}")
    linear = np.where(image / 255 <= 0.04045, image / 255 / 12.92, ((image / 255 + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    t = linear @ to_xyz.T / [0.9505, 1.0, 1.089]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t * (29 / 6) ** 2 / 3 + 4 / 29)
    L, a, b = 116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])
    return np.stack([L * 2.55, a + 128, b + 128], -1)


def _textures(image):
    """(H, W, C 8): how strongly each channel rises (Gaussian derivatives, sigma 1) in each of eight directions."""
    taps = _gauss(1.0)
    x = np.arange(len(taps)) - len(taps) // 2
    slope = x * taps
    dx = _filter(_filter(image, slope, 1), taps, 0)
    dy = _filter(_filter(image, slope, 0), taps, 1)
    angles = 2 * np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
    return np.concatenate([np.maximum(np.cos(t) * dx + np.sin(t) * dy, 0) for t in angles], -1)


def region_histograms(values, labels, bins, top) -> np.ndarray:
    """(R, C bins): of every region the histogram of each channel of values (H, W, C) over 0..top; each row sums to 1."""
    R, C = int(labels.max()) + 1, values.shape[-1]
    where = np.clip((values * (bins / top)).astype(np.int64), 0, bins - 1)  # (H, W, C)
    index = (labels[..., None] * C + np.arange(C)) * bins + where
    counts = np.bincount(index.ravel(), minlength=R * C * bins).reshape(R, C * bins).astype(np.float64)
    return counts / counts.sum(1, keepdims=True)


def _regions(labels):
    """(sizes (R,), boxes (R, 4), adjacent (R, R) uint8)."""
    H, W = labels.shape
    R = int(labels.max()) + 1
    flat = labels.ravel()
    y, x = np.divmod(np.arange(H * W), W)
    boxes = np.empty((R, 4))
    for column, v, reduce, start in (
        (0, x, np.minimum, W),
        (1, y, np.minimum, H),
        (2, x + 1, np.maximum, 0),
        (3, y + 1, np.maximum, 0),
    ):
        side = np.full(R, start)
        reduce.at(side, flat, v)
        boxes[:, column] = side
    adjacent = np.zeros((R, R), np.uint8)
    for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        adjacent[a, b] = adjacent[b, a] = 1
    np.fill_diagonal(adjacent, 0)
    return np.bincount(flat, minlength=R).astype(np.float64), boxes, adjacent


def hierarchy(histograms, colours, sizes, boxes, adjacent, area, use_colour=True, use_texture=True):
    """(2 R - 1, 4) boxes: the R regions, then every union in the order of merging; see this file's top."""
    R = len(sizes)
    out = np.empty((2 * R - 1, 4))
    count = _loops.group(
        *(
            histograms.copy(),
            sizes.copy(),
            boxes.copy(),
            adjacent.copy(),
            colours,
            float(area),
            use_colour,
            use_texture,
        ),
        *(np.empty((R, R)), np.empty(R, np.intp), np.empty(R), out),
    )
    return out[:count]


def selective_search(image, mode="fast", most=None, min_side=0, sigma=0.8, min_size=20, seed=0) -> np.ndarray:
    """(P, 4) float32 boxes that may hold objects, the likelier first, each once.

    image     (H, W), (H, W, 1) or (H, W, 3), 0..255
    mode      "single", "fast" or "quality": more colour spaces and scales, more boxes and time; or such a triple itself
    most      at most so many boxes
    min_side  boxes must be at least so wide and high
    seed      boxes come in the order of (place in the hierarchy, from its top) times a random number
    """
    image = _check(image)
    if isinstance(mode, str) and mode not in MODES:
        raise ValueError(f"selective search: mode must be one of {', '.join(MODES)}; got {mode!r}")
    spaces, scales, colour_counts = MODES[mode] if isinstance(mode, str) else mode
    if image.shape[2] == 1:
        spaces = ("grey",)
    rng = np.random.default_rng(seed)
    boxes, order = [], []
    for space in spaces:
        x = _colours(image, space)
        textures = _textures(x)
        top = max(textures.max(), 1e-9)
        for k in scales:
            labels = _segments(x, k, sigma, min_size)
            histograms = [
                region_histograms(x, labels, COLOUR_BINS, 256.0), region_histograms(textures, labels, TEXTURE_BINS, top * 1.0001),
            ]  # fmt: skip
            regions = _regions(labels)
            joined = np.ascontiguousarray(np.concatenate(histograms, 1))
            for use_colour in colour_counts:
                found = hierarchy(joined, histograms[0].shape[1], *regions, labels.size, use_colour)
                boxes.append(found)
                order.append(np.arange(len(found), 0, -1) * rng.random(len(found)))
    boxes = np.concatenate(boxes)[np.argsort(np.concatenate(order), kind="stable")]
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= min_side).all(1)]
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)][:most].astype(np.float32)
