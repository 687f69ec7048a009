"""Lecture 10, generators that are told something: a sentence (text to image), some patches (Puzzle-GAN)."""

import numpy as np

import fastdl
from fastdl.data import mnist5k
from fastdl.gates import Claim, gate
from fastdl.gates.lecture10_generative import small_classifier
from fastdl.metrics import digit_features, digit_frechet_distance
from fastdl.models.puzzle_gan import Jigsaw, PuzzleGAN, mask_iou
from fastdl.models.text2image import Text2Image
from fastdl.recipes._captions import SENTENCES, inked, same_meaning, sentence


@gate(entry=124, name="text2image")
def text2image(seed=0, smoke=False):
    """Sentences on digits in five inks, a fifth of the pairs never shown together: what is drawn, by fixed classifiers."""
    x, y = (t.array for t in mnist5k().train.tensors)
    rng = np.random.default_rng(0)
    unseen = {(d, (d * 3) % 5) for d in range(10)}  # one ink for each digit: a fifth of the pairs
    if smoke:
        x, y = x[::8], y[::8]
    images, captions, colour = inked(x, y, rng, unseen)
    meaning = y * 5 + colour
    model = Text2Image(
        SENTENCES,
        image_size=32,
        latent=32,
        text_dim=32 if smoke else 64,
        text=32,
        ngf=4 if smoke else 32,
        ndf=16 if smoke else 24,
        d_norm=False,
    )
    losses = model.fit_encoder(images, captions, meaning, steps=40 if smoke else 400, lr=2e-3, seed=seed)
    fall = float(np.mean(losses[-10:]) / losses[0])
    claims = [Claim("joint embedding loss, last over first", fall, "<", 0.95 if smoke else 0.6)]
    if smoke:
        log = model.fit(images, captions, meaning, steps=6, batch_size=16, seed=seed)
        return [*claims, Claim("discriminator loss", log[-1]["d_loss"], "<", 3.0)]
    model.fit(images, captions, meaning, steps=1200, batch_size=32, lr=5e-4, g_lr=5e-4, hard=3, seed=seed)
    asked = [(d, c) for d in range(10) for c in range(5) for _ in range(6)]
    text = [sentence(d, c, k) for k, (d, c) in enumerate(asked)]
    drawn = model.generate(text, seed=1)
    grey = ((drawn.array.max(1, keepdims=True) + 1) / 2)[:, :, 2:30, 2:30].clip(0, 1)
    digit_ok = digit_features(grey)[1].argmax(1) == [d for d, _ in asked]
    colour_ok = small_classifier(images, colour)(drawn.array).argmax(1) == [c for _, c in asked]
    new = np.array([pair in unseen for pair in asked])
    precision = model.r_precision(drawn, text, SENTENCES, same_meaning)
    return [
        *claims,
        Claim("digit as asked", float(digit_ok[~new].mean()), ">=", 0.7, ("chance", 0.1)),
        Claim("ink as asked", float(colour_ok.mean()), ">=", 0.95, ("chance", 0.2)),
        Claim("digit as asked, pairs never shown", float(digit_ok[new].mean()), ">=", 0.5, ("chance", 0.1)),
        Claim("own caption best of ten (R-precision)", precision, ">=", 0.5, ("chance", 0.1)),
    ]


@gate(entry=125, name="puzzle_gan")
def puzzle_gan(seed=0, smoke=False):
    """Three 10x10 patches of a digit, places hidden, to the whole: where they go and what is painted; a jigsaw of four quarters."""
    x, (xt, yt) = mnist5k().train.tensors[0].array, (t.array for t in mnist5k().test.tensors)
    pad = lambda a: np.pad(a, ((0, 0), (0, 0), (2, 2), (2, 2))) * 2 - 1  # noqa: E731
    train, test = pad(x[:: 20 if smoke else 1]), pad(xt[::4])
    model = PuzzleGAN(3, 32, 1, 4 if smoke else 12, 8 if smoke else 32, patch=10)
    log = model.fit(
        train,
        steps=30 if smoke else 900,
        batch_size=16 if smoke else 32,
        lr=1e-3,
        w_appearance=40.0,
        mask_loss="bce",
        seed=seed,
        every=5,
    )
    fastdl.manual_seed(seed)
    rng = np.random.default_rng(seed)
    jigsaw = Jigsaw(1, 28, 4 if smoke else 12)
    optimizer = fastdl.optim.Adam(jigsaw.parameters(), lr=2e-3)
    for _ in range(40 if smoke else 700):
        quarters, labels = Jigsaw.shuffle(x[rng.integers(0, len(x), 64)], rng)
        optimizer.zero_grad()
        fastdl.nn.functional.cross_entropy(jigsaw(fastdl.tensor(np.ascontiguousarray(quarters))), labels).backward()
        optimizer.step()
    quarters, labels = Jigsaw.shuffle(xt[::2], np.random.default_rng(1))  # they lie in the order of their classes
    with fastdl.no_grad():
        solved = float((jigsaw(fastdl.tensor(np.ascontiguousarray(quarters))).array.argmax(1) == labels).mean())
    jig = Claim("quarters of unseen digits put in order", solved, ">=", 0.06 if smoke else 0.8, ("chance", 1 / 24))
    if smoke:
        return [jig, Claim("mask error after a few steps over the first", log[-1]["mask"] / log[0]["mask"], "<", 0.95)]
    image, mask, truth = model.restore(test, seed=1)
    painted = model.restore(pad(xt), seed=2)[0].array[:, :, 2:30, 2:30]
    distance, flat = (digit_frechet_distance(v, xt) for v in ((painted + 1) / 2, np.repeat(x.mean(0)[None], 1000, 0)))
    shuffled = np.random.default_rng(0).permutation(len(test))
    at_random = mask_iou(truth, truth.array[shuffled])
    inside = truth.array
    error = float(np.abs(image.array - test)[inside > 0].mean())
    mean = float(np.abs(train.mean(0) - test)[np.broadcast_to(inside > 0, test.shape)].mean())
    seen = digit_features(((image.array + 1) / 2)[:, :, 2:30, 2:30].clip(0, 1))[1].argmax(1)
    return [
        Claim("mask IoU on unseen digits", mask_iou(mask, truth), ">=", 0.45, ("the mask of another digit", at_random)),
        Claim("L1 inside the patches over the mean image's", error / mean, "<=", 0.7),
        Claim(
            "class of the painted digit is the source's", float((seen == yt[::4]).mean()), ">=", 0.7, ("chance", 0.1)
        ),
        Claim("Frechet distance of painted unseen digits", distance, "<=", 400, ("the mean image", flat)),
        jig,
    ]
