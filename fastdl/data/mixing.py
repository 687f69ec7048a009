"""Mixup and CutMix: batches mixed with themselves in another order, and their labels in the same share.

mixup(x, y) and cutmix(x, y) give x and both labels with the share, for mixed_loss; Mixup and CutMix give probabilities, which
cross_entropy takes as they are, and fit TransformedDataset(..., batch_transform=...).
Random numbers come from batch_rng(): in a DataLoader a function of (seed, epoch, batch).
"""

import numpy as np

from fastdl.autograd import Tensor
from fastdl.data.loader import batch_rng


def _drawn(name, x, alpha, per_sample, rng):
    """(partner (N,), share (N,)) of a batch: who is mixed in, and how much of oneself is kept."""
    if alpha <= 0:
        raise ValueError(f"{name}: alpha must be positive; got {alpha}")
    rng = batch_rng() if rng is None else rng
    N = len(x)
    share = rng.beta(alpha, alpha, N) if per_sample else np.full(N, rng.beta(alpha, alpha))
    return rng.permutation(N), share, rng


def _array(t):
    return t.array if isinstance(t, Tensor) else np.asarray(t)


def _like(given, array):
    return Tensor(array) if isinstance(given, Tensor) else array


def _check(name, x, y, axes=None):
    if not len(x) or len(x) != len(y) or (axes is not None and x.ndim != axes):
        shape = "(N, C, H, W)" if axes == 4 else "(N, ...)"
        raise ValueError(f"{name}: expected x {shape} and as many labels; got shapes {x.shape} and {y.shape}")
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: expected floating x, got {x.dtype}; hint: ToFloat()")


def mixup(x, y, alpha=0.2, per_sample=False, rng=None):
    """x[i] becomes lam x[i] + (1 - lam) x[j]: j a permutation, lam from Beta(alpha, alpha), one a batch or one a sample.

    Shapes   x (N, ...) floating, y (N, ...)
    Returns  x, (y_a, y_b, lam): y of i, y of j, and lam (a float, or (N,) where per_sample)
    Ref      Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", 2018, arXiv 1710.09412
    """
    a, labels = _array(x), _array(y)
    _check("mixup", a, labels)
    partner, share, _ = _drawn("mixup", a, alpha, per_sample, rng)
    weight = share.astype(a.dtype).reshape(-1, *(1,) * (a.ndim - 1))
    mixed = a * weight + a[partner] * (1 - weight)
    return _like(x, mixed), (y, _like(y, labels[partner]), _share(x, share, per_sample))


def cutmix(x, y, alpha=1.0, per_sample=False, rng=None):
    """A box of x[i] becomes that of x[j]: j a permutation, the box of share 1 - lam of the area, lam from Beta(alpha, alpha).

    The box has the image's proportions and a centre drawn evenly, and is clipped to the image; lam is then recomputed from
    its area, so it is exactly the share of pixels that are kept.
    Shapes   x (N, C, H, W) floating, y (N, ...)
    Returns  x, (y_a, y_b, lam) as mixup does
    Ref      Yun, Han, Oh, Chun, Choe, Yoo, "CutMix", 2019, arXiv 1905.04899
    """
    a, labels = _array(x), _array(y)
    _check("cutmix", a, labels, 4)
    partner, share, rng = _drawn("cutmix", a, alpha, per_sample, rng)
    inside, share = _boxes(share, a.shape[2:], per_sample, rng)
    mixed = np.where(inside[:, None], a[partner], a)
    return _like(x, mixed), (y, _like(y, labels[partner]), _share(x, share, per_sample))


def _boxes(share, size, per_sample, rng):
    """((N, H, W) True inside each box, (N,) the share outside it)."""
    N, (H, W) = len(share), size
    half = np.sqrt(1 - share) / 2
    centre = rng.random((N, 2)) if per_sample else np.tile(rng.random(2), (N, 1))
    edges = []
    for axis, length in enumerate((H, W)):
        middle = np.floor(centre[:, axis] * length)
        low = np.round(middle - half * length).clip(0, length)[:, None]
        high = np.round(middle + half * length).clip(0, length)[:, None]
        at = np.arange(length)
        edges.append((at >= low) & (at < high))  # (N, length)
    inside = edges[0][:, :, None] & edges[1][:, None, :]
    return inside, 1 - inside.mean((1, 2))


def _share(x, share, per_sample):
    if not per_sample:
        return float(share[0])
    return _like(x, share.astype(_array(x).dtype))


def mixed_loss(loss, output, targets):
    """lam loss(output, y_a) + (1 - lam) loss(output, y_b) for what mixup and cutmix gave; for lam (N,) loss must give (N,)."""
    first, second, share = targets
    total = loss(output, first) * share + loss(output, second) * (1 - share)
    return total if isinstance(share, float) else total.mean()


class _Mix:
    """Base of the two: (x, integer labels (N,)) -> (x, probabilities (N, num_classes))."""

    def __init__(self, num_classes, alpha, per_sample=False):
        if alpha <= 0:
            raise ValueError(f"{type(self).__name__}: alpha must be positive; got {alpha}")
        self.num_classes, self.alpha, self.per_sample = num_classes, alpha, per_sample

    def __call__(self, x, y, rng=None):
        mixed, (first, second, share) = self._mix(x, y, self.alpha, self.per_sample, rng)
        array = _array(mixed)
        share = np.broadcast_to(np.asarray(_array(share), array.dtype), len(array))
        soft = np.zeros((len(array), self.num_classes), array.dtype)
        for labels, weight in ((_array(first), share), (_array(second), 1 - share)):
            if labels.ndim != 1 or labels.dtype.kind not in "iu":
                raise TypeError(
                    f"{type(self).__name__}: expected integer labels (N,), got {labels.dtype} {labels.shape}"
                )
            if labels.min() < 0 or labels.max() >= self.num_classes:
                raise ValueError(
                    f"{type(self).__name__}: labels must lie in 0..{self.num_classes - 1}; got {labels.max()}"
                )
            np.add.at(soft, (np.arange(len(labels)), labels), weight)
        return mixed, _like(mixed, soft)

    def __repr__(self):
        return f"{type(self).__name__}({self.num_classes}, alpha={self.alpha})"


class Mixup(_Mix):
    """mixup with soft targets. alpha: of Beta(alpha, alpha); per_sample: a share of its own for each sample.

    Example
    >>> x, y = Mixup(10)(np.zeros((4, 1, 8, 8), np.float32), np.array([0, 1, 2, 3]))
    >>> y.shape, y.sum(1)
    ((4, 10), array([1., 1., 1., 1.], dtype=float32))
    """

    _mix = staticmethod(mixup)

    def __init__(self, num_classes, alpha=0.2, per_sample=False):
        super().__init__(num_classes, alpha, per_sample)


class CutMix(_Mix):
    """cutmix with soft targets; arguments as Mixup's."""

    _mix = staticmethod(cutmix)

    def __init__(self, num_classes, alpha=1.0, per_sample=False):
        super().__init__(num_classes, alpha, per_sample)
