"""What is measured, as data: each workload is a function of a side (sides.py) with its sizes and the ratio it should reach.

A builder returns the timed calls: "fwd" (no tape) and "both" (forward and the gradients of all inputs, or a training step).
`flops` and `bytes` are those of the forward pass, by definition of the operation (a Winograd convolution does fewer); `factor`
is how many times both passes together cost that.
"""

import numpy as np

from . import detection, generative, sequences, zoo
from .workload import Workload


def matmul(s, M, K, N):
    a, b = s.input(M, K), s.input(K, N)
    return {"fwd": s.operation(lambda: a @ b, [a, b])["fwd"]}


def conv(s, N, C, H, W, O, kernel, stride, padding, groups=1):
    x, w, b = s.input(N, C, H, W), s.weight(O, C // groups, kernel, kernel, scale=0.05), s.input(O)
    return s.operation(lambda: s.F.conv2d(x, w, b, stride, padding, 1, groups), [x, w, b])


def deconv(s, N, C, H, W, O, kernel, stride, padding):
    x, w, b = s.input(N, C, H, W), s.weight(C, O, kernel, kernel, scale=0.05), s.input(O)
    return s.operation(lambda: s.F.conv_transpose2d(x, w, b, stride, padding), [x, w, b])


def attention(s, B, NH, T, D, causal):
    q, k, v = (s.input(B, NH, T, D, image=False) for _ in range(3))
    return s.operation(lambda: s.F.scaled_dot_product_attention(q, k, v, is_causal=causal), [q, k, v], image=False)


def recurrent(s, layer, B, T, I, H, gates):
    net = s.module(getattr(s.nn, layer)(I, H, batch_first=True))
    bound = 1 / H**0.5
    shapes = [(gates * H, I), (gates * H, H), (gates * H,), (gates * H,)]
    s.load(net, [s.array(*shape, scale=bound) for shape in shapes])
    x = s.input(B, T, I)
    return s.operation(lambda: net(x)[0], [x, *net.parameters()])


def roi(s, kind, N, C, H, W, boxes, size):
    """Boxes of 32 to 360 pixels of an image that the map shows at 1/16."""
    x = s.input(N, C, H, W)
    sides = s.rng.uniform(32, 360, (boxes, 2))
    corner = s.rng.uniform(0, 1, (boxes, 2)) * (np.array([W, H]) * 16 - sides)
    numbered = np.concatenate([np.zeros((boxes, 1)), corner, corner + sides], 1)  # (boxes, 5)
    numbered = s.tensor(numbered.astype(s.dtype))
    call = getattr(s.roi, f"roi_{kind}")
    return s.operation(lambda: call(x, numbered, (size, size), 1 / 16), [x])


def batch_norm_relu(s, N, C, H, W):
    x = s.input(N, C, H, W)
    net = s.module(s.nn.Sequential(s.nn.BatchNorm2d(C), s.nn.ReLU()))
    net.train()
    return s.operation(lambda: net(x), [x, *net.parameters()])


def layer_norm(s, rows, D):
    x, w, b = s.input(rows, D), s.input(D), s.input(D)
    return s.operation(lambda: s.F.layer_norm(x, (D,), w, b), [x, w, b])


def cross_entropy(s, rows, classes):
    x, labels = s.input(rows, classes), s.integers(classes, rows)
    return s.operation(lambda: s.F.cross_entropy(x, labels), [x])


def adam(s, tensors, size):
    parameters = [s.nn.Parameter(s.tensor(s.array(size))) for _ in range(tensors)]
    for p in parameters:
        p.grad = s.tensor(s.array(size))
    optimizer = s.optim.Adam(parameters, lr=1e-3, **s.fast("Adam"))

    def step():
        optimizer.step()
        return [parameters[0]]

    return {"fwd": step}


# --- models: written with the names both libraries share --------------------------------------------------------------
def initial(s, net):
    """The same random parameters on both sides: PyTorch draws other numbers than fastdl does."""
    net = s.module(net)
    s.load(net, [s.array(*p.shape, scale=1 / max(1.0, np.prod(p.shape[1:])) ** 0.5) for p in net.parameters()])
    return net


def mlp(s, batch, train):
    nn = s.nn
    net = initial(s, nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)))
    x, labels = s.tensor(s.array(batch, 784)), s.integers(10, batch)
    if not train:
        net.eval()
        return {"fwd": lambda: [s.run_without_tape(lambda: net(x))]}
    optimizer = s.optim.Adam(net.parameters(), lr=1e-3, **s.fast("Adam"))
    return s.training(net, optimizer, lambda net: s.F.cross_entropy(net(x), labels))


