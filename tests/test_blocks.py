"""Blocks of the convolutional networks, folding of batch norm, checkpointing, convolutionalization, errors."""

from importlib.util import find_spec

import numpy as np
import pytest
from _torchvision import load as load_torchvision

import fastdl
from fastdl import models, nn
from fastdl.autograd import Tensor, no_grad
from fastdl.nn import functional as F
from fastdl.nn.blocks import BasicBlock, Bottleneck, DenseBlock, Inception, Transition
from fastdl.testing import PeakMemory, fill_hashed


def count(module, biases=True):
    return sum(p.numel() for p in module.parameters() if biases or len(p.shape) > 1)


def images(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def test_residual_block_is_its_shortcut_when_its_weights_are_zero():
    x = images(2, 8, 6, 6)
    for block in (BasicBlock(8, 8), Bottleneck(8, 2)):
        for name, p in block.named_parameters():
            if name.startswith("conv"):
                p.array[...] = 0
        np.testing.assert_allclose(block.eval()(x).detach().numpy(), np.maximum(x.numpy(), 0), atol=1e-6)
    block = BasicBlock(8, 12, stride=2, shortcut="A").eval()
    block.conv1.weight.array[...] = block.conv2.weight.array[...] = 0
    y = block(x).detach().numpy()
    np.testing.assert_allclose(y[:, 2:10], np.maximum(x.numpy()[:, :, ::2, ::2], 0), atol=1e-6)
    assert not y[:, :2].any() and not y[:, 10:].any()


def test_counts_of_the_shortcuts():
    assert count(Bottleneck(256, 64), biases=False) == 69_632
    assert count(BasicBlock(256, 256), biases=False) == 1_179_648
    a, b, c = (count(BasicBlock(64, 128, 2, kind), biases=False) for kind in "ABC")
    assert b - a == 64 * 128 and c == b
    assert count(BasicBlock(64, 64, 1, "C"), biases=False) - count(BasicBlock(64, 64, 1, "B"), biases=False) == 64 * 64
    plain = models.resnet_cifar(1, residual=False)
    assert count(plain) == count(models.resnet_cifar(1)) and not any("downsample" in k for k in plain.state_dict())
    with pytest.raises(ValueError, match="shortcut must be A, B, C or None"):
        BasicBlock(4, 4, shortcut="D")
    with pytest.raises(ValueError, match="cannot go from 8 to 4"):
        BasicBlock(8, 4, shortcut="A")


def test_the_paper_has_the_stride_on_the_first_convolution():
    ours, paper = models.resnet50(), models.resnet50(stride_in_1x1=True)
    assert ours.layer2[0].conv1.stride == (1, 1) and ours.layer2[0].conv2.stride == (2, 2)
    assert paper.layer2[0].conv1.stride == (2, 2) and paper.layer2[0].conv2.stride == (1, 1)
    assert count(ours) == count(paper)


def test_dilation_takes_the_place_of_stride():
    net = models.resnet50(dilate=(False, True, True), width=8, num_classes=2)
    assert [b.conv2.dilation for b in (net.layer3[0], net.layer3[1], net.layer4[0], net.layer4[1])] == [
        (1, 1),
        (2, 2),
        (2, 2),
        (4, 4),
    ]
    maps = net.eval().stages(images(1, 3, 64, 64))
    assert [m.shape[2] for m in maps] == [16, 8, 8, 8] and maps[-1].shape[1] == net.out_channels == 256


def test_inception_joins_its_branches_in_order():
    block = Inception(192, 64, 96, 128, 16, 32, 32)
    weights = sum(p.numel() for n, p in block.named_parameters() if n.endswith("conv.weight"))
    assert weights == 163_328 and block.out_channels == 256
    naive = Inception(192, 64, 0, 128, 0, 32, 0, reduce=False)
    assert sum(p.numel() for n, p in naive.named_parameters() if n.endswith("conv.weight")) == 387_072
    assert naive.out_channels == 64 + 128 + 32 + 192
    small = Inception(5, 2, 3, 4, 2, 3, 1).eval()
    x = images(2, 5, 7, 6)
    y = small(x).detach().numpy()
    for branch, part in (("branch1", y[:, :2]), ("branch2", y[:, 2:6]), ("branch3", y[:, 6:9]), ("branch4", y[:, 9:])):
        np.testing.assert_array_equal(getattr(small, branch)(x).detach().numpy(), part)
    assert small.branch3[1].conv.kernel_size == (5, 5)


def test_dense_block_and_transition():
    block = DenseBlock(6, 64, growth=32)
    assert [layer.conv1.in_channels for layer in block.children()] == [64, 96, 128, 160, 192, 224]
    assert block.out_channels == 256
    transition = Transition(256, 128)
    assert count(transition, biases=False) == 32_768
    x = images(1, 256, 8, 6)
    y = transition.eval()(x)
    assert y.shape == (1, 128, 4, 3)
    plain = transition.pool(transition.conv(transition.relu(transition.norm(x))))
    np.testing.assert_allclose(y.detach().numpy(), plain.detach().numpy(), atol=1e-5)
    seen = []
    transition.conv.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    np.testing.assert_allclose(transition(x).detach().numpy(), plain.detach().numpy(), atol=1e-6)
    assert seen == [(1, 128, 8, 6)]  # who looks inside sees the layers in the order of the paper


def train_step(block, x):
    block.zero_grad()
    x = Tensor(x.numpy().copy(), requires_grad=True)
    y = block(x)
    (y * y).mean().backward()
    return y.detach().numpy(), x.grad.numpy(), [p.grad.numpy() for p in block.parameters()]


def test_memory_efficient_dense_block_is_the_same():
    kept, again = DenseBlock(4, 8, 4, dropout=0.2), DenseBlock(4, 8, 4, dropout=0.2, memory_efficient=True)
    again.load_state_dict(kept.state_dict())
    x = images(3, 8, 7, 7)
    fastdl.manual_seed(3)
    y, dx, grads = train_step(kept, x)
    fastdl.manual_seed(3)
    z, dz, others = train_step(again, x)
    np.testing.assert_allclose(y, z, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(dx, dz, rtol=1e-5, atol=1e-7)
    for a, b in zip(grads, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for (name, a), b in zip(kept.named_buffers(), again.buffers(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6, err_msg=name)  # statistics count once


def test_memory_efficient_dense_block_takes_less_than_two_fifths():
    peaks = []
    for efficient in (False, True):
        block = DenseBlock(24, 24, 12, memory_efficient=efficient)
        x = images(8, 24, 16, 16)
        train_step(block, x)  # gradients and caches exist from here on
        with PeakMemory() as peak:
            train_step(block, x)
        peaks.append(peak.bytes)
    assert peaks[1] <= 0.4 * peaks[0], peaks


def test_checkpoint_second_derivative_and_parameters():
    layer = nn.Linear(3, 3)
    x = Tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3) / 6, requires_grad=True)

    def penalty(f):
        (g,) = fastdl.autograd.grad(f(x).tanh().sum(), [x], create_graph=True)
        return fastdl.autograd.grad((g * g).sum(), [x, layer.weight])

    once = penalty(lambda t: nn.checkpoint(lambda u: layer(u).sigmoid(), t, parameters=layer.parameters()))
    for a, b in zip(once, penalty(lambda t: layer(t).sigmoid()), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-7)
    with no_grad():
        assert not nn.checkpoint(layer, x, parameters=layer.parameters()).requires_grad


SMALL = {
    "alexnet": lambda: models.alexnet(in_channels=1, num_classes=10, small_input=True, width_mult=0.1),
    "vgg11_bn": lambda: models.vgg11_bn(in_channels=1, num_classes=10, small_input=True, width_mult=0.1, hidden=(16,)),
    "googlenet": lambda: models.googlenet(in_channels=1, num_classes=10, small_input=True, width_mult=0.1),
    "resnet20": lambda: models.resnet20(in_channels=1, width=4),
    "resnet bottleneck": lambda: models.resnet50(
        in_channels=1, width=4, layers=(1, 1), num_classes=10, small_input=True
    ),
    "densenet": lambda: models.densenet_bc(22, 4, in_channels=1),
    "densenet without bottleneck": lambda: models.densenet_bc(10, 4, in_channels=1, bn_size=0),
    "mobilenet": lambda: models.mobilenet_v2(in_channels=1, num_classes=10, small_input=True, width_mult=0.25),
    "googlenet of the paper": lambda: models.googlenet(
        variant="paper", in_channels=1, num_classes=10, small_input=True, width_mult=0.1
    ),
    "vit": lambda: models.ViT(image_size=32, patch=8, d=16, layers=1, heads=2, mlp=32, in_channels=1, num_classes=10),
    "simple": lambda: models.SimpleCNN(size=32),
}


@pytest.mark.parametrize("name", SMALL)
def test_the_same_class_small(name):
    net = fill_hashed(SMALL[name]())
    x = images(2, 1, 32, 32)
    y = net.train()(x)
    scores = y[0] if isinstance(y, tuple) else y
    assert scores.shape == (2, 10)
    (models.googlenet_loss(y, Tensor(np.array([1, 2])))).backward()
    assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in net.parameters())
    with no_grad():
        y = net.eval()(x).numpy()
        assert net.fuse() is net
        np.testing.assert_allclose(net(x).numpy(), y, rtol=0, atol=1e-4 * np.abs(y).max())
    assert not any(isinstance(m, nn.BatchNorm2d) for n, m in net.named_modules() if "norm1" not in n and n[-5:] != "norm5"
                   and ".norm" not in n)  # fmt: skip


def test_fuse_needs_evaluation_mode_and_leaves_hooked_layers():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    with pytest.raises(RuntimeError, match=r"call eval\(\) first"):
        net.fuse()
    handle = net[1].register_forward_hook(lambda *a: None)
    assert type(net.eval().fuse()[1]) is nn.BatchNorm2d
    handle.remove()
    assert type(net.fuse()[1]) is nn.Identity and net[0].bias is not None


@pytest.mark.parametrize("size", [28, 36])
def test_convolutionalized_network_gives_a_map_of_scores(size):
    net = models.SimpleCNN(1, 10).eval()
    whole = models.convolutionalize(net)
    assert count(whole) == count(net)
    x = images(2, 1, size, size)
    y = whole(x).detach().numpy()
    steps = (size - 28) // 4 + 1
    assert y.shape == (2, 10, steps, steps)
    for i in range(steps):  # without padding every entry is what the network says of that window
        for j in range(steps):
            crop = Tensor(np.ascontiguousarray(x.numpy()[:, :, 4 * i : 4 * i + 28, 4 * j : 4 * j + 28]))
            np.testing.assert_allclose(y[:, :, i, j], net(crop).detach().numpy(), atol=1e-4)


def test_convolutionalized_vgg():
    net = models.vgg16(width_mult=0.03, hidden=(24, 24), num_classes=5).eval()
    whole = models.convolutionalize(net)
    x = images(1, 3, 224, 224)
    np.testing.assert_allclose(whole(x).detach().numpy()[..., 0, 0], net(x).detach().numpy(), atol=1e-4)
    assert whole(images(1, 3, 288, 288)).shape == (1, 5, 3, 3)
    assert whole.classifier[0].weight.shape == (24, 15, 7, 7) and whole.classifier[3].kernel_size == (1, 1)
    with pytest.raises(ValueError, match="ResNet has no module `features`"):
        models.convolutionalize(models.resnet20())
    with pytest.raises(ValueError, match="no maps of 3 x 3"):
        models.convolutionalize(net, grid=4 - 1)


WRONG = [
    (models.resnet18, (2, 1, 32, 32), "ResNet: expected images .N, 3, H, W.; got shape .2, 1, 32, 32.; a grey image"),
    (models.resnet18, (3, 32, 32), "makes a batch of one"),
    (models.mobilenet_v2, (1, 32, 32, 3), "the channels come last"),
    (lambda: models.resnet20(in_channels=1), (1, 3, 32, 32), "in_channels=3"),
    (lambda: models.vgg11(width_mult=0.1, hidden=(8,)), (1, 3, 28, 28), "VGG: images of 28 x 28 are too small: at least 32"),
    (lambda: models.alexnet(width_mult=0.05), (1, 3, 32, 62), "at least 63 x 63"),
    (models.densenet121, (1, 3, 16, 64), "DenseNet: images of 16 x 64 are too small: at least 29"),
    (lambda: models.googlenet(width_mult=0.1), (1, 3, 9, 9), "at least 15 x 15"),
    (lambda: models.ViT(image_size=28, patch=7, d=8, layers=1, heads=2, mlp=8), (1, 3, 32, 32), "expected images of 28 x 28"),
    (lambda: models.SimpleCNN(), (1, 1, 27, 28), "at least 28 x 28"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "shape", "message"), WRONG)
def test_wrong_images(build, shape, message):
    with pytest.raises(ValueError, match=message):
        build()(images(*shape))


LEAST = [
    (lambda: models.vgg11(width_mult=0.1, hidden=(8,)), 32),
    (lambda: models.alexnet(width_mult=0.05), 63),
    (lambda: models.alexnet(width_mult=0.05, variant="2012"), 67),
    (lambda: models.alexnet(width_mult=0.05, small_input=True), 15),
    (models.densenet121, 29),
    (lambda: models.densenet_bc(10, 4), 4),
    (lambda: models.googlenet(width_mult=0.1), 15),
    (lambda: models.resnet18(width=4), 1),
]


@pytest.mark.parametrize(("build", "least"), LEAST)
def test_least_size_is_enough_and_one_less_is_not(build, least):
    net = build().eval()
    assert np.isfinite(net(images(1, 3, least, least)).detach().numpy()).all()
    if least > 1:
        with pytest.raises(ValueError, match="too small"):
            net(images(1, 3, least - 1, least))


def test_settings_that_make_no_sense():
    for build, message in (
        (lambda: models.alexnet(variant="2013"), "variant must be"),
        (lambda: models.googlenet(variant="v3"), "variant must be"),
        (lambda: models.googlenet(transform_input=True, in_channels=1), "transform_input is for colour"),
        (lambda: models.densenet_bc(41), "6n \\+ 4"),
        (lambda: models.ViT(image_size=30), "must tile"),
        (lambda: models.ViT(pool="max"), "pool must be"),
        (lambda: models.VGG(models.VGGConfig(depth=12)), "depth must be one of"),
        (lambda: models.ResNet(models.ResNetConfig(block="dense")), "block must be"),
        (lambda: models.SimpleCNN(size=12), "at least 16"),
    ):
        with pytest.raises(ValueError, match=message):
            build()


def test_old_densenet_files_load():
    net = models.densenet_bc(10, 4, in_channels=1)
    old = {k.replace("norm1", "norm.1").replace("conv2", "conv.2"): v for k, v in net.state_dict().items()}
    other = models.densenet_bc(10, 4, in_channels=1)
    other.load_state_dict(old)
    x = images(1, 1, 8, 8)
    np.testing.assert_array_equal(other.eval()(x).detach().numpy(), net.eval()(x).detach().numpy())


def test_vit_takes_both_layouts_of_hugging_face():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    if find_spec("torchvision"):
        load_torchvision()
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        num_labels=7, layer_norm_eps=1e-6, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    theirs = transformers.ViTForImageClassification(config).eval()
    state = {k: v.numpy() for k, v in theirs.state_dict().items()}
    ours = models.ViT(image_size=32, patch=8, d=16, layers=2, heads=2, mlp=32, num_classes=7).eval()
    ours.load_state_dict(state)
    x = images(2, 3, 32, 32)
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(x.numpy())).logits.numpy()
    np.testing.assert_allclose(ours(x).detach().numpy(), wanted, atol=1e-5)
    hub = {
        "attention.q_proj": "attention.attention.query", "attention.k_proj": "attention.attention.key",
        "attention.v_proj": "attention.attention.value", "attention.o_proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense", "vit.layers": "vit.encoder.layer",
    }  # fmt: skip
    renamed = {}
    for key, value in state.items():
        for new, old in hub.items():
            key = key.replace(new, old)
        renamed[key] = value
    assert renamed.keys() != state.keys()
    other = models.ViT(image_size=32, patch=8, d=16, layers=2, heads=2, mlp=32, num_classes=7).eval()
    other.load_state_dict(renamed)
    np.testing.assert_array_equal(other(x).detach().numpy(), ours(x).detach().numpy())


