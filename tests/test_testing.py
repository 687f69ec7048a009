"""Hashed weights, and networks without initial values."""

import os
from pathlib import Path

import numpy as np
import pytest

from fastdl import nn
from fastdl.testing import fill_hashed, hashed, hashed_weights, keys_hash


def test_hash_is_the_documented_one():
    import zlib

    def h(key, i):
        x = zlib.crc32(key.encode()) ^ (i * 0x9E3779B1 & 0xFFFFFFFF)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            x ^= x >> shift
            x = x * factor & 0xFFFFFFFF
        x ^= x >> 16
        return x / 2**31 - 1

    got = hashed("layer.weight", (2, 3))
    assert got.dtype == np.float32 and got.shape == (2, 3)
    np.testing.assert_allclose(got.reshape(-1), [h("layer.weight", i) for i in range(6)], rtol=0, atol=1e-7)
    many = hashed("x", (100_000,))
    assert abs(many.mean()) < 0.01 and abs(many.std() - 3**-0.5) < 0.01 and many.min() >= -1 and many.max() < 1


def test_weights_by_kind():
    shapes = {"a.weight": (4, 6), "b.weight": (4,), "b.bias": (4,), "b.running_var": (4,), "b.num_batches_tracked": ()}
    got = hashed_weights(shapes)
    assert {k: v.shape for k, v in got.items()} == shapes
    assert np.abs(got["a.weight"]).max() <= 1 and (got["b.weight"] >= 0.9).all() and (got["b.running_var"] >= 0.5).all()
    net = fill_hashed(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)))
    np.testing.assert_array_equal(net[1].bias.detach().numpy(), hashed("1.bias", (3,)) / 10)
    assert keys_hash(net.state_dict()) != keys_hash(nn.Linear(2, 2).state_dict())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory in use is read from /proc")
def test_init_empty_only_reserves_the_memory_of_stacks():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    before = resident()
    with nn.init_empty():
        net = nn.Transformer(1024, 8, 4, 4, 4096)
    assert sum(p.array.nbytes for p in net.parameters()) > 450e6
    assert resident() - before < 30e6
    first, last = net.encoder.layers[0], net.encoder.layers[-1]
    assert not np.shares_memory(first.linear1.weight.array, last.linear1.weight.array)
    assert first.linear1.weight.requires_grad and isinstance(first.linear1.weight, nn.Parameter)


def test_init_empty_draws_nothing(monkeypatch):
    from fastdl.nn import init

    monkeypatch.setattr(init, "numpy_generator", lambda *a: 1 / 0)
    with nn.init_empty():
        net = nn.Linear(100_000, 20_000)  # 8 GB, reserved only
        init.orthogonal_(nn.Linear(300, 300).weight)
        init.trunc_normal_(net.bias)
    assert net.weight.numel() == 2_000_000_000
