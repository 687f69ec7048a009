"""Hard inputs: denormal numbers, and a convolution whose im2col matrix would take 15 GB.

    python -m bench.extremes

denormals  seconds with every input denormal over seconds with normal ones; kernels flush them, so about 1
memory     peak resident memory of conv2d 16x64x224x224 -> 3, 9x9, forward and both gradients, in a process of its own
"""

import resource
import subprocess
import sys
import time

import numpy as np

import fastdl as fd
from fastdl.nn import functional as F

from .roofline import need_compiled

DENORMAL = 1e-40  # float32's smallest normal number is 1.2e-38


def calls(value):
    """{name: call}, all inputs around `value`."""
    rng = np.random.default_rng(0)

    def tensor(*shape):
        return fd.tensor((rng.uniform(0.5, 1.5, shape) * value).astype(np.float32), requires_grad=True)

    def both(function, *leaves):
        y = function()
        return fd.autograd.grad(y, leaves, fd.ones(*y.shape) * value)

    a, b = tensor(512, 512), tensor(512, 512)
    x, w = tensor(8, 64, 28, 28), tensor(64, 64, 3, 3)
    u, v = tensor(8, 64, 14, 14), tensor(64, 32, 4, 4)
    q, k, s = (tensor(2, 4, 128, 64) for _ in range(3))
    t, lstm = tensor(16, 20, 128), fd.nn.LSTM(128, 128, batch_first=True)
    return {
        "matmul": lambda: both(lambda: a @ b, a, b),
        "conv2d": lambda: both(lambda: F.conv2d(x, w, padding=1), x, w),
        "conv2d, stride 2": lambda: both(lambda: F.conv2d(x, w, stride=2, padding=1), x, w),
        "deconv2d": lambda: both(lambda: F.conv_transpose2d(u, v, stride=2, padding=1), u, v),
        "attention": lambda: both(lambda: F.scaled_dot_product_attention(q, k, s), q, k, s),
        "LSTM": lambda: both(lambda: lstm(t)[0], t),
        "max pool": lambda: both(lambda: F.max_pool2d(x, 2), x),
        "layer norm": lambda: both(lambda: F.layer_norm(a, (512,)), a),
        "softmax": lambda: both(lambda: F.softmax(a, -1), a),
        "gelu": lambda: both(lambda: F.gelu(a), a),
    }


def seconds(call, rounds=15):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def denormals():
    normal, tiny = calls(1.0), calls(DENORMAL)
    return {name: seconds(tiny[name]) / seconds(call) for name, call in normal.items()}


def large_convolution():
    x = fd.randn(16, 64, 224, 224, requires_grad=True)
    w = fd.randn(3, 64, 9, 9, requires_grad=True)
    F.conv2d(x, w, padding=4).sum().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    if sys.argv[1:] == ["memory"]:
        print(large_convolution())
        return 0
    need_compiled()
    worst = 0.0
    for name, ratio in denormals().items():
        worst = max(worst, ratio)
        print(f"denormals  {name:<18}{ratio:6.2f}")
    run = subprocess.run([sys.executable, "-m", __spec__.name, "memory"], capture_output=True, text=True, check=True)
    peak = int(run.stdout) / 2**30
    print(f"memory     conv2d 9x9{'':<9}{peak:6.2f} GB")
    return 0 if worst <= 1.3 and peak < 1.5 else 1


if __name__ == "__main__":
    sys.exit(main())
