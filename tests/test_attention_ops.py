"""scaled_dot_product_attention and dropout as differentiable functions."""

import numpy as np
import pytest

import fastdl as fd
from fastdl.autograd import grad, gradcheck, gradgradcheck
from fastdl.ops.attention import scaled_dot_product_attention as sdpa
from fastdl.ops.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)

RNG = np.random.default_rng(0)
BOOL = RNG.random((2, 1, 3, 5)) < 0.6
BOOL[0, 0, 1] = False  # a row that attends to nothing
CONFIGURATIONS = {
    "plain": {},
    "causal": {"is_causal": True},
    "scale": {"scale": 0.3},
    "bool mask": {"attn_mask": fd.tensor(BOOL)},
    "added mask": {"attn_mask": fd.tensor(RNG.standard_normal((3, 5)))},
    "dropout": {"dropout_p": 0.4},
    "dropout, causal": {"dropout_p": 0.4, "is_causal": True},
}


def tensors(*shapes, dtype=np.float64, requires_grad=True):
    rng = np.random.default_rng(1)
    return [fd.tensor(rng.standard_normal(s).astype(dtype), requires_grad=requires_grad) for s in shapes]


def seeded(**options):
    """The op with the same dropout in every call."""

    def call(*args):
        fd.manual_seed(3)
        return sdpa(*args, **options)

    return call


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_derivatives(name):
    inputs = tensors((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 2))
    assert gradcheck(seeded(**CONFIGURATIONS[name]), inputs)
    assert gradgradcheck(seeded(**CONFIGURATIONS[name]), inputs)


def test_derivatives_of_the_mask():
    inputs = tensors((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 2), (2, 1, 1, 5))
    assert gradcheck(seeded(dropout_p=0.2), inputs)
    assert gradgradcheck(seeded(), inputs)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_composed_gradient_equals_the_kernel(name):
    """create_graph takes the differentiable formulas, plain backward the kernel."""
    inputs = tensors((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 2))
    y = seeded(**CONFIGURATIONS[name])(*inputs)
    (dy,) = tensors(y.shape, requires_grad=False)
    first = grad(y, inputs, dy, retain_graph=True)
    second = grad(y, inputs, dy, create_graph=True)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "shapes, mask",
    [
        (((3, 4), (5, 4), (5, 2)), (3, 5)),
        (((2, 3, 4), (2, 5, 4), (2, 5, 2)), (2, 3, 5)),
        (((2, 3, 4), (2, 5, 4), (2, 5, 2)), (5,)),
        (((3, 2, 3, 4), (1, 2, 5, 4), (3, 1, 5, 2)), (3, 1, 1, 5)),
        (((2, 3, 4), (4, 2, 5, 4), (4, 1, 5, 2)), (2, 3, 5)),
        (((2, 3, 2, 3, 4), (2, 3, 2, 5, 4), (2, 3, 2, 5, 2)), (3, 1, 3, 5)),
    ],
)
def test_axes_as_in_torch(shapes, mask):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in shapes]
    masks = rng.standard_normal(mask)
    ours = [fd.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = sdpa(*ours, attn_mask=fd.tensor(masks))
    z = torch.nn.functional.scaled_dot_product_attention(*theirs, attn_mask=torch.tensor(masks))
    assert y.shape == tuple(z.shape)
    y.backward(fd.ones_like(y))
    z.backward(torch.ones_like(z))
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-9, atol=1e-12)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_shared_heads_as_in_torch():
    torch = pytest.importorskip("torch")
    arrays = [
        np.random.default_rng(i).standard_normal(s) for i, s in enumerate(((2, 6, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4)))
    ]
    want = torch.nn.functional.scaled_dot_product_attention(*map(torch.tensor, arrays), enable_gqa=True)
    got = sdpa(*map(fd.tensor, arrays), enable_gqa=True)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-9)
    with pytest.raises(RuntimeError, match="5 query heads cannot share 2"):
        sdpa(*map(fd.tensor, (arrays[0][:, :5], arrays[1], arrays[2])), enable_gqa=True)


def test_dropout_of_weights_differs_from_call_to_call_and_repeats_with_the_seed():
    q, k, v = tensors((1, 2, 9, 4), (1, 2, 9, 4), (1, 2, 9, 4), dtype=np.float32, requires_grad=False)
    fd.manual_seed(0)
    a, b = sdpa(q, k, v, dropout_p=0.5), sdpa(q, k, v, dropout_p=0.5)
    fd.manual_seed(0)
    c = sdpa(q, k, v, dropout_p=0.5)
    assert not np.array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(a.numpy(), c.numpy())


def test_rows_that_attend_to_nothing_have_zero_gradients():
    q, k, v = tensors((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 2))
    y = sdpa(q, k, v, fd.tensor(BOOL))
    y.sum().backward(create_graph=True)
    assert not y.detach().numpy()[0, :, 1].any() and not q.grad.detach().numpy()[0, :, 1].any()
    assert all(np.isfinite(x.grad.detach().numpy()).all() for x in (q, k, v))


