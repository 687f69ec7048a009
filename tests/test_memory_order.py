"""Copies into another memory order: the blocked C copy against NumPy's, for every type and for what it must leave to NumPy."""

import numpy as np
import pytest

import fastdl
from fastdl import threads
from fastdl.kernels import _memory


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "c8", "i2", ">f4", "?"])
@pytest.mark.parametrize(
    "shape", [(2, 3, 5, 7), (1, 17, 4, 9), (3, 33, 16, 16), (2, 1, 5, 5), (4, 5, 1, 1), (0, 3, 2, 2), (1, 70, 1, 300)]
)
def test_channels_last(shape, dtype):
    x = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    got = _memory.channels_last(x)
    assert np.array_equal(got, x) and got.dtype == x.dtype.newbyteorder("=")
    assert got.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    "turn", [(1, 0), (0, 2, 1), (2, 0, 1), (1, 2, 0), (0, 3, 1, 2), (3, 2, 1, 0), (1, 0, 2)], ids=str
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_any_order(turn, dtype):
    shape = (19, 34, 5, 6)[: len(turn)]
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype).transpose(turn)
    for view in (x, x[::2], x[:, ::-1], x[..., 1:], x[1:, :3], np.broadcast_to(x[:1], x.shape)):
        got = _memory.contiguous(view)
        assert np.array_equal(got, view) and got.flags.c_contiguous


def test_unaligned_and_special_numbers():
    raw = np.zeros(4 * 3 * 40 + 1, np.uint8)[1:].view("f4").reshape(3, 40).T
    raw[:] = np.nan
    raw[2, 1], raw[3, 2] = 1e-40, -0.0  # a denormal passes unchanged
    got = _memory.contiguous(raw)
    assert np.array_equal(got.view("i4"), np.array(raw).view("i4"))


@pytest.mark.skipif(_memory.copy_transposed is None, reason="no compiled kernels in this install")
def test_what_the_blocked_copy_takes():
    x = np.zeros((2, 3, 4, 5), "f4")
    assert _memory.copy_transposed(x.transpose(0, 2, 3, 1), np.empty((2, 4, 5, 3), "f4"))
    assert not _memory.copy_transposed(x, np.empty_like(x))  # runs along the last axis already
    assert not _memory.copy_transposed(x.transpose(3, 1, 2, 0), np.empty((5, 3, 4, 2), "f4"))  # four axes
    assert not _memory.copy_transposed(x.astype("i2").transpose(0, 2, 3, 1), np.empty((2, 4, 5, 3), "i2"))


def test_large_and_threads():
    x = np.random.default_rng(0).standard_normal((2, 130, 65, 33), dtype=np.float32)
    before = threads.get_num_threads()
    try:
        for n in (1, 2):
            threads.set_num_threads(n)
            assert np.array_equal(_memory.channels_last(x), x)
    finally:
        threads.set_num_threads(before)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_padding_keeps_the_order_and_is_numpys(mode):
    """Images stay channels-last, so that the convolution behind a padding need not copy them; so do their gradients."""
    from fastdl import Tensor
    from fastdl.nn import functional as F

    a = np.random.default_rng(0).standard_normal((2, 7, 6, 5)).transpose(0, 3, 1, 2)  # memory (N, H, W, C)
    x = Tensor(a, requires_grad=True)
    y = F.pad(x, (1, 2, 3, 0), mode=mode)
    names = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    want = np.pad(a, ((0, 0), (0, 0), (3, 0), (1, 2)), names[mode])
    np.testing.assert_array_equal(y.array, want)
    assert y.array.transpose(0, 2, 3, 1).flags.c_contiguous
    dy = np.random.default_rng(1).standard_normal((2, 10, 9, 5)).transpose(0, 3, 1, 2)
    y.backward(Tensor(dy))
    assert (x.grad.array * a).sum() == pytest.approx((dy * want).sum())  # the adjoint
    assert x.grad.array.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("seed", range(8))
def test_joined_arrays_are_numpys(seed, monkeypatch):
    """Any order of the axes, slices, broadcasts, reversals and empty pieces: threads' copies or NumPy's, the same numbers."""

    monkeypatch.setattr(_memory, "SMALL", 0)
    rng = np.random.default_rng(seed)
    for _ in range(100):
        ndim = int(rng.integers(1, 5))
        axis, order, sizes = (
            int(rng.integers(ndim)),
            rng.permutation(ndim),
            rng.integers(0 if seed == 0 else 1, 5, ndim),
        )
        pieces = []
        for _ in range(rng.integers(1, 6)):
            shape = [int(s) for s in sizes]
            shape[axis] = int(rng.integers(0 if seed == 1 else 1, 5))
            own = order if rng.random() < 0.8 else rng.permutation(ndim)
            larger = [s + int(rng.random() < 0.2) for s in shape]
            a = rng.standard_normal([larger[i] for i in own], dtype=np.float32).transpose(np.argsort(own))
            a = a[tuple(slice(0, s) for s in shape)]
            if rng.random() < 0.1 and a.size:
                a = np.broadcast_to(a[(slice(0, 1),) * ndim], shape)
            pieces.append(a[::-1] if rng.random() < 0.1 else a)
        np.testing.assert_array_equal(_memory.concatenate(pieces, axis), np.concatenate(pieces, axis))


def test_gradients_of_transposed_and_shared_weights_are_not_copied():
    """A gradient that nobody else holds is handed on with its memory: through .T, and summed up where a weight is used twice."""
    from fastdl._native import PoolBlock
    from fastdl.nn import functional as F

    def owner(array):
        while isinstance(array, np.ndarray):
            array = array.base
        return type(array)

    x = fastdl.tensor(np.ones((64, 200), np.float32))
    turned = fastdl.tensor(np.ones((200, 300), np.float32), requires_grad=True)
    F.linear(x, turned.T).sum().backward()
    assert owner(turned.grad.array) is PoolBlock and turned.grad.array.flags.c_contiguous
    table = fastdl.tensor(
        np.ones((300, 200), np.float32), requires_grad=True
    )  # as an embedding that is the last layer too
    (F.linear(x, table) + F.embedding(fastdl.tensor(np.arange(64) % 7), table).sum()).sum().backward()
    assert owner(table.grad.array) is PoolBlock and table.grad.array.flags.c_contiguous
    np.testing.assert_array_equal(table.grad.array[7:], np.full((293, 200), 64, np.float32))
    assert table.grad.array[0, 0] == 64 + 10 * 64 * 300
