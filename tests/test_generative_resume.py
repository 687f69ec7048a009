"""A training of a generative model that was cut and goes on ends with the same bits as one that was not."""

import numpy as np
import pytest

import fastdl as fd
from fastdl.distributions.training import Training
from fastdl.models.aae import AAE
from fastdl.models.cyclegan import CycleGAN
from fastdl.models.dcgan import DCGAN
from fastdl.models.gan import gan_small
from fastdl.models.infogan import InfoGAN, InfoGANConfig
from fastdl.models.nade import NADE
from fastdl.models.progressive_gan import ProgressiveGAN
from fastdl.models.puzzle_gan import PuzzleGAN
from fastdl.models.stargan import StarGAN
from fastdl.models.text2image import Text2Image
from fastdl.recipes._generative import Keep

draw = np.random.default_rng(0)
VECTORS = draw.uniform(-1, 1, (24, 16)).astype(np.float32)
IMAGES = draw.uniform(-1, 1, (24, 1, 16, 16)).astype(np.float32)
SMALL = IMAGES[:, :, ::2, ::2].copy()
LABELS = np.eye(2, dtype=np.float32)[np.arange(24) % 2]
CAPTIONS = ["a red one", "a blue two"] * 12
BITS = (VECTORS > 0).astype(np.float32)

CASES = {
    "gan": (lambda: gan_small(16, 4, g_hidden=(8, 8), d_hidden=(8, 8)), lambda m, **k: m.fit(VECTORS, 8, 8, **k)),
    "gan, averaged": (
        lambda: gan_small(16, 4, g_hidden=(8, 8), d_hidden=(8, 8)),
        lambda m, **k: m.fit(VECTORS, 8, 8, ema=0.9, n_critic=2, **k),
    ),
    "dcgan": (lambda: DCGAN(16, 1, 4, 2), lambda m, **k: m.fit(IMAGES, 8, 8, **k)),
    "aae": (lambda: AAE(16, 2, 8, classes=2), lambda m, **k: m.fit(VECTORS, 8, 8, labels=LABELS[:, 0].astype(int), **k)),
    "infogan": (
        lambda: InfoGAN(InfoGANConfig(4, 3, 1, 8, 4, 2, 8, 4, image_size=16)), lambda m, **k: m.fit(IMAGES, 8, 8, **k),
    ),
    "cyclegan": (
        lambda: CycleGAN(1, 2, blocks=1, d_layers=1), lambda m, **k: m.fit(IMAGES[:11], IMAGES[11:], 8, pool=3, **k),
    ),
    "stargan": (lambda: StarGAN(2, 8, 1, 2, 2, 1, 2), lambda m, **k: m.fit(SMALL, LABELS, 8, 4, n_critic=3, **k)),
    "stargan that copies first": (
        lambda: StarGAN(2, 8, 1, 2, 2, 1, 2),
        lambda m, **k: m.fit(SMALL, LABELS, 5, 4, n_critic=1, copy_steps=3, squared=0.5, ramp=4, noise=0.3, **k),
    ),
    "puzzle_gan": (lambda: PuzzleGAN(2, 16, 1, 2, 3), lambda m, **k: m.fit(IMAGES, 8, 4, **k)),
    "text2image": (
        lambda: Text2Image(CAPTIONS, 16, 1, 4, 6, 4, 2), lambda m, **k: m.fit(IMAGES, CAPTIONS, steps=8, batch_size=8, **k),
    ),
    "progressive_gan": (lambda: ProgressiveGAN(16, 1, 32, 4), lambda m, **k: m.fit(IMAGES, [8, 16, 8], 4, **k)),
    "nade": (
        lambda: NADE(16, 4), lambda m, **k: m.fit(BITS[:18], 8, batch_size=5, validation=BITS[18:], **k),
    ),
}  # fmt: skip


class Cut(Exception):
    pass


@pytest.mark.parametrize("name", CASES)
def test_a_cut_training_goes_on_bit_for_bit(name, tmp_path):
    make, fit = CASES[name]
    fits = lambda keep: (fd.manual_seed(3), make())[1]  # noqa: E731

    def cut(training):
        seen.append(training.step)
        getattr(training.model, "eval", lambda: None)()  # as a grid of samples would
        fd.randn(3)
        if len(seen) == 2:
            raise Cut

    seen, whole = [], fits(None)
    log = fit(whole, seed=5)
    first = fits(None)
    with pytest.raises(Cut):
        fit(first, seed=5, keep=Keep(tmp_path, False, cut))
    second = fits(None)
    fd.randn(7)  # the resumed process stands elsewhere in its random numbers
    resumed = fit(second, seed=5, keep=Keep(tmp_path, True))
    assert resumed == log and len(log) > 0
    want, got = whole.state_dict(), second.state_dict()
    assert want.keys() == got.keys()
    for key in want:
        assert np.array_equal(np.asarray(want[key].array), np.asarray(got[key].array)), key
    assert any(
        not np.array_equal(want[k].array, first.state_dict()[k].array) for k in want
    )  # it was cut before the end


def test_state_of_another_training_is_refused():
    model = fd.nn.Linear(2, 2)
    make = lambda name: Training(model, 3, {name: fd.optim.SGD(model.parameters(), lr=0.1)})  # noqa: E731
    with pytest.raises(ValueError, match="optimizers"):
        make("b").load_state_dict(make("a").state_dict())
    with pytest.raises(ValueError, match="at least one step"):
        Training(model, 0, {})
