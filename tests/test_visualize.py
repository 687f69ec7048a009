"""Receptive fields by formula and by gradient; pictures of filters and maps."""

import numpy as np
import pytest

from fastdl import models, nn
from fastdl.receptive_field import gradient_map, gradient_support, receptive_field


def test_formula_and_gradient_agree():
    net = nn.Sequential(
        nn.Conv2d(2, 3, (3, 5), stride=(2, 1)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 2, 3, dilation=2),
        nn.BatchNorm2d(2),
    )
    field = receptive_field(net)
    assert field.size == (3 + 2 + 4 * 4, 5 + 1 + 4 * 2) and field.stride == (4, 2)
    smooth = nn.Sequential(net[0], net[1], nn.AvgPool2d(2), net[3], net[4])  # a maximum has one pixel's gradient only
    before = smooth[0].weight.detach().numpy().copy()
    assert gradient_support(smooth, (1, 2, 60, 50)) == field.size
    np.testing.assert_array_equal(smooth[0].weight.detach().numpy(), before)
    assert receptive_field(models.vgg16(width_mult=0.02, hidden=(4,)).features[:-1]).size == (196, 196)
    with pytest.raises(ValueError, match="transposed"):
        receptive_field(nn.ConvTranspose2d(1, 1, 2))
    with pytest.raises(ValueError, match="must give maps"):
        gradient_map(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten()), (1, 1, 8, 8))


def test_pictures(tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    from fastdl import visualize

    net = models.SimpleCNN()
    image = np.random.default_rng(0).random((1, 28, 28)).astype(np.float32)
    figures = [
        visualize.filters(net.features[0]),
        visualize.filters(nn.Conv2d(3, 4, 5)),
        visualize.feature_maps(net, "features.3", image),
        visualize.receptive_field_map(net.features, (1, 1, 40, 40)),
        visualize.show_images(np.zeros((2, 3, 4, 4)), ["a", "b"]),
    ]
    assert [len(f.axes) for f in figures] == [16, 4, 16, 1, 2]
    for i, figure in enumerate(figures):
        figure.savefig(tmp_path / f"{i}.png")
        plt.close(figure)
    assert net.training and not net.features[3]._hooked
    with pytest.raises(TypeError, match="expected a Conv2d"):
        visualize.filters(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="no maps"):
        visualize.feature_maps(net, "classifier.0", image)
    with pytest.raises(AttributeError, match="no module 'x'"):
        visualize.feature_maps(net, "x", image)
    with pytest.raises(ValueError, match="expected images"):
        visualize.show_images(np.zeros((2, 4, 4, 4)))


def test_attention_has_a_picture_a_head():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    from fastdl import visualize

    model = models.Transformer(src_vocab=9, tgt_vocab=9, d_model=8, nhead=2, dim_feedforward=8, dropout=0.5)
    src, tgt = np.array([[4, 5, 2, 0], [4, 5, 6, 2]]), np.array([[1, 7, 8], [1, 5, 4]])
    maps = model.attention_maps(src, tgt)
    assert len(maps) == 6 and maps[0].shape == (2, 2, 3, 4) and model.training
    np.testing.assert_allclose(maps[-1].sum(-1), 1, rtol=1e-5)
    assert not maps[-1][0, :, :, 3].any()  # padding
    np.testing.assert_array_equal(maps[-1], model.attention_maps(src, tgt)[-1])  # no dropout
    figure = visualize.attention_map(maps[-1][0], "ab.-", "xyz")
    assert len(figure.axes) == 2 and [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["x", "y", "z"]
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), maps[-1][0, 1])
    with pytest.raises(ValueError, match="3, 5"):
        visualize.attention_map(maps[-1][0], "abcde", "xyz")
    for attention in ("luong", "bahdanau"):
        model = models.Seq2Seq(9, 9, hidden=8, attention=attention)
        (weights,) = model.attention_maps(src, tgt)
        assert weights.shape == (2, 1, 3, 4)
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    with pytest.raises(ValueError, match="no attention"):
        models.Seq2Seq(9, 9, hidden=8).attention_maps(src, tgt)
    plt.close("all")
