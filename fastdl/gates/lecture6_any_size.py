"""Lecture 6: one set of weights for images of three sizes, by a pyramid of bins (entry 73)."""

import numpy as np

from fastdl.autograd import Tensor, no_grad
from fastdl.data import mnist5k
from fastdl.gates import Claim, gate
from fastdl.models.sppnet import sppnet_small
from fastdl.nn import functional as F
from fastdl.optim import AdamW
from fastdl.optim.lr_scheduler import OneCycleLR

SIZES = (24, 28, 32)
NEAREST = ("nearest neighbour at 28 pixels", 0.931)


def resized(x, size):
    """Images (N, 1, 28, 28) in other pixels."""
    return (
        x if size == x.shape[2] else F.interpolate(Tensor(x), (size, size), mode="bilinear", align_corners=False).array
    )


@gate(entry=73, name="sppnet_sizes")
def sppnet_sizes(seed=0, smoke=False):
    """SPPNet as a classifier of digits of 24, 28 and 32 pixels: one set of weights, a batch of one size after the other."""
    (x, y), (x_test, y_test) = ([t.array for t in part.tensors] for part in mnist5k())
    x, y = (x[::4], y[::4]) if smoke else (x, y)
    x_test, y_test = (x_test[::4], y_test[::4]) if smoke else (x_test, y_test)
    net, rng, batch = sppnet_small(num_classes=10, heads=0, scale=1.0), np.random.default_rng(seed), 50
    epochs = 3 if smoke else 5
    steps = epochs * len(x) // batch
    optimizer = AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.2)
    for step in range(steps):
        if step * batch % len(x) == 0:
            order = rng.permutation(len(x))
        pick = order[step * batch % len(x) :][:batch]
        optimizer.zero_grad()
        F.cross_entropy(net(Tensor(resized(x[pick], SIZES[step % 3]))), Tensor(y[pick])).backward()
        optimizer.step()
        schedule.step()
    net.eval()
    claims = []
    with no_grad():
        for size in SIZES:
            images = resized(x_test, size)
            found = [net(Tensor(images[k : k + 250])).array.argmax(1) for k in range(0, len(images), 250)]
            right = float((np.concatenate(found) == y_test).mean())
            claims.append(Claim(f"test accuracy at {size} x {size}", right, ">=", 0.4 if smoke else 0.96, NEAREST))
    return claims
