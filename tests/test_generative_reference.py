"""Published generative networks against stored fingerprints: names and shapes, and what hashed weights make of a fixed input.

`python tests/test_generative_reference.py` writes tests/data/generative.json anew; DCGAN's and CycleGAN's networks were compared
with the same layers of torch (tests/test_gan.py) when it was written.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import fastdl as fd
from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.models import cyclegan, dcgan, infogan, pixelrnn, progressive_gan, puzzle_gan, stargan, text2image
from fastdl.models.gan import GAN
from fastdl.models.nade import NADE
from fastdl.models.vae import VAE
from fastdl.testing import fill_hashed, keys_hash

FILE = Path(__file__).parent / "data" / "generative.json"
WORDS = ["a red bird", "a small yellow bird with a black beak"]

PUBLISHED = {
    "NADE 784-500": lambda: NADE(784, 500),
    "VAE 784-500-20": lambda: VAE(784, 500, 20),
    "GAN generator": lambda: GAN().generator,
    "GAN discriminator": lambda: GAN().discriminator,
    "DCGAN generator": dcgan.Generator,
    "DCGAN discriminator": dcgan.Discriminator,
    "InfoGAN": infogan.InfoGAN,
    "CycleGAN generator, 9 blocks": cyclegan.Generator,
    "CycleGAN generator, 6 blocks": lambda: cyclegan.Generator(blocks=6),
    "CycleGAN discriminator": cyclegan.Discriminator,
    "StarGAN generator": stargan.Generator,
    "StarGAN discriminator": stargan.Discriminator,
    "Progressive GAN generator": progressive_gan.Generator,
    "Progressive GAN discriminator": progressive_gan.Discriminator,
    "Text2Image generator": text2image.Generator,
    "Text2Image discriminator": text2image.Discriminator,
    "CharCNNRNN": text2image.CharCNNRNN,
    "PuzzleGAN": puzzle_gan.PuzzleGAN,
    "PixelRNN, MNIST": pixelrnn.pixelrnn_mnist,
    "PixelRNN, CIFAR-10": pixelrnn.pixelrnn_cifar10,
}


def wave(*shape):
    """A fixed input in -1..1."""
    return Tensor(np.sin(np.arange(np.prod(shape), dtype=np.float64) * 0.37).astype(np.float32).reshape(shape))


FORWARD = {
    "NADE": (lambda: NADE(20, 8), lambda m: m((wave(3, 20).array > 0).astype(np.float32))),
    "VAE": (lambda: VAE(16, 8, 3), lambda m: m.decode(m.encode((wave(2, 16).array > 0).astype(np.float32)).mean).base.logits),
    "DCGAN generator": (lambda: dcgan.Generator(16, 1, 6, 4).eval(), lambda m: m(wave(2, 6))),
    "DCGAN discriminator": (lambda: dcgan.Discriminator(16, 1, 4).eval(), lambda m: m(wave(2, 1, 16, 16))),
    "CycleGAN generator": (lambda: cyclegan.Generator(3, 4, 2), lambda m: m(wave(1, 3, 16, 16))),
    "CycleGAN discriminator": (lambda: cyclegan.Discriminator(3, 4), lambda m: m(wave(1, 3, 32, 32))),
    "StarGAN generator": (lambda: stargan.Generator(3, 2, 4, 1).train(), lambda m: m(wave(1, 3, 8, 8), wave(1, 2))),
    "StarGAN discriminator": (lambda: stargan.Discriminator(16, 3, 2, 4, 3), lambda m: m(wave(1, 3, 16, 16))[1]),
    "Progressive GAN generator": (lambda: progressive_gan.Generator(16, 1, 32, 8), lambda m: m(wave(2, 8))),
    "Progressive GAN discriminator": (lambda: progressive_gan.Discriminator(16, 1, 32, 8), lambda m: m(wave(4, 1, 16, 16))),
    "CharCNNRNN": (lambda: text2image.CharCNNRNN(8, 6, 6), lambda m: m(m.encode(WORDS))),
    "PixelRNN row": (lambda: pixelrnn.PixelRNN("row", 1, 4, maps=6, first=3), lambda m: m.logits(wave(1, 1, 5, 5))),
    "PixelRNN diagonal": (lambda: pixelrnn.PixelRNN("diagonal", 1, 4, maps=6, first=3), lambda m: m.logits(wave(1, 1, 5, 5))),
}  # fmt: skip


def fingerprint(make, call):
    with fd.no_grad():
        y = call(fill_hashed(make())).array.astype(np.float64).ravel()
    return [float(y.mean()), float(np.abs(y).mean()), *map(float, y[:: max(1, len(y) // 6)][:6])]


def published(make):
    with nn.init_empty():
        return keys_hash(make().state_dict())


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_shapes(name):
    assert published(PUBLISHED[name]) == json.loads(FILE.read_text())["keys"][name]


@pytest.mark.parametrize("name", FORWARD)
def test_outputs_of_hashed_weights(name):
    want = json.loads(FILE.read_text())["outputs"][name]
    np.testing.assert_allclose(fingerprint(*FORWARD[name]), want, rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    stored = {
        "keys": {name: published(make) for name, make in PUBLISHED.items()},
        "outputs": {name: fingerprint(*pair) for name, pair in FORWARD.items()},
    }
    FILE.write_text(json.dumps(stored, indent=1) + "\n")
