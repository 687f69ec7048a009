"""Entries 49 to 62: the networks of the ImageNet years, made small, on real digits and textures; their blocks by arithmetic."""

from dataclasses import replace

import numpy as np

from fastdl import models, nn
from fastdl._summary import summary
from fastdl.autograd import Tensor, no_grad
from fastdl.gates import Claim, gate
from fastdl.metrics import topk_error
from fastdl.nn import functional as F
from fastdl.nn.blocks import BasicBlock, DenseBlock, Inception, Transition
from fastdl.receptive_field import gradient_support, receptive_field
from fastdl.recipes._classify import BASELINES, PLANS, Plan, data, train
from fastdl.testing import PeakMemory

NEAREST = ("nearest neighbour", BASELINES["nearest neighbour"])
SMOKE = 1000  # images of each part


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def digits(name, seed, smoke, bound=0.965, least=0.25, short=3):
    """The claim of a network: its test accuracy on MNIST 5k; in a smoke run after `short` times 20 small batches."""
    plan = PLANS[name]
    split = data("mnist5k", plan.size, 400 if smoke else None)
    plan = replace(plan, batch=20) if smoke else plan
    result = train(plan, split, short if smoke else None, seed)[1]
    return Claim(
        "test accuracy, MNIST 5k", result["accuracy"], ">=", least if smoke else bound,
        ("one class always", 0.1) if smoke else NEAREST,
    )  # fmt: skip


@gate(entry=49, name="ilsvrc_protocol")
def ilsvrc_protocol(seed=0, smoke=False):
    "Top-1 and top-5 errors by hand, with ties; parameters fall while accuracy rises: the networks' own counts."
    scores = np.array([[5, 4, 3, 2, 1, 0], [1, 1, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]], np.float32)
    top1, top5 = (float(e) for e in topk_error(scores, np.array([0, 2, 0, 1]), k=(1, 5)))
    with nn.init_empty():
        vgg, resnet, dense = models.vgg16(), models.resnet50(), models.densenet121()
    published = {"VGG16": 71.59, "ResNet-50": 76.13, "DenseNet-121": 74.43}  # top-1, ImageNet, of torchvision's weights
    per_million = [published[n] / count(m) * 1e6 for n, m in zip(published, (vgg, resnet, dense), strict=True)]
    return [
        Claim("top-1 error of four rows, one of them all ties", top1, "==", 0.75),
        Claim("top-5 error, ties against the model", top5, "==", 0.5),
        Claim("parameters of ResNet-50 by VGG16's", count(resnet) / count(vgg), "<=", 0.19),
        Claim(
            "accuracy by million parameters, DenseNet-121",
            per_million[2],
            ">=",
            per_million[1],
            ("ResNet-50", per_million[1]),
        ),
    ]


@gate(entry=50, name="alexnet_digits")
def alexnet_digits(seed=0, smoke=False):
    "AlexNet with 5x5 first filters and a fifth of the channels learns MNIST 5k."
    with nn.init_empty():
        counts = count(models.alexnet()), count(models.alexnet(variant="2012"))
    return [
        Claim("parameters of AlexNet", counts[0], "==", 61_100_840),
        Claim("parameters of the net of 2012", counts[1], "==", 60_965_224),
        digits("alexnet", seed, smoke, least=0.15),
    ]


@gate(entry=51, name="alexnet_ideas")
def alexnet_ideas(seed=0, smoke=False):
    "Groups are two half convolutions; a deep net with ReLU reaches a training error of 10 % in fewer epochs than with tanh."
    conv = nn.Conv2d(8, 6, 5, padding=2, groups=2)
    x = Tensor(np.random.default_rng(seed).standard_normal((2, 8, 9, 9)).astype(np.float32))
    halves = []
    for i in (0, 1):
        half = slice(3 * i, 3 * i + 3)
        halves.append(F.conv2d(x[:, 4 * i : 4 * i + 4], conv.weight[half], conv.bias[half], padding=2).array)
    difference = float(np.abs(conv(x).array - np.concatenate(halves, 1)).max())
    needed = {name: epochs_to_ten_percent(act, seed, smoke) for name, act in (("relu", nn.ReLU), ("tanh", nn.Tanh))}
    return [
        Claim("groups against two halves, largest difference", difference, "<=", 1e-5),
        Claim("epochs with tanh by epochs with ReLU", needed["tanh"] / needed["relu"], ">=", 1.0 if smoke else 2.0),
    ]


