"""Mixup and CutMix: shares, targets, areas, seeds."""

import numpy as np
import pytest

import fastdl as fd
from fastdl.data import CutMix, Mixup, cutmix, mixed_loss, mixup
from fastdl.nn import functional as F

X = np.random.default_rng(0).random((64, 2, 12, 10)).astype(np.float32)
Y = np.arange(64) % 5


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("per_sample", [False, True])
def test_mixup_mixes_images_and_labels_in_the_same_share(per_sample):
    x, (first, second, share) = mixup(X, Y, 0.4, per_sample, rng(1))
    order = rng(1)
    lam = order.beta(0.4, 0.4, 64) if per_sample else order.beta(0.4, 0.4)
    partner = order.permutation(64)
    np.testing.assert_allclose(share, lam, rtol=1e-6)
    w = np.reshape(lam, (-1, 1, 1, 1))
    np.testing.assert_allclose(x, w * X + (1 - w) * X[partner], atol=1e-6)
    np.testing.assert_array_equal(first, Y)
    np.testing.assert_array_equal(second, Y[partner])


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_moments_of_the_share(alpha):
    share = np.concatenate(
        [mixup(np.zeros((1000, 1), "f"), np.zeros(1000, int), alpha, True, rng(s))[1][2] for s in range(20)]
    )
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(share.mean() - 0.5) < 4 * np.sqrt(variance / len(share))
    assert abs(share.var() - variance) < 0.01


@pytest.mark.parametrize("per_sample", [False, True])
def test_the_share_of_cutmix_is_the_area_that_is_kept(per_sample):
    a = np.arange(64, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 12, 10), np.float32)
    shares = []
    for seed in range(50):
        x, (first, second, share) = cutmix(a, np.arange(64), 1.0, per_sample, rng(seed))
        moved = second != first
        kept = (x == a).mean((1, 2, 3))
        np.testing.assert_allclose(kept[moved], np.broadcast_to(share, 64)[moved], rtol=1e-6)  # exact after clipping
        other = np.where(x == a, 0, x)
        np.testing.assert_array_equal(other[moved].max((1, 2, 3))[kept[moved] < 1], second[moved][kept[moved] < 1])
        shares.append(np.ravel(share))
    assert np.concatenate(shares).std() > 0.15


@pytest.mark.parametrize("mix", [Mixup, CutMix])
def test_soft_targets_give_the_same_loss_as_two_hard_ones(mix):
    function = mixup if mix is Mixup else cutmix
    logits = fd.tensor(rng(5).standard_normal((64, 5)).astype("f"))
    for per_sample in (False, True):
        x, soft = mix(5, 0.7, per_sample)(fd.tensor(X), fd.tensor(Y), rng=rng(2))
        u, targets = function(fd.tensor(X), fd.tensor(Y), 0.7, per_sample, rng(2))
        np.testing.assert_array_equal(x.numpy(), u.numpy())
        np.testing.assert_allclose(soft.numpy().sum(1), 1, rtol=1e-6)
        loss = (lambda o, y: F.cross_entropy(o, y, reduction="none")) if per_sample else F.cross_entropy
        assert F.cross_entropy(logits, soft).item() == pytest.approx(mixed_loss(loss, logits, targets).item(), rel=1e-5)


def test_errors():
    with pytest.raises(ValueError, match="alpha must be positive"):
        mixup(X, Y, 0)
    with pytest.raises(ValueError, match="as many labels"):
        mixup(X, Y[:3])
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        cutmix(X[:, 0], Y)
    with pytest.raises(TypeError, match="floating"):
        cutmix(np.zeros((2, 1, 3, 3), int), Y[:2])
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.3"):
        Mixup(4)(X, Y)
    with pytest.raises(TypeError, match="integer labels"):
        Mixup(4)(X, Y / 2)
