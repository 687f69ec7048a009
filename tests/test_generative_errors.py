"""Bad input to generative models, in Python and through the command: refused at once, in words that say what to do."""

import json

import numpy as np
import pytest

import fastdl as fd
import fastdl_cli
from fastdl.io import save
from fastdl.models import aae, cyclegan, infogan, nade, pixelrnn, puzzle_gan, stargan, text2image, vae
from fastdl.models.dcgan import DCGAN
from fastdl.models.gan import gan_small
from fastdl.models.progressive_gan import ProgressiveGAN
from fastdl.recipes import dcgan, progressive_gan
from fastdl.recipes import nade as nade_recipe
from fastdl.recipes import stargan as stargan_recipe

CAPTIONS = ["a red one", "a blue two"]
MODELS = {  # name: (fit of images or vectors, shape of one sample)
    "GAN": (lambda x: gan_small(16, 4, g_hidden=(4,), d_hidden=(4,)).fit(x, 1, 2), (16,)),
    "DCGAN": (lambda x: DCGAN(8, 1, 4, 2).fit(x, 1, 2), (1, 8, 8)),
    "InfoGAN": (lambda x: infogan.InfoGAN(infogan.InfoGANConfig(4, 3, 1, 4, 2, 2, 4, 4, 8)).fit(x, 1, 2), (1, 8, 8)),
    "CycleGAN": (lambda x: cyclegan.CycleGAN(1, 2, blocks=1, d_layers=1).fit(x, x, 1, 2), (1, 8, 8)),
    "StarGAN": (
        lambda x: stargan.StarGAN(2, 8, 1, 2, 2, 1, 2).fit(x, np.eye(2)[np.arange(len(x)) % 2], 1, 2), (1, 8, 8),
    ),
    "PuzzleGAN": (lambda x: puzzle_gan.PuzzleGAN(1, 16, 1, 2, 2).fit(x, 1, 2), (1, 16, 16)),
    "Text2Image": (
        lambda x: text2image.Text2Image(CAPTIONS, 8, 1, 2, 4, 2, 2).fit(x, [CAPTIONS[i % 2] for i in range(len(x))], steps=1),
        (1, 8, 8),
    ),
    "ProgressiveGAN": (lambda x: ProgressiveGAN(8, 1, 16, 2).fit(x, 2, 2), (1, 8, 8)),
    "AAE": (lambda x: aae.AAE(16, 2, 4).fit(x, 1, 2), (16,)),
}  # fmt: skip
good = lambda shape, n=4: np.random.default_rng(0).uniform(-1, 1, (n, *shape)).astype(np.float32)  # noqa: E731


@pytest.mark.parametrize("name", MODELS)
def test_every_adversarial_model_refuses(name):
    fit, shape = MODELS[name]
    fit(good(shape))
    for scale, shift in ((127.5, 127.5), (3, 0), (np.nan, 0)):
        with pytest.raises(ValueError, match=r"must lie in \[-1, 1\]"):
            fit(good(shape) * scale + shift)
    with pytest.raises(ValueError, match="too few to learn a distribution from"):
        fit(good(shape, 1))
    with pytest.raises(ValueError, match="expected"):
        fit(good((*shape[:-1], shape[-1] + 3)))
    with pytest.raises(ValueError, match="expected"):
        fit(good((2, *shape)))
    with pytest.raises(ValueError, match="expected numbers"):
        fit(np.full((4, *shape), "x"))


