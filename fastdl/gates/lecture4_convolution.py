"""Entries 41 to 48: convolution, pooling, dense layers, 1x1 filters and bottlenecks, by their arithmetic and on digits."""

import numpy as np

from fastdl import nn
from fastdl._summary import summary
from fastdl.autograd import Tensor, no_grad
from fastdl.data import photos
from fastdl.gates import Claim, gate
from fastdl.models import convolutionalize
from fastdl.models.resnet import ResNet, ResNetConfig
from fastdl.nn import functional as F
from fastdl.nn.blocks import Bottleneck
from fastdl.receptive_field import gradient_support, receptive_field
from fastdl.recipes._classify import BASELINES, PLANS, Plan, data, train

NEAREST = ("nearest neighbour", BASELINES["nearest neighbour"])


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def correlate(image, kernel):
    """Correlation (H - h + 1, W - w + 1) by its definition, in float64: what F.conv2d is compared with."""
    h, w = kernel.shape
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), (h, w))
    return np.einsum("ijuv,uv->ij", windows, kernel.astype(np.float64))


def conv2d(image, kernel):
    y = F.conv2d(Tensor(image[None, None].astype(np.float32)), Tensor(kernel[None, None].astype(np.float32)))
    return y.array[0, 0]


@gate(entry=41, name="convolution_filters")
def convolution_filters(seed=0, smoke=False):
    "Sobel filters on a photograph against the definition; the edges they find; true convolution is the flipped one."
    camera = photos()["camera"].astype(np.float32) / 255
    camera = camera[:128, 160:288] if smoke else camera
    sobel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], np.float32)
    across, down = conv2d(camera, sobel), conv2d(camera, sobel.T)
    wrong = max(np.abs(across - correlate(camera, sobel)).max(), np.abs(down - correlate(camera, sobel.T)).max())
    flipped = np.abs(conv2d(camera, sobel[::-1, ::-1].copy()) + across).max()  # an odd filter changes its sign
    strength = np.hypot(across, down)
    steps = np.abs(np.diff(camera, axis=1))[1:-1, :-1] + np.abs(np.diff(camera, axis=0))[:-1, 1:-1]
    agreement = np.corrcoef(strength.ravel(), steps.ravel())[0, 1]
    x, w = (
        np.random.default_rng(seed).standard_normal(s).astype(np.float32) for s in ((2, 16, 20, 20), (16, 16, 3, 3))
    )
    exact = _with_algorithm("exact", x, w)
    paths = np.abs(_with_algorithm("auto", x, w) - exact).max() / np.abs(exact).max()
    return [
        Claim("largest difference from the definition", float(wrong), "<=", 1e-4),
        Claim("flipping an odd filter changes the sign: difference", float(flipped), "<=", 1e-4),
        Claim("correlation of edge strength with steps of brightness", float(agreement), ">=", 0.6, ("noise", 0.0)),
        Claim("Winograd against direct, relative", float(paths), "<=", 1e-3),
    ]


def _with_algorithm(name, x, w):
    from fastdl.kernels import conv_algorithm, set_conv_algorithm

    before = conv_algorithm()
    set_conv_algorithm(name)
    try:
        return F.conv2d(Tensor(x), Tensor(w), padding=1).array
    finally:
        set_conv_algorithm(before)