def epochs_to_ten_percent(activation, seed, smoke, longest=24):
    """Epochs until one in ten training images is wrong; plain SGD, the same start and rate for every activation."""
    from fastdl.data import DataLoader
    from fastdl.optim import SGD
    from fastdl.random import manual_seed

    split = data("mnist5k", 28, 500 if smoke else 1500)
    manual_seed(seed)
    layers, channels = [], 1
    for width, pool in ((8, 0), (8, 1), (16, 0), (16, 1), (32, 0), (32, 1)):
        conv = nn.Conv2d(channels, width, 3, padding=1)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu" if activation is nn.ReLU else "tanh")
        nn.init.zeros_(conv.bias)
        layers += [conv, activation(), *([nn.MaxPool2d(2)] * pool)]
        channels = width
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 9, 10))
    optimizer = SGD(model.parameters(), lr=0.01)
    loader = DataLoader(split.train, batch_size=50, shuffle=True, seed=seed)
    for epoch in range(1, longest + 1):
        wrong = seen = 0
        for images, labels in loader:
            scores = model(images)
            optimizer.zero_grad()
            F.cross_entropy(scores, labels).backward()
            optimizer.step()
            wrong += int((scores.array.argmax(1) != labels.array).sum())
            seen += len(labels.array)
        if wrong <= 0.1 * seen:
            return epoch
    return longest


@gate(entry=52, name="vgg_digits")
def vgg_digits(seed=0, smoke=False):
    "VGG16 with batch norm and an eighth of the channels learns MNIST 5k."
    with nn.init_empty():
        published = count(models.vgg16())
    field = receptive_field(models.vgg16(width_mult=0.02, hidden=(8,))).size[0]
    return [
        Claim("parameters of VGG16", published, "==", 138_357_544),
        Claim("receptive field after the fifth pool", field, "==", 212),
        digits("vgg16", seed, smoke),
    ]


