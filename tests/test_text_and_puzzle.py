"""Text to image and Puzzle-GAN: sizes, what they are told, wrong texts, order of patches, bad input."""

import numpy as np
import pytest

import fastdl as fd
from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.data import digits, mnist5k
from fastdl.models.puzzle_gan import Jigsaw, PuzzleGAN, cut, key_patches, mask_iou
from fastdl.models.text2image import CharCNNRNN, Text2Image, TextEncoder, Vocabulary, joint_embedding_loss

rng = np.random.default_rng(0)
CAPTIONS = ["a red three", "the thick blue seven", "a red seven"]


def tiny(**settings):
    fd.manual_seed(0)
    return Text2Image(CAPTIONS, image_size=16, channels=3, latent=6, text_dim=8, text=4, ngf=4, **settings)


def test_vocabulary():
    v = Vocabulary(CAPTIONS)
    ids = v.encode(CAPTIONS)
    assert ids.shape == (3, 4) and ids[0, 0] == 0 and len(v) == 8
    assert (v.encode("A red, THREE!") == ids[:1]).all()  # alone as beside longer ones
    with pytest.raises(ValueError, match="unknown words: green; known are a, blue"):
        v.encode(["a green three"])
    with pytest.raises(ValueError, match="caption is empty"):
        v.encode(["..."])


def test_published_sizes():
    with nn.init_empty():
        model = Text2Image(CAPTIONS)
        assert model.generator.main[0].weight.shape == (228, 512, 4, 4)
        assert model.discriminator.joint[0].weight.shape == (512, 640, 1, 1)
        puzzle = PuzzleGAN()
        assert puzzle.encoder.convs[3].weight.shape == (512, 256, 5, 5) and puzzle.encoder.last.weight.shape == (
            128,
            512,
            4,
            4,
        )
        assert puzzle.image_generator.first.weight.shape == (256, 512, 4, 4)
        assert (
            puzzle.image_generator.deconvs[1].weight.shape[0] == 3 * 256
        )  # beside its own: mask generator's, encoder's
    encoder = CharCNNRNN(16, 8, 8)
    ids = CharCNNRNN.encode(["a red bird", "a blue bird"])
    assert ids.shape == (2, 201) and encoder(ids).shape == (2, 16) and ids[0, 10] == -1


def test_joint_embedding_loss_by_hand():
    images, texts = Tensor(np.eye(2) * 2.0), Tensor(np.eye(2) * 1.0)
    same = np.eye(2, dtype=bool)
    assert joint_embedding_loss(images, texts, same).item() == 0  # own 2, other 0: the margin of 1 is kept
    turned = Tensor(np.eye(2)[::-1].copy())
    assert joint_embedding_loss(images, turned, same).item() == pytest.approx((3 + 3) / 4)
    assert joint_embedding_loss(images, turned, np.ones((2, 2), bool)).item() == 0


def test_encoder_learns_which_text_belongs():
    colours = np.eye(3)[rng.integers(0, 3, 90)]
    x = (colours[:, :, None, None] * np.ones((1, 1, 16, 16)) * 2 - 1).astype(np.float32)
    names = ["red", "green", "blue"]
    captions = [f"a {names[c.argmax()]} square" for c in colours]
    fd.manual_seed(0)
    model = Text2Image(captions, image_size=16, latent=6, text_dim=8, text=4, ngf=4)
    losses = model.fit_encoder(x, captions, steps=60, batch_size=32, lr=3e-3)
    assert np.mean(losses[-10:]) < 0.5 * losses[0]
    assert model.r_precision(Tensor(x[:30]), captions[:30], captions) > 0.8
    log = model.fit(x, captions, steps=4, batch_size=16)
    assert np.isfinite(log[-1]["d_loss"])
    y = model.generate(["a red square", "a blue square"], seed=1)
    assert (
        y.shape == (2, 3, 16, 16) and (y.array == model.generate(["a red square", "a blue square"], seed=1).array).all()
    )
    red, blue = (model.generate([f"a {c} square"] * 2, seed=1).array for c in ("red", "blue"))
    assert np.abs(red - blue).max() > 1e-4  # the text reaches the image


def test_key_patches_and_cut():
    x = np.zeros((1, 1, 16, 16), np.float32)
    x[0, 0, 2:5, 3:6] = 1
    x[0, 0, 10:13, 9:12] = 1
    corners = key_patches(x, 2, 6)[0]
    boxes = [(r <= 3 < r + 6 and c <= 4 < c + 6, r <= 11 < r + 6 and c <= 10 < c + 6) for r, c in corners]
    assert sorted(boxes) == [(False, True), (True, False)]
    parts, masks = cut(x, corners[None], 6)
    assert parts.shape == (1, 2, 1, 16, 16) and masks.sum() == 72
    digits28 = mnist5k().train.tensors[0].array[:20]
    for c in key_patches(digits28, 3, 9):
        for i in range(3):
            for j in range(i):
                assert (np.abs(c[i] - c[j]) >= 9).any()  # no overlap
    assert mask_iou(masks, masks) == 1 and mask_iou(masks, 1 - masks) == 0