@gate(entry=42, name="colour_convolution")
def colour_convolution(seed=0, smoke=False):
    "A 1x1x3 filter learns from a photograph how grey is mixed from red, green and blue; counts of filters over channels."
    layer = nn.Conv2d(3, 4, 5)
    x = np.random.default_rng(seed).standard_normal((1, 3, 32, 32)).astype(np.float32)
    y = layer(Tensor(x)).array
    parts = sum(
        F.conv2d(Tensor(x[:, c : c + 1]), Tensor(np.ascontiguousarray(layer.weight.array[:, c : c + 1]))).array
        for c in range(3)
    ) + layer.bias.array.reshape(1, 4, 1, 1)
    coffee = photos()["coffee"][::4, ::4].astype(np.float32).transpose(2, 0, 1)[None] / 255
    wanted = np.array([0.299, 0.587, 0.114], np.float32)
    grey = np.einsum("nchw,c->nhw", coffee, wanted)[:, None]
    mix = nn.Conv2d(3, 1, 1, bias=False)
    from fastdl.optim import LBFGS

    # Red, green and blue of a photograph rise and fall together, so that the loss is a narrow valley: Adam's rate is spent
    # before the ground is reached from some starts; L-BFGS learns the valley's shape.
    exact = {"tolerance_grad": 1e-9, "tolerance_change": 1e-12, "line_search_fn": "strong_wolfe"}
    optimizer = LBFGS(mix.parameters(), max_iter=60, **exact)
    begin = float(np.abs(mix.weight.array.reshape(3) - wanted).max())

    def loss():
        optimizer.zero_grad()
        value = 1000 * F.mse_loss(mix(Tensor(coffee)), Tensor(grey))
        value.backward()
        return value

    optimizer.step(loss)
    left = float(np.abs(mix.weight.array.reshape(3) - wanted).max())
    return [
        Claim("parameters of 4 filters 5x5x3", count(layer), "==", 304),
        Claim("width of what they give on 32x32", y.shape[2], "==", 28),
        Claim("sum over channels, largest difference", float(np.abs(parts - y).max()), "<=", 1e-4),
        Claim("weights of grey, largest error", left, "<=", 1e-2, ("before learning", begin)),
    ]


@gate(entry=43, name="receptive_fields")
def receptive_fields(seed=0, smoke=False):
    "Ten random stacks of convolutions and pools: the receptive field by the formula and by where the gradient is not zero."
    rng = np.random.default_rng(seed)
    agree = 0
    for _ in range(3 if smoke else 10):
        layers, channels = [], 1
        for _ in range(int(rng.integers(2, 5))):
            kernel, stride = int(rng.integers(1, 6)), int(rng.integers(1, 3))
            if rng.random() < 0.3:
                layers.append(nn.AvgPool2d(max(kernel, stride), stride))
            else:
                layers.append(nn.Conv2d(channels, 3, kernel, stride, dilation=int(rng.integers(1, 3))))
                channels = 3
        net = nn.Sequential(*layers)
        size = receptive_field(net).size
        agree += gradient_support(net, (1, 1, *(max(n + 40, 64) for n in size))) == size
    stack = nn.Sequential(nn.Conv2d(3, 4, 5, bias=False), nn.ReLU(), nn.Conv2d(4, 10, 5, bias=False), nn.ReLU())
    table = summary(stack, (1, 3, 32, 32))
    return [
        Claim("stacks that agree", agree, "==", 3 if smoke else 10),
        Claim("weights of 32x32x3 -> 28x28x4 -> 24x24x10", table.total_params, "==", 1300),
        Claim("its receptive field", receptive_field(stack).size[0], "==", 9),
    ]


@gate(entry=44, name="cnn_digits")
def cnn_digits(seed=0, smoke=False):
    "Two convolutions with pooling and two dense layers learn MNIST 5k, judged on its test part."
    split = data("mnist5k", 28)
    accuracy = train(PLANS["simple_cnn"], split, 1 if smoke else None, seed)[1]["accuracy"]
    return [Claim("test accuracy, MNIST 5k", accuracy, ">=", 0.88 if smoke else 0.965, NEAREST)]


@gate(entry=45, name="pooling_and_shifts")
def pooling_and_shifts(seed=0, smoke=False):
    "Two trained networks see the test digits moved by a pixel: with pooling the scores change less than with stride."
    from fastdl.recipes._classify import predict

    split = data("mnist5k", 28)
    change = {}
    for name, pools in (("pool", True), ("stride", False)):
        trainer, result = train(Plan(_two_stages(pools), 4, rate=3e-3, shift=0), split, 1 if smoke else None, seed)
        x = split.test.tensors[0].array[: 200 if smoke else None]
        moved = np.concatenate([np.full_like(x[..., :1], x.min()), x[..., :-1]], -1)
        a, b = predict(trainer.model, x), predict(trainer.model, moved)
        change[name] = float(np.linalg.norm(a - b) / np.linalg.norm(a - a.mean(0)))
        change[name + " accuracy"] = result["accuracy"]
    accurate = Claim("test accuracy with pooling", change["pool accuracy"], ">=", 0.8 if smoke else 0.95, NEAREST)
    if smoke:  # after one epoch the two do not differ yet
        return [accurate, Claim("change of the scores with pooling", change["pool"], "<=", 0.5)]
    return [
        accurate,
        Claim("change of the scores with pooling", change["pool"], "<", change["stride"], ("stride", change["stride"])),
    ]