bits = (good((16,)) > 0).astype(np.float32)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nade.NADE(16, 2).fit(bits[:1], 1), "one sample is too few"),
        (lambda: vae.VAE(16, 4, 2).fit(bits[:1], epochs=1), "one sample is too few"),
        (lambda: pixelrnn.PixelRNN("row", 1, 2).fit(bits[:1].reshape(1, 1, 4, 4), 1), "one sample is too few"),
        (lambda: pixelrnn.PixelRNN("row", 1, 2).fit(bits.reshape(4, 1, 4, 4) * 2 - 1, 1), "binarise"),
        (lambda: nade.NADE(16, 2).fit(bits * 255, 1), "0 and 1|0 or 1|binar"),
        (lambda: nade.NADE(16, 2).log_prob(bits[:, :9]), "16"),
        (lambda: ProgressiveGAN(8, 1, 16, 2).generator(fd.zeros(1, 3)), r"latent must have shape \(N, "),
        (lambda: ProgressiveGAN(8, 1, 16, 2).fit(good((1, 8, 8)), [2, 2, 2]), "one images_per_phase a level"),
        (lambda: DCGAN(8, 1, 4, 2).generate(fd.zeros(1, 3)), r"latent must have shape \(N, 4\)"),
        (lambda: cyclegan.CycleGAN(1, 2, blocks=1).translate(good((3, 8, 8))), r"expected images \(N, 1, H, W\)"),
        (lambda: cyclegan.CycleGAN(1, 2, blocks=1).translate(good((1, 8, 8)), to="c"), "'a' or 'b'"),
        (lambda: cyclegan.CycleGAN(1, 2).fit(good((1, 8, 8)), good((1, 12, 12))), "of one size"),
        (lambda: stargan.StarGAN(2, 8, 1, 2, 2, 1, 2).translate(good((1, 8, 8)), np.ones((4, 3))), r"\(4, 2\)"),
        (lambda: stargan.StarGAN(2, 8, 1, 2, 2, 1, 2).translate(good((1, 8, 8)), np.full((4, 2), 0.5)), "0 or 1"),
        (lambda: aae.AAE(16, 2, 4, classes=2).fit(good((16,)), 1, labels=np.zeros(3, int)), "must be 4 integers"),
        (lambda: aae.AAE(16, 2, 4, classes=2).fit(good((16,)), 1, labels=np.full(4, 2)), r"lie in 0 .. 1"),
        (
            lambda: infogan.InfoGAN(infogan.InfoGANConfig(4, 3, 1, 4, 2, 2, 4, 4, 8)).generate([1], np.zeros((1, 2))),
            r"continuous codes must have shape \(1, 1\)",
        ),
        (lambda: text2image.Text2Image(CAPTIONS, 8).generate(["a red dog"]), "unknown words: dog; known are a, blue"),
        (lambda: text2image.Text2Image(CAPTIONS, 8).generate(""), "caption is empty"),
        (lambda: text2image.Text2Image(CAPTIONS, 8, 1).fit(good((1, 8, 8)), "a red one"), "4 images, but 1 captions"),
        (lambda: dcgan.run(out="/nowhere", data="cats"), "data must be one of mnist, emoji; got 'cats'"),
        (lambda: progressive_gan.run(out="/nowhere", epochs=0), "epochs must be at least 1"),
        (lambda: nade_recipe.run(out="/nowhere", data="emoji"), "no setting data"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def untrained(module, name, folder, **given):
    """A run folder with the weights of an untrained model."""
    settings = {**module.SETTINGS, **given}
    folder.mkdir()
    save(module.build(settings), folder / f"{name}.safetensors")
    (folder / "state.json").write_text(json.dumps({"seed": 0, "settings": settings}))
    return str(folder)


def test_commands(tmp_path, capsys):
    Image = pytest.importorskip("PIL.Image")
    from fastdl.recipes import cyclegan as cyclegan_recipe
    from fastdl.recipes import text2image as text_recipe

    picture, out = tmp_path / "in.png", str(tmp_path / "out.png")
    Image.new("RGBA", (1, 1), (255, 0, 0, 128)).save(picture)  # the smallest image there is
    runs = {
        "cyclegan": untrained(cyclegan_recipe, "cyclegan", tmp_path / "c", ngf=2, blocks=1),
        "stargan": untrained(stargan_recipe, "stargan", tmp_path / "s", g_dim=2, d_dim=2, blocks=1),
    }
    for model, run in runs.items():
        for to in ("a", "b"):
            command = ["translate-image", str(picture), "--model", model, "--run", run, "--to", to, "--out", out]
            assert fastdl_cli.main(command) == 0
            assert Image.open(out).size == (260, 128)  # before and after, four times as large
    (tmp_path / "bad.png").write_text("no image")
    small = {"ngf": 2, "ndf": 2, "text_dim": 8, "text": 4, "latent": 4}
    words = untrained(text_recipe, "text2image", tmp_path / "t", data="emoji", **small)
    plain = untrained(dcgan, "dcgan", tmp_path / "d", latent=4, ngf=2, ndf=2)
    assert (
        fastdl_cli.main(["sample", "text2image", "--run", words, "--text", "red heart", "--n", "2", "--out", out]) == 0
    )
    assert Image.open(out).size == (130, 64)
    assert fastdl_cli.main(["sample", "dcgan", "--run", plain, "--n", "3", "--out", out]) == 0
    capsys.readouterr()
    for arguments, message in (
        (["translate-image", str(tmp_path / "bad.png"), "--run", runs["cyclegan"]], "is not an image"),
        (["translate-image", str(tmp_path / "none.png"), "--run", runs["cyclegan"]], "none.png"),
        (["translate-image", str(picture), "--run", str(tmp_path / "no")], "there is no trained cyclegan"),
        (["sample", "text2image", "--run", words, "--text", "red qwertz"], "unknown words: qwertz"),
        (["sample", "dcgan", "--run", plain, "--text", "red heart"], "draws from no text"),
        (["train", "gan", "--data", "emoji"], "data must be one of mnist; got 'emoji'"),
    ):
        assert fastdl_cli.main(arguments) == 2, arguments
        assert message in capsys.readouterr().err