@gate(entry=53, name="small_filters")
def small_filters(seed=0, smoke=False):
    "Two 3x3 layers see what one 5x5 layer sees, with fewer weights; on MNIST 5k they are not worse."

    def stack(channels, *kernels):
        layers = [nn.Conv2d(channels, channels, k, padding=k // 2, bias=False) for k in kernels]
        return nn.Sequential(*layers)

    counts = {kernels: count(stack(128, *kernels)) for kernels in ((3, 3), (5,), (3, 3, 3), (7,))}
    fields = [receptive_field(stack(1, *kernels)).size[0] for kernels in ((3, 3), (5,))]
    support = gradient_support(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), (1, 1, 15, 15))[0]

    def net(kernels):
        def build(classes):
            layers, channels = [], 1
            for width in (12, 24):
                for k in kernels:
                    layers += [
                        nn.Conv2d(channels, width, k, padding=k // 2, bias=False),
                        nn.BatchNorm2d(width),
                        nn.ReLU(),
                    ]
                    channels = width
                layers.append(nn.MaxPool2d(2))
            return nn.Sequential(*layers, nn.Flatten(), nn.Linear(24 * 49, classes))

        return build

    split = data("mnist5k", 28, SMOKE if smoke else None)
    small, large = (train(Plan(net(k), 5), split, 1 if smoke else None, seed)[1]["accuracy"] for k in ((3, 3), (5,)))
    return [
        Claim("weights of two 3x3x128x128", counts[3, 3], "==", 294_912, ("one 5x5", counts[5,])),
        Claim("weights of one 5x5x128x128", counts[5,], "==", 409_600),
        Claim("weights of three 3x3", counts[3, 3, 3], "==", 442_368, ("one 7x7", counts[7,])),
        Claim("receptive fields by formula, difference", fields[0] - fields[1], "==", 0),
        Claim("receptive field by gradient", support, "==", 5),
        Claim("test accuracy with 3x3 pairs", small, ">=", 0.5 if smoke else large - 0.007, ("5x5", large)),
    ]


@gate(entry=54, name="googlenet_digits")
def googlenet_digits(seed=0, smoke=False):
    "GoogLeNet with its auxiliary heads and an eighth of the channels learns MNIST 5k."
    with nn.init_empty():
        main, heads = count(models.googlenet(aux_logits=False)), count(models.googlenet())
        paper = count(models.googlenet(variant="paper"))
    return [
        Claim("parameters without heads", main, "==", 6_624_904),
        Claim("parameters with heads", heads, "==", 13_004_888),
        Claim("parameters of the paper's form", paper, "==", 13_378_280),
        digits("googlenet", seed, smoke, least=0.15),
    ]


@gate(entry=55, name="inception_block")
def inception_block(seed=0, smoke=False):
    "The inception block 3a: weights with and without reductions, order of its channels, and gradients that split exactly."
    block = Inception(192, 64, 96, 128, 16, 32, 32).eval()
    naive = Inception(192, 64, 0, 128, 0, 32, 0, reduce=False)
    weights = [sum(p.numel() for n, p in b.named_parameters() if n.endswith("conv.weight")) for b in (block, naive)]
    x = Tensor(np.random.default_rng(seed).standard_normal((1, 192, 8, 8)).astype(np.float32), requires_grad=True)
    y = block(x)
    parts = np.concatenate(
        [b(x).detach().numpy() for b in (block.branch1, block.branch2, block.branch3, block.branch4)], 1
    )
    y.sum().backward()
    whole, x.grad = x.grad.numpy().copy(), None
    for branch in (block.branch1, block.branch2, block.branch3, block.branch4):
        branch(x).sum().backward()
    return [
        Claim("weights of 3a", weights[0], "==", 163_328, ("without reductions", weights[1])),
        Claim("weights without reductions", weights[1], "==", 387_072),
        Claim("channels", y.shape[1], "==", 256),
        Claim("branches in order, largest difference", float(np.abs(parts - y.detach().numpy()).max()), "<=", 0),
        Claim("gradient against the sum of the branches'", float(np.abs(whole - x.grad.numpy()).max()), "<=", 1e-4),
    ]


@gate(entry=56, name="one_by_one_reduction")
def one_by_one_reduction(seed=0, smoke=False):
    "128 -> 128 by 3x3 against 128 -> 32 by 1x1 and 32 -> 128 by 3x3: 28 % of the weights, and what it costs on MNIST 5k."
    direct = nn.Conv2d(128, 128, 3, padding=1, bias=False)
    reduced = nn.Sequential(nn.Conv2d(128, 32, 1, bias=False), nn.Conv2d(32, 128, 3, padding=1, bias=False))

    def net(reduce):
        def build(classes):
            layers = [nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
            for _ in range(2):
                if reduce:
                    layers += [nn.Conv2d(32, 8, 1, bias=False), nn.Conv2d(8, 32, 3, padding=1, bias=False)]
                else:
                    layers += [nn.Conv2d(32, 32, 3, padding=1, bias=False)]
                layers += [nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
            return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 9, classes))

        return build

    split = data("mnist5k", 28, SMOKE if smoke else None)
    one, other = (train(Plan(net(r), 6), split, 1 if smoke else None, seed)[1]["accuracy"] for r in (True, False))
    return [
        Claim("weights of the direct layer", count(direct), "==", 147_456),
        Claim("weights of the reduction", count(reduced[0]), "==", 4_096),
        Claim("weights of the layer after it", count(reduced[1]), "==", 36_864),
        Claim("share", count(reduced) / count(direct), "<=", 0.278),
        Claim("test accuracy with reductions", one, ">=", 0.5 if smoke else other - 0.007, ("direct", other)),
    ]


@gate(entry=57, name="resnet_digits")
def resnet_digits(seed=0, smoke=False):
    "ResNet-20 of width 8 learns MNIST 5k, and textures of brick, grass and gravel."
    with nn.init_empty():
        counts = [count(m()) for m in (models.resnet20, models.resnet50)]
    return [
        Claim("parameters of ResNet-20", counts[0], "==", 269_722),
        Claim("parameters of ResNet-50", counts[1], "==", 25_557_032),
        digits("resnet20", seed, smoke),
    ]


@gate(entry=58, name="skip_connection")
def skip_connection(seed=0, smoke=False):
    "A block without weights is its shortcut; through 50 blocks the gradient survives with shortcuts and vanishes without."
    x = Tensor(np.random.default_rng(seed).standard_normal((2, 8, 8, 8)).astype(np.float32))
    block = BasicBlock(8, 8).eval()
    block.conv1.weight.array[...] = block.conv2.weight.array[...] = 0
    difference = float(np.abs(block(x).detach().numpy() - np.maximum(x.numpy(), 0)).max())

    def ratio(residual):
        """Norm of the gradient at the entrance of 50 layers by that at their exit; small random weights, no batch norm."""
        rng = np.random.default_rng(seed)
        layers = [nn.Conv2d(8, 8, 3, padding=1) for _ in range(50)]
        for layer in layers:
            layer.weight.array[...] = rng.standard_normal(layer.weight.shape) * 0.05
        begin = y = Tensor(x.numpy(), requires_grad=True)
        for layer in layers:
            y = y + 0.2 * layer(y).tanh() if residual else layer(y).tanh()
        dy = rng.standard_normal(y.shape).astype(np.float32)
        y.backward(Tensor(dy))
        return float(np.linalg.norm(begin.grad.numpy()) / np.linalg.norm(dy))

    a, b, c = (count(BasicBlock(64, 128, 2, kind)) for kind in "ABC")
    kept, lost = ratio(True), ratio(False)
    return [
        Claim("a block without weights against relu(x)", difference, "<=", 1e-6),
        Claim("gradient at the entrance by that at the exit", kept, ">=", 0.1, ("without shortcuts", lost)),
        Claim("the same, from above", kept, "<=", 10),
        Claim("without shortcuts", lost, "<", 1e-3),
        Claim("parameters of a projection 64 -> 128", b - a, "==", 64 * 128 + 2 * 128),
        Claim("C projects where B does", c, "==", b),
    ]


@gate(entry=59, name="degradation")
def degradation(seed=0, smoke=False):
    "Plain nets of 8 and 56 layers against a residual one of 56: the deep plain net has the higher training loss."
    from fastdl.data import DataLoader

    split = data("mnist5k", 28, 400 if smoke else 2000)
    found = {}
    for name, n, residual in (("plain-8", 1, False), ("plain-56", 9, False), ("resnet-56", 9, True)):

        def build(classes, n=n, residual=residual):
            return models.resnet_cifar(n, residual=residual, in_channels=1, width=4, num_classes=classes)

        trainer, result = train(Plan(build, 4, rate=4e-3, batch=25 if smoke else 50), split, 2 if smoke else None, seed)
        learned = trainer.evaluate(DataLoader(split.train, batch_size=250))
        found[name] = learned["loss"], result["accuracy"]
    claims = [
        Claim(
            "training loss, plain-56", found["plain-56"][0], ">", found["plain-8"][0], ("plain-8", found["plain-8"][0])
        )
    ]
    if not smoke:
        loss, accuracy = found["resnet-56"]
        plain, plain_accuracy = found["plain-56"]
        claims += [
            Claim("training loss, resnet-56", loss, "<", plain, ("plain-56", plain)),
            Claim("test accuracy, resnet-56", accuracy, ">=", plain_accuracy + 0.01, ("plain-56", plain_accuracy)),
        ]
    return claims


@gate(entry=60, name="densenet_digits")
def densenet_digits(seed=0, smoke=False):
    "DenseNet-BC of depth 22 and growth 8 learns MNIST 5k."
    with nn.init_empty():
        counts = [count(m) for m in (models.densenet121(), models.densenet_bc(100, 12), models.densenet_bc(40, 12))]
    return [
        Claim("parameters of DenseNet-121", counts[0], "==", 7_978_856),
        Claim("parameters of BC-100-12", counts[1], "==", 769_162),
        Claim("parameters of BC-40-12", counts[2], "==", 176_122),
        digits("densenet", seed, smoke),
    ]


@gate(entry=61, name="dense_block_memory")
def dense_block_memory(seed=0, smoke=False):
    "24 dense layers: channels grow linearly; computing them again gives the same in at most 40 % of the memory."
    side = 16 if smoke else 32
    x = np.random.default_rng(seed).standard_normal((4, 24, side, side)).astype(np.float32)
    found = []
    for efficient in (False, True):
        block = DenseBlock(24, 24, 12, memory_efficient=efficient)
        if found:
            block.load_state_dict(found[0][3])
        state = {k: v.array.copy() for k, v in block.state_dict().items()}
        given = Tensor(x, requires_grad=True)
        block(given).sum().backward()  # gradients exist from here on
        block.zero_grad(set_to_none=False)
        with PeakMemory() as peak:
            y = block(given)
            value = y.detach().numpy().copy()
            (y * y).mean().backward()
            del y
        found.append((value, given.grad.numpy().copy(), peak.bytes, state))
    channels = [layer.conv1.in_channels for layer in DenseBlock(6, 64, 32).children()]
    return [
        Claim("channels into the sixth layer of 64 + 32 l", channels[5], "==", 64 + 5 * 32),
        Claim("largest difference of the outputs", float(np.abs(found[0][0] - found[1][0]).max()), "<=", 1e-6),
        Claim("relative difference of the gradients", relative(found[1][1], found[0][1]), "<=", 1e-5),
        Claim("peak memory, share", found[1][2] / found[0][2], "<=", 0.4, ("keeping all", found[0][2] / 1e6)),
    ]


def relative(a, b) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@gate(entry=62, name="transition_block")
def transition_block(seed=0, smoke=False):
    "A transition halves channels, height and width; its order, pooling before the 1x1 convolution, changes nothing."
    block = Transition(256, 128).eval()
    x = Tensor(np.random.default_rng(seed).standard_normal((1, 256, 8, 8)).astype(np.float32))
    with no_grad():
        y = block(x).array
        as_published = block.pool(block.conv(block.relu(block.norm(x)))).array
    return [
        Claim("channels", y.shape[1], "==", 128),
        Claim("height", y.shape[2], "==", 4),
        Claim("weights of the convolution", block.conv.weight.numel(), "==", 32_768),
        Claim("against the published order", float(np.abs(y - as_published).max()), "<=", 1e-5),
    ]


@gate(entry=57, name="textures")
def textures(seed=0, smoke=False):
    "Small nets tell brick, grass and gravel apart, learned on the left half of each photograph, judged on the right half."
    split = data("textures", 32, 300 if smoke else None)
    claims = []
    (x, y), (x_test, y_test) = ([t.array for t in part.tensors] for part in split)
    baseline = contrast_baseline(x, y, x_test, y_test)
    for name in ("resnet20",) if smoke else ("resnet20", "densenet", "vgg16", "alexnet", "googlenet"):
        epochs = 10 if name == "alexnet" else 3  # validation, without batch norm: .90, .92 after 3, .95, .97
        result = train(PLANS[name], split, 1 if smoke else epochs, seed)[1]
        claims.append(Claim(f"test accuracy, {name}", result["accuracy"], ">=", 0.34 if smoke else 0.95, baseline))
    return claims


def contrast_baseline(x, y, x_test, y_test):
    """Nearest class mean of brightness and contrast of a patch."""

    def features(images):
        return np.stack([images.mean((1, 2, 3)), images.std((1, 2, 3))], 1)

    means = np.stack([features(x)[y == c].mean(0) for c in range(3)])
    guess = ((features(x_test)[:, None] - means) ** 2).sum(2).argmin(1)
    return "nearest brightness and contrast", float((guess == y_test).mean())


@gate(entry=57, name="mobilenet_digits")
def mobilenet_digits(seed=0, smoke=False):
    "MobileNetV2 of a quarter of the channels learns MNIST 5k; its multiply-adds are a fraction of ResNet-18's."
    with nn.init_empty():
        parameters = count(models.mobilenet_v2())
    narrow = summary(models.mobilenet_v2(), (1, 3, 64, 64)).total_macs if smoke else None
    claims = [
        Claim("parameters of MobileNetV2", parameters, "==", 3_504_872),
        digits("mobilenet", seed, smoke, short=5),
    ]
    if narrow:
        wide = summary(models.resnet18(), (1, 3, 64, 64)).total_macs
        claims.append(Claim("multiply-adds by those of ResNet-18", narrow / wide, "<=", 0.2))
    return claims
