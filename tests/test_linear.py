"""F.linear: values, gradients of both orders, the memory of the weight's gradient, errors."""

import numpy as np
import pytest

import fastdl
from fastdl import Tensor
from fastdl.autograd import gradcheck, gradgradcheck
from fastdl.ops.matmul import linear


def random(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize("lead", [(), (4,), (2, 3), (0,)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients(lead, with_bias):
    x, w, b = random(*lead, 5), random(3, 5, seed=1), random(3, seed=2)
    args = (x, w, b) if with_bias else (x, w)
    want = x.array @ w.array.T + (b.array if with_bias else 0)
    np.testing.assert_allclose(linear(*args).array, want, rtol=1e-12, atol=1e-12)
    if np.prod(lead):
        assert gradcheck(linear, args)
        assert gradgradcheck(linear, args)


def test_gradient_lies_in_memory_as_the_weight_of_a_layer_does():
    w = Tensor(np.ones((5, 3), np.float32).T, requires_grad=True)
    linear(fastdl.ones(4, 5), w).sum().backward()
    assert w.grad.shape == (3, 5)
    assert w.grad.array.T.flags.c_contiguous


def test_large_gradients_are_not_copied_but_never_shared():
    x = fastdl.ones(300, 400)
    w, v = (Tensor(np.ones((200, 400), np.float32), requires_grad=True) for _ in range(2))
    linear(x, w + v).sum().backward()
    assert not np.shares_memory(w.grad.array, v.grad.array)
    np.testing.assert_array_equal(w.grad.array, np.full((200, 400), 300, np.float32))


def test_error_names_the_shapes_and_the_fix():
    with pytest.raises(RuntimeError, match=r"\(2, 1, 4\).*\(3, 8\)"):
        linear(fastdl.ones(2, 1, 4), fastdl.ones(3, 8))
    with pytest.raises(RuntimeError, match="flatten"):
        linear(fastdl.ones(2, 2, 4), fastdl.ones(3, 8))
    with pytest.raises(TypeError, match="float32 but b is float64"):
        linear(fastdl.ones(2, 8), fastdl.ones(3, 8).double())