def test_puzzle_gan_does_not_see_order_or_place():
    fd.manual_seed(0)
    model = PuzzleGAN(3, 32, 1, 4, 5).eval()
    x = np.pad(mnist5k().train.tensors[0].array[:6], ((0, 0), (0, 0), (2, 2), (2, 2))) * 2 - 1
    parts, _ = cut(x, key_patches(x, 3, 10), 10)
    z = fd.randn(6, 5)
    with fd.no_grad():
        image, mask = model(Tensor(parts), z)
        turned, mask2 = model(Tensor(parts[:, [2, 0, 1]].copy()), z)
    np.testing.assert_allclose(image.array, turned.array, atol=1e-5)
    np.testing.assert_allclose(mask.array, mask2.array, atol=1e-5)
    assert image.shape == (6, 1, 32, 32) and mask.array.min() >= 0 and mask.array.max() <= 1
    log = model.fit(x, steps=12, batch_size=6, lr=2e-3, every=4)
    assert log[-1]["mask"] < log[0]["mask"]
    painted, found, truth = model.restore(x, seed=0)
    assert painted.shape == x.shape and found.shape == truth.shape == (6, 1, 32, 32)


def test_jigsaw():
    x = digits().train.tensors[0].array
    quarters, labels = Jigsaw.shuffle(x[:50], np.random.default_rng(0))
    assert (Jigsaw.assemble(quarters, labels) == x[:50]).all()
    fd.manual_seed(0)
    model = Jigsaw(1, 8, 8)
    optimizer, r = fd.optim.Adam(model.parameters(), lr=3e-3), np.random.default_rng(1)
    for _ in range(150):
        q, y = Jigsaw.shuffle(x[r.integers(0, 1000, 64)], r)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(Tensor(np.ascontiguousarray(q))), y).backward()
        optimizer.step()
    q, y = Jigsaw.shuffle(x[1000:1300], np.random.default_rng(2))
    assert (model(Tensor(np.ascontiguousarray(q))).array.argmax(1) == y).mean() > 0.25  # chance: 1 of 24


def test_text_is_as_large_as_the_noise_and_wrong_texts_are_hard():
    x = rng.uniform(-1, 1, (30, 3, 16, 16)).astype(np.float32)
    captions = [CAPTIONS[i % 3] for i in range(30)]
    model = tiny(d_norm=False)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.discriminator.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in tiny().discriminator.modules())  # as published
    model.fit_encoder(x, captions, steps=3)
    told = model.told(captions).array
    assert np.abs(told.mean(0)).max() < 1e-4 and 0.5 < told.std(0).min() <= told.std(0).max() < 1.01
    shown = []
    forward = model.discriminator.forward
    model.discriminator.forward = lambda x, t: (shown.append(t.array), forward(x, t))[1]

    def distance(hard):
        del shown[:]
        model.fit(x, captions, steps=6, batch_size=16, hard=hard, interpolate=False)
        pairs = [(shown[i], shown[i + 2]) for i in range(0, len(shown), 4)]  # right, fake, wrong; then the generator's
        assert all((np.abs(right - wrong).max(1) > 1e-3).all() for right, wrong in pairs)  # never the same meaning
        return np.mean([((right - wrong) ** 2).sum(1).mean() for right, wrong in pairs])

    assert distance(8) < distance(0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: tiny().fit(np.zeros((3, 3, 16, 16)) + 7, CAPTIONS), r"\[-1, 1\]"),
        (lambda: tiny().fit(np.zeros((3, 3, 16, 16)), CAPTIONS[:2]), "3 images, but 2 captions"),
        (lambda: tiny().fit(np.zeros((2, 3, 16, 16)), CAPTIONS[:1] * 2), "no wrong ones"),
        (lambda: tiny().generate("a purple three"), "unknown words: purple"),
        (lambda: tiny().generator(fd.zeros(1, 5), fd.zeros(1, 8)), r"latent must have shape \(N, 6\)"),
        (lambda: Text2Image(CAPTIONS, image_size=20), "power of two"),
        (lambda: Vocabulary(["!!"]), "no words"),
        (lambda: PuzzleGAN(3, 30), "divisible by 16"),
        (lambda: key_patches(np.zeros((1, 1, 8, 8)), 3, 6), "do not fit"),
        (lambda: PuzzleGAN(1, 16, 1, 2, 3)(fd.zeros(1, 1, 1, 8, 8), fd.zeros(1, 3)), "enlarged by cut"),
        (lambda: Jigsaw(1, 7), "even"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_text_encoder_reads_order():
    fd.manual_seed(0)
    encoder = TextEncoder(5, 6)
    a, b = encoder([[1, 2, 3]]).array, encoder([[3, 2, 1]]).array
    assert np.abs(a - b).max() > 1e-4
