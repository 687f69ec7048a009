"""Differentiable augmentation: what each way does, that gradients flow through it, and that a trainer shows D nothing else."""

import numpy as np
import pytest

import fastdl as fd
from fastdl.autograd import Tensor, gradcheck, gradgradcheck
from fastdl.gan import diff_augment
from fastdl.gan.augment import POLICIES
from fastdl.models.dcgan import DCGAN
from fastdl.ops.random import Generator


def seeded(seed=0):
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("way", POLICIES)
def test_gradients_flow_through(way):
    x = Tensor(np.random.default_rng(0).standard_normal((3, 2, 8, 8)), requires_grad=True)
    change = lambda t: diff_augment(t, (way,), seeded(3))  # noqa: E731
    assert gradcheck(change, (x,))
    assert gradgradcheck(lambda t: (change(t) * change(t)).sum(), (x,))


def test_shift_moves_whole_images():
    x = np.random.default_rng(0).standard_normal((20, 1, 16, 16)).astype(np.float32)
    y = diff_augment(Tensor(x), ("shift",), seeded(1)).array
    padded, moved = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))), set()
    for image, before in zip(y, padded, strict=True):
        at = [(r, c) for r in range(5) for c in range(5) if (before[:, r : r + 16, c : c + 16] == image).all()]
        assert len(at) == 1
        moved.add(at[0])
    assert len(moved) > 3


def test_cutout_removes_one_square():
    y = diff_augment(fd.ones(50, 3, 16, 16), ("cutout",), seeded(2)).array
    assert (y == y[:, :1]).all() and set(np.unique(y)) == {0, 1}
    gone = (y[:, 0] == 0).sum((1, 2))
    assert gone.max() == 64 and gone.min() >= 16  # a part of it may lie outside


def test_colour_keeps_the_pattern():
    x = np.random.default_rng(0).random((6, 1, 8, 8)).astype(np.float32)
    y = diff_augment(Tensor(x), ("colour",), seeded(2)).array.reshape(6, -1)
    for a, b in zip(x.reshape(6, -1), y, strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.999
    assert np.ptp(y.mean(1)) > 0.2


@pytest.mark.parametrize(
    ("x", "policy", "says"),
    [(fd.zeros(2, 4), POLICIES, r"\(N, C, H, W\)"), (fd.zeros(2, 1, 4, 4), ("rotate",), "colour, shift, cutout"),
     (fd.zeros(2, 1, 4, 4), "shift", "policy must be")],
)  # fmt: skip
def test_errors(x, policy, says):
    with pytest.raises(ValueError, match=says):
        diff_augment(x, policy)


def test_the_discriminator_of_a_trainer_sees_only_changed_images():
    fd.manual_seed(0)
    model = DCGAN(16, 1, 4, 4, 4)
    trainer, seen = model.trainer(augment=("cutout",)), []
    forward = model.discriminator.forward
    model.discriminator.forward = lambda x: seen.append(x.array) or forward(x)
    trainer.step(fd.ones(6, 1, 16, 16))
    assert len(seen) == 3 and all((x == 0).any((1, 2, 3)).all() for x in seen)
