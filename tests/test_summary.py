"""Layers, shapes, parameters and multiply-adds of a network, against hand counts and torchvision's published figures."""

import numpy as np
import pytest

import fastdl
import fastdl_cli
from fastdl import models, nn
from fastdl.data import model_figures
from fastdl.models import LeNet5
from fastdl.nn import functional as F


def test_lenet_by_hand():
    table = fastdl.summary(LeNet5(), (2, 1, 28, 28))
    per_image = {
        "conv1": 28 * 28 * 6 * 25,
        "conv2": 10 * 10 * 16 * 6 * 25,
        "fc1": 400 * 120,
        "fc2": 120 * 84,
        "fc3": 84 * 10,
    }
    assert {r.name: r.macs for r in table.leaves if r.macs} == {k: 2 * v for k, v in per_image.items()}
    assert table.total_macs == 2 * sum(per_image.values()) and table.total_params == table.trainable_params == 61706
    assert table["conv2"].params == 16 * 6 * 25 + 16 and table["conv2"].output_shape == (2, 16, 10, 10)
    assert table.output_shape == (2, 10)
    with pytest.raises(KeyError, match="LeNet5 has no module 'conv9'"):
        table["conv9"]


def test_containers_sum_and_shared_parts_count_once():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(nn.Sequential(shared, nn.ReLU(), shared), nn.Linear(4, 3, bias=False))
    for p in model[1].parameters():
        p.requires_grad = False
    table = fastdl.summary(model, (5, 4))
    assert table["0"].params == 20 and table["0"].macs == 2 * 5 * 16 and table["0.0"].calls == 2
    assert table.total_params == 32 and table.trainable_params == 20 and table.total_macs == 5 * (2 * 16 + 12)
    text = str(table)
    assert "(12 frozen)" in text and "multiply-adds for an input of 5 x 4" in text


def test_products_in_a_forward_are_counted():
    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(np.zeros((6, 6), np.float32))
            self.inner = nn.Linear(6, 2)

        def forward(self, x):
            a = fastdl.einsum("bij,bkj->bik", x @ self.w, x)  # (B, T, T)
            return self.inner(a @ x)

    table = fastdl.summary(Mixer(), (3, 5, 6))
    own = 3 * 5 * 6 * 6 + 2 * 3 * 5 * 5 * 6
    assert table["inner"].macs == 3 * 5 * 6 * 2 and table.total_macs == own + table["inner"].macs


@pytest.mark.parametrize("gates, layer", [(1, nn.RNN), (3, nn.GRU), (4, nn.LSTM)])
def test_recurrent_and_attention_layers(gates, layer):
    table = fastdl.summary(layer(7, 5, batch_first=True), (2, 9, 7))
    assert table.total_macs == 2 * 9 * gates * 5 * (7 + 5) and table.output_shape == (2, 9, 5)
    x = fastdl.zeros(2, 9, 8)
    table = fastdl.summary(nn.MultiheadAttention(8, 2, batch_first=True), inputs=(x, x, x))
    assert table.total_macs == 2 * (4 * 9 * 8 * 8 + 2 * 9 * 9 * 8)


def test_transposed_grouped_and_padded_convolutions():
    assert fastdl.summary(nn.ConvTranspose2d(4, 6, 3, 2), (1, 4, 5, 5)).total_macs == 25 * 4 * 6 * 9
    assert fastdl.summary(nn.Conv2d(4, 6, 3, groups=2), (1, 4, 5, 5)).total_macs == 9 * 6 * 2 * 9
    assert fastdl.summary(nn.Conv1d(4, 6, 3), (1, 4, 5)).total_macs == 3 * 6 * 4 * 3


def test_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    model[1].eval()
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    fastdl.summary(model, (4, 3))
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert not any(m._hooked for m in model.modules())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    with pytest.raises(RuntimeError):
        fastdl.summary(model, (4, 9))
    assert [m.training for m in model.modules()] == [True, True, False, True] and not model._hooked
    assert F.linear(fastdl.ones(1, 2), fastdl.ones(3, 2)).tolist() == [[2.0, 2.0, 2.0]]


def test_tokens_and_bad_arguments():
    model = nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 11))
    table = fastdl.summary(model, (2, 6), dtype="int64")
    assert table.total_macs == 2 * 6 * 44 and table["0"].macs == 0 and table["0"].params == 44
    for given in ({}, {"input_shape": (1, 2), "inputs": fastdl.ones(1, 2)}):
        with pytest.raises(ValueError, match="give input_shape, batch axis included, or inputs="):
            fastdl.summary(model, **given)
    with pytest.raises(ValueError, match="1 input shapes and 2 dtypes"):
        fastdl.summary(model, (2, 6), dtype=["int64", "int64"])


def test_command(capsys):
    assert fastdl_cli.main(["summary", "lenet5", "--input", "1,1,28,28"]) == 0
    out = capsys.readouterr().out
    assert "conv1: Conv2d" in out and "61,706 parameters, 416,520 multiply-adds" in out
    assert fastdl_cli.main(["summary", "nonet"]) == 2
    assert "fastdl.models has no 'nonet'; there are" in capsys.readouterr().err
    assert fastdl_cli.main(["summary", "lenet5", "--input", "big"]) == 2


@pytest.mark.parametrize(
    "name", ["alexnet", "vgg11", "googlenet", "resnet18", "resnet50", "densenet121", "mobilenet_v2", "vit_b_32"]
)
def test_published_figures(name):
    """Parameters and multiply-adds of whole networks, against torchvision's published numbers (three decimals)."""
    published = model_figures()[name]
    with nn.init_empty():
        model = getattr(models, name)(**({"aux_logits": False} if name == "googlenet" else {}))
    table = fastdl.summary(model, (1, 3, 224, 224))
    assert table.total_params == published["num_params"]
    assert round(table.total_macs / 1e9, 3) == pytest.approx(published["GFLOPs"], abs=1.1e-3)
    assert sum(r.macs for r in table.rows if r.depth == 0) == table.total_macs


@pytest.mark.parametrize(
    ("name", "shape"),
    [("lenet5", "1 x 1 x 28 x 28"), ("resnet20", "1 x 3 x 32 x 32"), ("yolo_v1", "1 x 3 x 448 x 448"), ("mlp", "1 x 784"),
     ("fcn_small", "1 x 1 x 224 x 224"), ("gpt2", "1 x 128"), ("transformer_base", "1 x 32 and 1 x 32")],
)  # fmt: skip
def test_command_without_an_input_takes_what_the_model_is_made_for(capsys, name, shape):
    import fastdl_cli

    assert fastdl_cli.main(["summary", name]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"for an input of {shape}")


def test_command_on_models_of_several_networks_names_them(capsys):
    import fastdl_cli

    assert fastdl_cli.main(["summary", "gan_small"]) == 2
    assert "PART being generator or discriminator" in capsys.readouterr().err