def lenet(s, batch):
    nn = s.nn
    features = [
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
    classifier = [nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    net = initial(s, nn.Sequential(*features, *classifier))
    x, labels = s.tensor(s.array(batch, 1, 28, 28)), s.integers(10, batch)
    optimizer = s.optim.Adam(net.parameters(), lr=1e-3, **s.fast("Adam"))
    return s.training(net, optimizer, lambda net: s.F.cross_entropy(net(x), labels))


def gpt(s, batch, T, layers, d, heads, vocabulary):
    nn, F = s.nn, s.F

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.qkv, self.out = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.norm2, self.up, self.down = nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x):
            B = x.shape[0]
            qkv = self.qkv(self.norm1(x)).reshape(B, T, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)  # (B, heads, T, d / heads)
            x = x + self.out(y.transpose(1, 2).reshape(B, T, d))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocabulary, d), nn.Embedding(T, d)
            self.blocks = nn.Sequential(*[Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, vocabulary)

        def forward(self, tokens, places):
            return self.head(self.norm(self.blocks(self.tokens(tokens) + self.positions(places))))

    net = initial(s, GPT())
    tokens, labels = s.integers(vocabulary, batch, T), s.integers(vocabulary, batch * T)
    places = s.tensor(np.arange(T))
    optimizer = s.optim.AdamW(net.parameters(), lr=1e-3, **s.fast("AdamW"))
    return s.training(
        net, optimizer, lambda net: F.cross_entropy(net(tokens, places).reshape(batch * T, vocabulary), labels)
    )


# --- the list ---------------------------------------------------------------------------------------------------------
def _matmul(M, K, N, bar):
    return Workload(
        f"matmul {M}x{K}x{N}", "kernels", matmul, (M, K, N), 2 * M * N * K, 4 * (M * K + K * N + M * N), 1, bar
    )


def _conv(N, C, H, O, kernel, stride, padding, fwd, both, groups=1):
    OH = (H + 2 * padding - kernel) // stride + 1
    flops = 2 * N * OH * OH * O * (C // groups) * kernel**2
    moved = 4 * (N * C * H * H + O * C // groups * kernel**2 + N * O * OH * OH)
    what = "depthwise " if groups == C > 1 else "conv "
    name = f"{what}{N}x{C}x{H}x{H}->{O} {kernel}x{kernel}" + (f"/{stride}" if stride > 1 else "")
    sizes = (N, C, H, H, O, kernel, stride, padding, groups)
    return Workload(name, "kernels", conv, sizes, flops, moved, 3, fwd, both)


def _deconv(N, C, H, O, kernel, stride, padding, fwd, both):
    OH = (H - 1) * stride - 2 * padding + kernel
    flops = 2 * N * H * H * C * O * kernel**2
    moved = 4 * (N * C * H * H + O * C * kernel**2 + N * O * OH * OH)
    name = f"deconv {N}x{C}x{H}x{H}->{O} {kernel}x{kernel}/{stride}"
    return Workload(name, "kernels", deconv, (N, C, H, H, O, kernel, stride, padding), flops, moved, 3, fwd, both)


def _attention(B, NH, T, D, causal, fwd, both):
    flops = 4 * B * NH * T * T * D * (0.5 + 0.5 / T if causal else 1)
    name = f"attention {B}x{NH}x{T}x{D}" + (" causal" if causal else "")
    sizes = (B, NH, T, D, causal)
    return Workload(name, "kernels", attention, sizes, flops, 16 * B * NH * T * D, 3.5, fwd, both)


def _recurrent(layer, B, T, I, H, fwd, both):
    gates = {"LSTM": 4, "GRU": 3}[layer]
    flops = 2 * B * T * gates * H * (I + H)
    moved = 4 * (B * T * (I + H) + gates * H * (I + H))
    return Workload(
        f"{layer} {B}x{T}x{I}x{H}", "kernels", recurrent, (layer, B, T, I, H, gates), flops, moved, 3, fwd, both
    )


def _roi(kind, N, C, H, W, boxes, size, fwd, both):
    # mean box: 196 pixels = 12.25 cells, 1.75 a bin; pooling compares each cell once, alignment samples 2 x 2 of 4 cells
    cells = boxes * C * size * size * (1.75**2 if kind == "pool" else 4 * 2 * 4)
    moved = 4 * (N * C * H * W + boxes * C * size * size)
    name = f"RoI {kind} {N}x{C}x{H}x{W}, {boxes} boxes, {size}x{size}"
    sizes = (kind, N, C, H, W, boxes, size)
    return Workload(name, "kernels", roi, sizes, cells, moved, 2, fwd, both, needs="torchvision")


WORKLOADS = [
    _matmul(256, 256, 256, 1.08),
    _matmul(1024, 1024, 1024, 1.08),
    _matmul(2048, 2048, 2048, 1.08),
    _matmul(64, 784, 1024, 1.05),
    _matmul(25088, 147, 64, 1.2),
    _conv(8, 64, 56, 64, 3, 1, 1, 2.7, 2.5),
    _conv(4, 256, 56, 256, 3, 1, 1, 2.7, 2.5),
    _conv(8, 256, 14, 256, 3, 1, 1, 2.2, 2.0),
    _conv(8, 512, 7, 512, 3, 1, 1, 2.2, 2.0),
    _conv(8, 128, 28, 32, 3, 1, 1, 2.2, 2.0),
    _conv(4, 64, 224, 64, 3, 1, 1, 3.2, 2.8),
    _conv(8, 3, 224, 64, 11, 4, 2, 0.97, 1.6),
    _conv(8, 3, 224, 64, 7, 2, 3, 0.97, 1.6),
    _conv(8, 128, 56, 128, 3, 2, 1, 0.97, 1.1),
    _conv(8, 256, 56, 64, 1, 1, 0, 1.15, 1.25),
    _conv(8, 1024, 14, 2048, 1, 2, 0, 1.15, 1.25),
    _conv(64, 1, 28, 6, 5, 1, 0, 2.0, 5.0),
    _conv(8, 128, 56, 128, 3, 1, 1, 1.4, 1.8, groups=128),
    _deconv(16, 512, 4, 256, 4, 2, 1, 1.2, 1.2),
    _deconv(16, 128, 16, 64, 4, 2, 1, 1.0, 1.0),
    _deconv(16, 64, 32, 3, 4, 2, 1, 2.0, 1.5),
    _deconv(1, 21, 28, 21, 16, 8, 4, 1.4, 1.5),
    _attention(4, 12, 128, 64, False, 1.4, 1.4),
    _attention(8, 12, 197, 64, False, 1.4, 1.4),
    _attention(1, 8, 2048, 64, True, 1.4, 1.4),
    _attention(2, 12, 512, 64, True, 2.1, 2.0),
    _attention(32, 4, 16, 16, True, 2.1, 2.0),
    _recurrent("LSTM", 20, 35, 650, 650, 1.2, 1.05),
    _recurrent("LSTM", 32, 28, 28, 128, 1.1, 1.3),
    _recurrent("LSTM", 1, 100, 256, 256, 1.6, 1.6),
    _recurrent("GRU", 20, 35, 650, 650, 1.5, 1.5),
    _recurrent("GRU", 32, 28, 28, 128, 1.5, 1.5),
    _recurrent("GRU", 1, 100, 256, 256, 1.5, 1.5),
    _roi("pool", 1, 512, 38, 50, 300, 7, 10.0, 10.0),
    _roi("align", 1, 512, 38, 50, 300, 7, 10.0, 10.0),
    Workload(
        "BatchNorm+ReLU 32x64x56x56", "kernels", batch_norm_relu, (32, 64, 56, 56), 8 * 32 * 64 * 56**2,
        12 * 32 * 64 * 56**2, 2.7, 1.3, 1.3,
    ),
    Workload("LayerNorm 1024x768", "kernels", layer_norm, (1024, 768), 8 * 1024 * 768, 8 * 1024 * 768, 2.5, 1.3, 1.3),
    Workload("cross-entropy 700x10000", "kernels", cross_entropy, (700, 10000), 4 * 7e6, 4 * 7e6, 3, 1.3, 1.3),
    Workload("Adam step, 25 M parameters", "kernels", adam, (16, 25_000_000 // 16), 12 * 25e6, 28 * 25e6, 1, 0.98),
    Workload("MLP 784-128-10, batch 1, inference", "models", mlp, (1, False), 203264, 407080, 1, 3.0),
    Workload("MLP 784-128-10, batch 1, Adam step", "models", mlp, (1, True), 203264, 28 * 101770, 3, None, 3.0),
    Workload("LeNet, batch 64, Adam step", "models", lenet, (64,), 64 * 833_040, 64 * 4 * 14_000, 3, None, 3.0),
    Workload(
        "GPT 4 layers d=128, batch 16x64, AdamW step", "models", gpt, (16, 64, 4, 128, 4, 65),
        16 * 64 * 2 * (4 * 12 * 128**2 + 65 * 128) + 4 * 4 * 16 * 64 * 64 * 128 / 2, 28 * 800_000, 3, None, 1.5,
    ),
    *zoo.WORKLOADS,
    *sequences.WORKLOADS,
    *generative.WORKLOADS,
    *detection.WORKLOADS,
]  # fmt: skip
