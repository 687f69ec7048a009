"""Values, types, shapes and messages of the ops; the values against torch where it is installed."""

import numpy as np
import pytest
from op_cases import CASES, flat

import fastdl as fd
from fastdl.ops._shapes import add_up


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="the comparison with torch needs torch")


def compare(mine, theirs, rtol, atol):
    theirs = theirs.detach()
    assert mine.shape == tuple(theirs.shape)
    assert str(mine.dtype) == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(mine.array, theirs.resolve_neg().numpy(), rtol, atol)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_equal_torch(case, dtype, torch):
    rtol, atol = (case.torch_rtol, 1e-10) if dtype == "float64" else (2e-4, 2e-5)
    arrays = case.arrays(dtype=np.dtype(dtype))
    xs = [fd.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    ts = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    mine, theirs = flat(case.call(fd, *xs)), flat(case.call(torch, *ts))
    assert len(mine) == len(theirs)
    for y, t in zip(mine, theirs):
        compare(y, t, rtol, atol)
    if case.order == 0:
        return
    rng = np.random.default_rng(7)
    weights = [rng.standard_normal(y.shape).astype(dtype) for y in mine]
    loss = sum((y * fd.tensor(w)).sum() for y, w in zip(mine, weights) if y.requires_grad)
    loss_t = sum((t * torch.tensor(w)).sum() for t, w in zip(theirs, weights) if t.requires_grad)
    loss.backward()
    loss_t.backward()
    for x, t in zip(xs, ts):
        if t.grad is not None:
            compare(x.grad, t.grad, rtol * 10, atol * 10)


def test_sums_of_small_matrices_equal_numpys():
    """They are products with ones (add_up): every layout, either axis, nothing to sum, infinities."""
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64, np.float16):
        a = rng.standard_normal((6, 10)).astype(dtype)
        for x in (a, a.T, a[::-1, ::3], a[:0], a[:, :0], np.broadcast_to(a[:1], (6, 10))):
            for axis in (0, 1):
                got = add_up(x, (axis,), False)
                assert got.dtype == dtype
                np.testing.assert_allclose(got, x.sum(axis), rtol=1e-5, atol=0 if dtype == np.float16 else 1e-6)
    x = np.array([[np.inf, 1.0], [-np.inf, np.nan]], np.float32)
    np.testing.assert_array_equal(add_up(x, (0,), False), [np.nan, np.nan])
    np.testing.assert_array_equal(add_up(x[:1], (0,), False), [np.inf, 1.0])


def test_split_joins_the_gradients_of_its_parts_and_knows_that_they_are_views():
    x = fd.tensor(np.arange(12.0).reshape(2, 6), requires_grad=True)
    a, b, _ = x.split([1, 2, 3], 1)
    (a.sum() + 3 * b.sum()).backward()  # the last part got no gradient
    np.testing.assert_array_equal(x.grad.numpy(), [[1, 3, 3, 0, 0, 0]] * 2)
    y = fd.tensor(np.ones((2, 6)), requires_grad=True)
    z = y * 2
    first, second = z.chunk(2, 1)
    first.mul_(5)  # seen by z and, unlike in torch, not forbidden
    (z.sum() + second.sum()).backward()
    np.testing.assert_array_equal(y.grad.numpy(), [[10, 10, 10, 4, 4, 4]] * 2)


def test_split_refuses_negative_sizes_and_takes_none():
    x = fd.tensor(np.ones((2, 6)))
    with pytest.raises(RuntimeError, match="must not be negative"):
        x.split([7, -1], 1)
    assert x.narrow(1, 0, 0).split([], 1) == ()
    assert [part.shape for part in x.split([0, 6, 0], 1)] == [(2, 0), (2, 6), (2, 0)]
