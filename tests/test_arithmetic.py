"""kernels/arithmetic.py against numbers worked by hand, its errors, and the ops that use it on large arrays."""

import numpy as np
import pytest

import fastdl as fd
from fastdl import kernels
from fastdl.kernels.arithmetic import arithmetic_forward, arithmetic_into
from fastdl.ops.elementwise import LARGE, add_arrays, on_arrays

X = np.array([[1, -2, 3], [0.5, 4, -1]], np.float32)


@pytest.mark.parametrize("rung", kernels._registry.RUNGS)
def test_by_hand(rung):
    with kernels.use(rung, "arithmetic"):
        assert arithmetic_forward(X, X[::-1], "add").tolist() == [[1.5, 2, 2], [1.5, 2, 2]]
        assert arithmetic_forward(X, np.float32([1, 10, 100]), "sub").tolist() == [[0, -12, -97], [-0.5, -6, -101]]
        assert arithmetic_forward(X, np.array(2, np.float32), "mul").tolist() == [[2, -4, 6], [1, 8, -2]]
        into = X.copy()
        assert arithmetic_into(into, X, "add") is into and into.tolist() == (2 * X).tolist()


def test_errors():
    with pytest.raises(ValueError, match=r"\(2,\) must have the shape of x \(2, 3\)"):
        arithmetic_forward(X, X[:, 0], "add")
    with pytest.raises(ValueError, match="unknown op 'div'"):
        arithmetic_forward(X, X, "div")
    with pytest.raises(TypeError, match="x is float32 but y is float64"):
        arithmetic_forward(X, X.astype(np.float64), "add")
    with pytest.raises(ValueError, match="C-contiguous"):
        arithmetic_into(X.T, X.T, "add")


def _large(rng, *shape):
    x = rng.standard_normal(shape, dtype=np.float32)
    assert x.size >= LARGE
    return x


def test_large_operands_in_every_layout_are_numpys_bits():
    rng = np.random.default_rng(0)
    image = _large(rng, 4, 33, 19, 17)
    channels_last = np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    rows = _large(rng, 300, 70)
    pairs = [
        (image, image[::-1]), (channels_last, 2 * channels_last), (image, channels_last), (rows, rows[0]), (rows[0], rows),
        (rows, rows[:, :1]), (rows.T, rows.T), (rows[:, ::2], rows[:, 1::2]), (rows, np.array(0.3, np.float32)),
        (np.array(0.3, np.float32), rows), (rows, rows[0, :5].repeat(14)),
        (_large(rng, 2, 7, 1500), rng.random((7, 1), np.float32)),
    ]  # fmt: skip
    for a, b in pairs:
        for op, ufunc in (("add", np.add), ("sub", np.subtract), ("mul", np.multiply)):
            np.testing.assert_array_equal(on_arrays(op, a, b), ufunc(a, b))


def test_gradients_are_added_up_in_every_layout():
    rng = np.random.default_rng(1)
    a, b = _large(rng, 200, 100), _large(rng, 200, 100)
    image, other = (_large(rng, 4, 33, 19, 17).transpose(0, 3, 1, 2) for _ in range(2))
    for x, y in ((a, b), (image, other), (a.T, b.T), (a[:, ::2], b[:, 1::2]), (a, b[:, ::-1])):
        want, into = x + y, x.copy(order="K")
        np.testing.assert_array_equal(add_arrays(x, y), want)
        assert add_arrays(into, y, out=into) is into
        np.testing.assert_array_equal(into, want)
    t = fd.tensor(a, requires_grad=True)
    (t * 2 + t * 3 + t * fd.tensor(b)).sum().backward()
    np.testing.assert_allclose(t.grad.array, 5 + b, rtol=1e-6)


def test_overflow_is_an_infinity_without_a_warning():
    huge = np.full(LARGE, 3e38, np.float32)
    with np.errstate(all="raise"):
        assert np.isinf(on_arrays("add", huge, huge)).all()