def _two_stages(pools):
    """Two convolutions 5x5, each halving the image: by a max pool after it, or by its stride."""

    def build(classes):
        layers = []
        for a, b in ((1, 8), (8, 16)):
            layers += [nn.Conv2d(a, b, 5, stride=1 if pools else 2, padding=2), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] * pools
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 49, classes))

    return build


@gate(entry=46, name="dense_layers")
def dense_layers(seed=0, smoke=False):
    "AlexNet's dense layers hold 96 % of its parameters; a dense layer is a convolution with filters as large as the maps."
    from fastdl.models import SimpleCNN, alexnet

    with nn.init_empty():
        net = alexnet()
    dense = sum(count(m) for m in net.classifier if isinstance(m, nn.Linear))
    small = SimpleCNN().eval()
    x = Tensor(np.random.default_rng(seed).standard_normal((4, 1, 28, 28)).astype(np.float32))
    with no_grad():
        difference = np.abs(convolutionalize(small)(x).array[..., 0, 0] - small(x).array).max()
    return [
        Claim("parameters of the dense layers", dense, "==", 58_631_144),
        Claim("their share", dense / count(net), ">=", 0.9595),
        Claim("dense layers as convolutions, largest difference", float(difference), "<=", 1e-4),
    ]


@gate(entry=47, name="one_by_one")
def one_by_one(seed=0, smoke=False):
    "A 1x1 convolution from 128 to 32 channels is one dense layer for every pixel of 256x256."
    side = 32 if smoke else 256
    conv = nn.Conv2d(128, 32, 1, bias=False)
    x = np.random.default_rng(seed).standard_normal((1, side, side, 128)).astype(np.float32)
    with no_grad():
        y = conv(Tensor(x.transpose(0, 3, 1, 2))).array
        pixels = F.linear(Tensor(x.reshape(-1, 128)), Tensor(conv.weight.array.reshape(32, 128))).array
    difference = np.abs(y.transpose(0, 2, 3, 1).reshape(-1, 32) - pixels).max()
    return [
        Claim("weights", count(conv), "==", 4096),
        Claim("channels of the result", y.shape[1], "==", 32),
        Claim("largest difference from a dense layer a pixel", float(difference), "<=", 1e-4),
    ]


@gate(entry=48, name="bottleneck_digits")
def bottleneck_digits(seed=0, smoke=False):
    "14 blocks, bottlenecks against basic blocks of equal parameters, on MNIST 5k: as good with fewer multiply-adds."

    def build(block, width, layers):
        config = ResNetConfig(block=block, layers=layers, width=width, in_channels=1, num_classes=10, small_input=True)
        return lambda classes: ResNet(config)

    # Where the blocks stand and how long both train was chosen on 800 training images: .979 there, basic blocks .976. With 2, 2, 10
    # blocks and 6 epochs it was .960 and .978: a net of 43 narrow layers had not yet learned what it can.
    split = data("mnist5k", 28, 500 if smoke else None)
    found = {}
    for name, make in (("basic", build("basic", 6, (5, 5, 4))), ("bottleneck", build("bottleneck", 4, (1, 4, 9)))):
        trainer, result = train(Plan(make, 9, rate=8e-3, batch=25 if smoke else 50), split, 3 if smoke else None, seed)
        table = summary(trainer.model, (1, 1, 28, 28))
        found[name] = result["accuracy"], table.total_params, table.total_macs
    basic, narrow = found["basic"], found["bottleneck"]
    block, plain = Bottleneck(256, 64), nn.Sequential(*(nn.Conv2d(256, 256, 3, bias=False) for _ in range(2)))
    weights = sum(p.numel() for p in block.parameters() if len(p.shape) > 1)
    return [
        Claim("weights of 256 -> 64 -> 64 -> 256", weights, "==", 69_632, ("two 3x3 of 256", count(plain))),
        Claim("parameters, share of the basic blocks'", narrow[1] / basic[1], "<=", 1.05),
        Claim("multiply-adds, share of the basic blocks'", narrow[2] / basic[2], "<=", 0.6),
        Claim(
            "test accuracy, MNIST 5k",
            narrow[0],
            ">=",
            basic[0] - 0.01 if not smoke else 0.25,
            ("basic blocks", basic[0]),
        ),
    ]