def test_vit_positions_of_another_size():
    small = models.ViT(image_size=16, patch=4, d=8, layers=1, heads=2, mlp=8, num_classes=3)
    large = models.ViT(image_size=32, patch=4, d=8, layers=1, heads=2, mlp=8, num_classes=3)
    large.load_state_dict(small.state_dict())
    a, b = small.encoder.pos_embedding.detach().numpy(), large.encoder.pos_embedding.detach().numpy()
    np.testing.assert_array_equal(a[:, 0], b[:, 0])
    grid = b[0, 1:].reshape(8, 8, 8)
    np.testing.assert_allclose(grid[[0, 0, -1, -1], [0, -1, 0, -1]], a[0, 1:].reshape(4, 4, 8)[[0, 0, -1, -1], [0, -1, 0, -1]],
                               atol=1e-6)  # fmt: skip
    with pytest.raises(RuntimeError, match="pos_embedding"):
        models.ViT(image_size=16, patch=4, d=16, layers=1, heads=2, mlp=8, num_classes=3).load_state_dict(
            small.state_dict()
        )


def test_grouped_convolution_is_two_halves_on_two_devices():
    x = images(2, 8, 9, 9)
    conv = nn.Conv2d(8, 6, 5, padding=2, groups=2)
    halves = []
    for i in (0, 1):
        mine = slice(3 * i, 3 * i + 3)
        halves.append(F.conv2d(x[:, 4 * i : 4 * i + 4], conv.weight[mine], conv.bias[mine], padding=2))
    np.testing.assert_allclose(conv(x).detach().numpy(), fastdl.cat(halves, 1).detach().numpy(), atol=1e-5)
