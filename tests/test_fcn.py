"""FCN: published counts, names and crop offsets; alignment; parity with torchvision; any size; the loss ignores."""

import json
from pathlib import Path

import numpy as np
import pytest

import fastdl as fd
from fastdl import nn
from fastdl.models import fcn
from fastdl.nn import functional as F
from fastdl.testing import fill_hashed, hashed, keys_hash

STORED = json.loads((Path(__file__).parent / "data" / "vision_reference.json").read_text())


@pytest.mark.parametrize(
    ("make", "count", "offsets"),
    [(fcn.fcn32s, 136_152_917, [19]), (fcn.fcn16s, 134_815_994, [5, 27]), (fcn.fcn8s, 134_489_759, [5, 9, 31])],
)
def test_published_counts_names_and_crops(make, count, offsets):
    with nn.init_empty():
        net = make()
    assert sum(p.numel() for p in net.parameters()) == count
    assert net.offsets == offsets
    convs = {f"conv{s}_{i}" for s, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)}
    heads = {
        "fcn32s": {"upscore"},
        "fcn16s": {"score_pool4", "upscore2", "upscore16"},
        "fcn8s": {"score_pool4", "score_pool3", "upscore2", "upscore_pool4", "upscore8"},
    }
    names = {key.rpartition(".")[0] for key in net.state_dict()}
    assert names == convs | {"fc6", "fc7", "score_fr"} | heads[make.__name__]
    assert net.state_dict()["fc6.weight"].shape == (4096, 512, 7, 7)
    if make is not fcn.fcn32s:
        assert net.upscore2.weight.shape == (21, 21, 4, 4)


@pytest.mark.parametrize("skips", [0, 1, 2])
@pytest.mark.parametrize("same", [True, False])
def test_scores_lie_where_the_pixels_are(skips, same):
    """Turned upside down, an image whose size the strides divide gives the scores turned: no half pixel is lost."""
    net = fcn.fcn_small(3, skips=skips, same=same, padding=1 if same else 9, window=3, dropout=0.0)
    fill_hashed(net)
    for name, p in net.named_parameters():
        if (
            p.array.ndim == 4 and p.array.shape[-1] > 1
        ):  # symmetric filters: only the geometry is left to break the symmetry
            p.array[...] = (p.array + p.array[:, :, ::-1]) / 2
        if name.startswith("upscore"):
            nn.init.bilinear_(p)
    net.eval()
    x = hashed("x", (1, 1, 64, 64))
    with fd.no_grad():
        a, b = net(fd.tensor(x)).numpy(), net(fd.tensor(x[:, :, ::-1].copy())).numpy()[:, :, ::-1]
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * np.abs(a).max())


def test_any_size_and_errors():
    net = fcn.fcn_small(4, in_channels=3).eval()
    for size in ((8, 8), (33, 70), (65, 9)):
        assert net(fd.randn(2, 3, *size)).shape == (2, 4, *size)
    assert net(fd.randn(0, 3, 16, 16)).shape == (0, 4, 16, 16)
    assert net.coarse(fd.randn(1, 3, 64, 48)).shape == (1, 4, 8, 6)
    with pytest.raises(ValueError, match=r"expected images \(N, 3, H, W\).*grey"):
        net(fd.randn(1, 1, 64, 64))
    with pytest.raises(ValueError, match="at least 8"):
        net(fd.randn(1, 3, 4, 64))
    with pytest.raises(ValueError, match="3 stages allow 0 to 2 skips"):
        fcn.fcn_small(skips=3)


def test_scores_start_at_zero_and_deconvolutions_are_bilinear():
    net = fcn.fcn_small(3, learned=False)
    assert not net(fd.randn(1, 1, 16, 16)).array.any()
    assert [n for n, p in net.named_parameters() if not p.requires_grad] == [
        "upscore2.weight", "upscore_pool2.weight", "upscore_image.weight",
    ]  # fmt: skip
    assert all(p.requires_grad for p in fcn.fcn_small(3).parameters())
    x = fd.randn(1, 3, 6, 6)
    layer = nn.ConvTranspose2d(3, 3, 4, 2, 1, bias=False)
    nn.init.bilinear_(layer.weight)
    want = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(layer(x).array[..., 2:-2, 2:-2], want.numpy()[..., 2:-2, 2:-2], atol=1e-6)


def test_deconvolution_is_the_adjoint_and_not_the_inverse():
    w, x = fd.randn(4, 3, 3, 3), fd.randn(1, 3, 9, 9)
    y = F.conv2d(x, w, stride=2)
    back = F.conv_transpose2d(y, w, stride=2)
    z = fd.randn(*y.shape)
    assert (y * z).sum().item() == pytest.approx((x * F.conv_transpose2d(z, w, stride=2)).sum().item(), rel=1e-4)
    assert np.abs(back.numpy() - x.numpy()).max() > 0.1


def test_loss_ignores_and_takes_both_forms():
    scores = fd.randn(2, 3, 4, 4)
    labels = np.full((2, 4, 4), 255)
    labels[0, 0, 0] = 2
    want = -F.log_softmax(scores, 1).numpy()[0, 2, 0, 0]
    assert fcn.loss(scores, fd.tensor(labels)).item() == pytest.approx(want, rel=1e-5)
    both = fcn.loss({"out": scores, "aux": scores}, fd.tensor(labels)).item()
    assert both == pytest.approx(1.5 * want, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "count", "aux"), [("fcn_resnet50", 32_957_013, 35_322_218), ("fcn_resnet101", 51_949_141, 54_314_346)]
)
def test_resnet_form_has_torchvisions_counts_and_keys(make, count, aux):
    with nn.init_empty():
        nets = [getattr(fcn, make)(21, aux_loss=a) for a in (False, True)]
    assert [sum(p.numel() for p in n.parameters()) for n in nets] == [count, aux]
    assert keys_hash(nets[1].state_dict()) == STORED[make]["keys"]


def test_resnet_form_gives_the_stored_scores():
    """Of torchvision with the same hashed weights, at 64 x 64 (tools: tests/data/make_vision_reference.py)."""
    with nn.init_empty():
        net = fcn.fcn_resnet50(21, aux_loss=True)
    fill_hashed(net).eval()
    with fd.no_grad():
        out = net(fd.tensor(hashed("x", (1, 3, 64, 64))))
    for name in ("out", "aux"):
        want = np.array(STORED["fcn_resnet50"][name])
        got = out[name].numpy()[0, ::5, ::16, ::16].reshape(-1)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())
