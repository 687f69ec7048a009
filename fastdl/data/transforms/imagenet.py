"""How images are prepared for networks with ImageNet's weights, and the names of its classes."""

import json

import numpy as np

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet_eval(crop=224, resize=256):
    """A function that prepares images: the shorter side to `resize`, the middle `crop` x `crop`, 0..1, standardised.

    Shapes  (N, 3, H, W) bytes, or floats in 0..1 -> (N, 3, crop, crop) float32
    Errors  ValueError for images of other channels

    Example
    >>> imagenet_eval()(np.zeros((2, 3, 300, 451), np.uint8)).shape
    (2, 3, 224, 224)
    """
    if not 1 <= crop <= resize:
        raise ValueError(f"imagenet_eval: crop must lie in 1..resize; got crop={crop}, resize={resize}")

    def prepare(x):
        x = np.asarray(x)
        if x.ndim != 4 or x.shape[1] != 3 or not min(x.shape[2:]):
            hint = "; a grey image: x.repeat(3, 1)" if x.ndim == 4 and x.shape[1] == 1 else ""
            raise ValueError(f"imagenet_eval: expected images (N, 3, H, W); got shape {x.shape}{hint}")
        x = x.astype(np.float32) / np.float32(1 if x.dtype.kind == "f" else 255)
        least = min(x.shape[2:])
        rows, columns = (_triangles(n, int(resize * n / least), crop) for n in x.shape[2:])
        x = np.matmul(np.matmul(rows, x), columns.T)  # (N, 3, crop, crop)
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (MEAN, STD))
        return (x - mean) / std

    return prepare


def _triangles(source, size, crop):
    """(crop, source): the middle rows of the matrix that resizes a line of `source` pixels to `size`.

    Each new pixel is a mean with triangular weights, as wide as the pixels become apart: what Pillow and torch (antialias) take.
    """
    scale = source / size
    first = round((size - crop) / 2)
    centre = (first + np.arange(crop) + 0.5)[:, None] * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(source) + 0.5 - centre) / max(scale, 1))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def ten_crop(x, size) -> np.ndarray:
    """(10 N, C, size, size) of images (N, C, H, W): corners and middle of each, and the same of its mirror image.

    A network's answer is the mean of its scores: scores.reshape(N, 10, -1).mean(1).
    """
    x = np.asarray(x)
    if x.ndim != 4 or not 1 <= size <= min(x.shape[2:]):
        raise ValueError(f"ten_crop: images (N, C, H, W) of at least {size} x {size} are needed; got shape {x.shape}")
    H, W = x.shape[2:]
    bottom, right = H - size, W - size
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]
    crops = [m[:, :, r : r + size, c : c + size] for m in (x, x[..., ::-1]) for r, c in corners]
    return np.stack(crops, 1).reshape(-1, x.shape[1], size, size)


def imagenet_classes(path) -> list[str]:
    """Names by number, of a JSON file {"0": ["n01440764", "tench"], ...} or ["tench", ...]."""
    with open(path, encoding="utf-8") as file:
        try:
            table = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is not JSON ({error})") from None
    if isinstance(table, dict) and set(table) == {str(k) for k in range(len(table))}:
        table = [table[str(k)] for k in range(len(table))]
    if not isinstance(table, list) or not table or not all(isinstance(row, (str, list)) and row for row in table):
        raise ValueError(f'{path} holds no classes; expected {{"0": [id, name], "1": ...}} or a list of names')
    return [row if isinstance(row, str) else str(row[-1]) for row in table]
