"""DALL-E: published sizes and keys, masks, caches, bounds, edges."""

import numpy as np
import pytest

from fastdl import manual_seed, no_grad
from fastdl.models.dalle import DALLE, DiscreteVAE, structured_mask
from fastdl.nn import init_empty
from fastdl.optim import Adam

RNG = np.random.default_rng(0)


def test_published_sizes_and_keys():
    with init_empty():
        vae = DiscreteVAE()
    counts = [sum(p.numel() for p in half.parameters()) for half in (vae.encoder, vae.decoder)]
    assert counts == [53_786_240, 43_829_766]
    keys = vae.encoder.state_dict()
    assert tuple(keys["blocks.input.w"].shape) == (256, 3, 7, 7)
    assert tuple(keys["blocks.group_2.block_1.id_path.w"].shape) == (512, 256, 1, 1)
    assert tuple(keys["blocks.group_4.block_2.res_path.conv_4.w"].shape) == (2048, 512, 1, 1)
    assert "blocks.group_1.block_1.id_path.w" not in keys
    assert tuple(vae.decoder.state_dict()["blocks.output.conv.w"].shape) == (6, 256, 1, 1)


def small():
    return DiscreteVAE(1, vocab=8, hidden=8, groups=3, n_blocks=1, init=8)


def test_bound_falls_and_codes_come_back():
    manual_seed(0)
    vae, x = small(), (RNG.random((8, 1, 12, 12)) > 0.5).astype(np.float32)
    optimizer, losses = Adam(vae.parameters(), lr=5e-3), []
    for _ in range(25):
        loss, y = vae.loss(x, 1.0, 0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert y.shape == x.shape and losses[-1] < losses[0]
    codes = vae.encode(x)
    assert codes.shape == (8, 3, 3) and codes.min() >= 0 and codes.max() < 8
    images = vae.decode(codes)
    assert images.shape == x.shape and images.min() >= 0 and images.max() <= 1
    with pytest.raises(ValueError, match="divisible by 4"):
        vae.encode(np.zeros((1, 1, 10, 12), np.float32))
    with pytest.raises(ValueError, match="codes must lie"):
        vae.decode(np.full((1, 3, 3), 8))


def test_masks():
    full, row, column, conv = (structured_mask(2, 3, k) for k in ("full", "row", "column", "conv"))
    last = 2 + 8  # the last image token sees all text, and ...
    assert full[last].all()
    assert np.flatnonzero(row[last]).tolist() == [0, 1, 8, 9, 10]
    assert np.flatnonzero(column[last]).tolist() == [0, 1, 4, 7, 10]
    assert np.flatnonzero(conv[last]).tolist() == [0, 1, 6, 7, 9, 10]
    assert not np.triu(row, 1).any() and row[1].tolist()[:3] == [True, True, False]
    with pytest.raises(ValueError, match="kind"):
        structured_mask(2, 3, "star")


@pytest.mark.parametrize("masks", [("full",), ("row", "column", "conv")])
def test_cached_steps_equal_the_whole(masks):
    manual_seed(0)
    model = DALLE(6, 10, 3, 4, d=16, layers=3, heads=2, masks=masks).eval()
    for p in model.parameters():
        p.array[...] *= 3
    captions = RNG.integers(0, 6, (2, 3))
    codes = model.generate(captions, temperature=0)
    assert codes.shape == (2, 4, 4) and codes.max() < 10
    with no_grad():
        scores = model(captions, codes).array[:, 3:, 6:]
    assert (scores.argmax(-1) == codes.reshape(2, 16)).all()
    nll = model.image_nll(captions, codes).array
    assert nll.shape == (2, 16) and (nll >= 0).all()
    model.train()
    model.loss(captions, codes).backward()
    assert all(p.grad is not None and np.isfinite(p.grad.array).all() for p in model.parameters())


def test_errors():
    model = DALLE(6, 10, 3, 4, d=16, layers=1, heads=2)
    with pytest.raises(ValueError, match=r"captions \(N, 3\)"):
        model.generate(np.zeros((1, 2), np.int64))
    with pytest.raises(ValueError, match=r"caption tokens must lie in 0 \.\. 5"):
        model.generate(np.full((1, 3), 6))
    with pytest.raises(ValueError, match="image tokens"):
        model.loss(np.zeros((1, 3), np.int64), np.full((1, 16), 10))