def test_merging_the_heads_is_a_view():
    q, k, v = tensors((2, 3, 5, 8), (2, 3, 5, 8), (2, 3, 5, 8), requires_grad=False)
    y = sdpa(q, k, v)
    assert np.shares_memory(y.transpose(1, 2).reshape(2, 5, 24).numpy(), y.numpy())


def test_attention_errors():
    q, k, v = tensors((1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 2))
    with pytest.raises(RuntimeError, match="not both"):
        sdpa(q, k, v, fd.tensor(BOOL[:1]), is_causal=True)
    with pytest.raises(RuntimeError, match=r"key needs at least 2 dimensions, not shape \(4,\)"):
        sdpa(q, k[0, 0, 0], v)
    with pytest.raises(RuntimeError, match="do not broadcast"):
        sdpa(q.expand(3, 2, 3, 4), k.expand(2, 2, 5, 4), v)
    with pytest.raises(ValueError, match="do not fit"):
        sdpa(q, k, v[:, :, :4])


# ------------------------------------------------------------------------------------------------------------ dropout


def seeded_dropout(function, *args):
    def call(x):
        fd.manual_seed(5)
        return function(x, *args)

    return call


@pytest.mark.parametrize(
    "function, shape",
    [(dropout, (3, 5)), (dropout1d, (3, 2, 4)), (dropout2d, (3, 2, 2, 2)), (dropout3d, (2, 2, 1, 2, 2))]
    + [(alpha_dropout, (3, 5)), (feature_alpha_dropout, (3, 2, 4))],
)
def test_dropout_derivatives(function, shape):
    assert gradcheck(seeded_dropout(function, 0.4, True), tensors(shape))
    assert gradgradcheck(seeded_dropout(function, 0.4, True), tensors(shape))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_gradient_of_dropout_has_its_mask(p):
    x = fd.ones(2000, requires_grad=True)
    y = dropout(x, p)
    y.backward(fd.ones_like(y))
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert abs(np.mean(x.grad.numpy() == 0) - p) < 0.06


def test_gradient_of_dropout_when_its_layout_is_another():
    """The activation is channels-last in memory, its gradient is not."""
    x = fd.tensor(np.ones((2, 3, 4, 5), np.float32).transpose(0, 3, 1, 2), requires_grad=True)
    y = dropout(x, 0.5)
    assert y.array.strides == x.array.strides
    y.backward(fd.tensor(np.ones((2, 5, 3, 4), np.float32)))
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_dropout_is_the_identity_outside_training():
    x = fd.ones(3)
    for function in (dropout, alpha_dropout):
        assert function(x, 0.5, False) is x
    assert dropout2d(fd.ones(1, 2, 3, 3), 0.5, False).numpy().all()


def test_dropout_in_place():
    x = fd.ones(100)
    array = x.array
    y = dropout(x, 0.5, True, True)
    assert y is x and x.array is array and set(np.unique(array)) == {0, 2}
    w = fd.ones(100, requires_grad=True)
    z = w * 1
    dropout(z, 0.5, inplace=True).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), z.detach().numpy())


@pytest.mark.parametrize(
    "function, shape, axes",
    [(dropout1d, (50, 9, 3), (2,)), (dropout1d, (90, 3), (1,)), (dropout2d, (50, 9, 3, 2), (2, 3))]
    + [(dropout2d, (90, 3, 2), (1, 2)), (dropout3d, (50, 9, 2, 1, 2), (2, 3, 4))],
)
def test_whole_channels_drop(function, shape, axes):
    y = function(fd.ones(*shape), 0.5).numpy()
    assert (np.ptp(y, axis=axes) == 0).all()
    assert set(np.unique(y)) == {0, 2}
    with pytest.raises(RuntimeError, match="dimensions"):
        function(fd.ones(3), 0.5)


def test_alpha_dropout_keeps_mean_and_variance():
    fd.manual_seed(0)
    x = fd.randn(200_000)
    for p in (0.1, 0.5):
        y = alpha_dropout(x, p, True).numpy()
        assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02
    assert not alpha_dropout(x, 1.0, True).numpy().any()
    z = feature_alpha_dropout(fd.ones(40, 20, 7), 0.5, True).numpy()
    assert len(np.unique(z)) == 2 and (np.ptp(z, axis=2) == 0).all()


def test_dropout_repeats_with_the_seed():
    x = fd.ones(100)
    fd.manual_seed(1)
    a, b = dropout(x).numpy(), dropout(x).numpy()
    fd.manual_seed(1)
    np.testing.assert_array_equal(dropout(x).numpy(), a)
    assert not np.array_equal(a, b)


def test_dropout_op_errors():
    for function in (dropout, dropout2d, alpha_dropout):
        with pytest.raises(ValueError, match=r"probability must lie in \[0, 1\]; got 1.5"):
            function(fd.ones(1, 2, 3, 3), 1.5)
