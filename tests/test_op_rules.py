"""Rules that hold for many ops: types, broadcasting, indexing, layouts, empty tensors, and what errors say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from op_cases import CASES, flat

import fastdl as fd
from fastdl.autograd import grad

TYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]


# ------------------------------------------------------------------------------------------------------------ types


def expected_type(torch, first, second):
    return str(torch.result_type(first, second)).removeprefix("torch.")


@pytest.mark.parametrize("first", TYPES)
@pytest.mark.parametrize("second", TYPES)
def test_promotion_equals_torch(first, second):
    torch = pytest.importorskip("torch")
    for shape_a, shape_b in (((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())):
        a, b = np.ones(shape_a, first), np.ones(shape_b, second)
        x, y = fd.tensor(a), fd.tensor(b)
        tx, ty = torch.tensor(a), torch.tensor(b)
        assert str((x * y).dtype) == expected_type(torch, tx, ty), (shape_a, shape_b)
        assert str((x / y).dtype) == str((tx / ty).dtype).removeprefix("torch.")
        assert str(fd.where(x > 0, x, y).dtype) == expected_type(torch, tx, ty)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("number", [True, 2, 2.5])
def test_python_numbers_are_weak(name, number):
    torch = pytest.importorskip("torch")
    for shape in ((3,), ()):
        a = np.ones(shape, name)
        x, t = fd.tensor(a), torch.tensor(a)
        for call in (lambda x: x + number, lambda x: number * x, lambda x: x / number, lambda x: x**number):
            if name == "bool" and number is True and call(1) == 1:
                continue  # torch has no bool power
            assert str(call(x).dtype) == str(call(t).dtype).removeprefix("torch."), (shape, number)


def test_nothing_becomes_float64_by_itself():
    x = fd.ones(2, 3)
    i = fd.arange(3)
    for y in (x + i, x * 2.5, x / 3, i / 2, i * 0.5, i.exp(), x.mean(), x.var(), x.std(1), x.norm(), x.sum() / 6,
              x ** np.float64(2), x * np.float64(3), fd.sqrt(i),
              x.logsumexp(0), x.erf(), x.clamp(0.1, 0.9), fd.where(x > 0, x, 0.0), x.cumsum(0), x.prod(), x.mean(0) + i,
              x + fd.tensor(1.0, dtype=fd.float64), fd.rand(2), fd.linspace(0, 1, 3), x.sigmoid()):  # fmt: skip
        assert y.dtype == fd.float32


def test_bool_arithmetic():
    a, b = fd.tensor([True, True, False]), fd.tensor([True, False, False])
    assert (a + b).tolist() == [True, True, False] and (a * b).tolist() == [True, False, False]
    assert (a & b).tolist() == [True, False, False] and (~a).tolist() == [False, False, True]
    assert a.sum().item() == 2 and a.sum().dtype == fd.int64 and a.cumsum(0).dtype == fd.int64
    assert (a.sum() + 1).dtype == fd.int64 and (a + 1).dtype == fd.int64
    with pytest.raises(RuntimeError, match="logical_xor"):
        a - b


def test_integer_sums_do_not_overflow():
    assert fd.full((100,), 200, dtype=fd.uint8).sum().item() == 20000
    assert fd.full((4,), 100, dtype=fd.int8).prod().item() == 10**8


@pytest.mark.parametrize("index_type", ["uint8", "int8", "int16", "int32", "int64"])
def test_indices_of_any_integer_type(index_type):
    x = fd.arange(12.0).reshape(3, 4)
    i = fd.tensor(np.array([[0, 2], [1, 1], [3, 0]], index_type))
    np.testing.assert_array_equal(x.gather(1, i).array, np.take_along_axis(x.array, i.array.astype(int), 1))
    assert x[i[:, 1]].shape == (3, 4) and x.index_select(0, i[:, 0].clamp(max=2)).shape == (3, 4)
    assert x.scatter_add(1, i, fd.ones(3, 2)).sum().item() == 72


# ----------------------------------------------------------------------------------------------- broadcasting, layouts


shapes = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=0)


@settings(max_examples=150, deadline=None)
@given(shapes, st.sampled_from(["add", "mul", "sub", "div", "maximum", "where"]), st.integers(0, 2**32 - 1))
def test_broadcasting_gradients_have_the_shapes_of_their_operands(shapes, name, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.uniform(0.5, 2, s) for s in shapes.input_shapes)
    x, y = fd.tensor(a, requires_grad=True), fd.tensor(b, requires_grad=True)
    z = fd.where(fd.tensor(True), x, y) if name == "where" else getattr(fd, name)(x, y)
    assert z.shape == shapes.result_shape
    w = rng.standard_normal(z.shape)
    gx, gy = grad(z, [x, y], fd.tensor(w))
    assert gx.shape == a.shape and gy.shape == b.shape
    # the gradient of an operand is the broadcast gradient summed over the copies
    slopes = {
        "add": (1, 1),
        "sub": (1, -1),
        "mul": (b, a),
        "div": (1 / b, -a / b**2),
        "maximum": ((a > b) + 0.5 * (a == b), (b > a) + 0.5 * (a == b)),
        "where": (1, 0),
    }[name]
    for g, slope, shape in ((gx, slopes[0], a.shape), (gy, slopes[1], b.shape)):
        full = np.broadcast_to(w * slope, z.shape)
        lead = full.ndim - len(shape)
        axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1 and full.shape[i + lead] != 1)
        np.testing.assert_allclose(g.array, full.sum(axes).reshape(shape), rtol=1e-12, atol=1e-12)


@st.composite
def shape_and_index(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5))
    if draw(st.booleans()):
        index = draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
        parts = index if isinstance(index, tuple) else (index,)
        parts = tuple(
            slice(p.start, p.stop, abs(p.step)) if isinstance(p, slice) and p.step and p.step < 0 else p for p in parts
        )
        return shape, parts
    return shape, draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4)))


@settings(max_examples=200, deadline=None)
@given(shape_and_index())
def test_indexing_equals_numpy(case):
    shape, index = case
    a = np.arange(float(np.prod(shape))).reshape(shape)
    x = fd.tensor(a, requires_grad=True)
    mine = tuple(fd.tensor(p) if isinstance(p, np.ndarray) else p for p in index)
    y = x[mine]
    np.testing.assert_array_equal(y.array, a[index])
    (g,) = grad(y, x, fd.ones(*y.shape, dtype=fd.float64))
    expected = np.zeros(shape)
    np.add.at(expected, index, 1.0)
    np.testing.assert_array_equal(g.array, expected)
    z = fd.tensor(a)
    z[mine] = -1.0
    b = a.copy()
    b[index] = -1
    np.testing.assert_array_equal(z.array, b)


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=5), elements=st.floats(-4, 4)), st.booleans())
def test_masks_equal_numpy(a, assign):
    mask = a > 0
    x = fd.tensor(a)
    if assign:
        x[fd.tensor(mask)] = 9.0
        np.testing.assert_array_equal(x.array, np.where(mask, 9.0, a))
    else:
        np.testing.assert_array_equal(x[fd.tensor(mask)].array, a[mask])


def layouts(a):
    """The same numbers in other memory: transposed, with gaps, reversed, at an odd offset."""
    yield np.asfortranarray(a)
    wide = np.zeros((*a.shape[:-1], a.shape[-1] * 2), a.dtype) if a.ndim else None
    if wide is not None:
        wide[..., ::2] = a
        yield wide[..., ::2]
        yield a[::-1].copy()[::-1]
    raw = np.zeros(a.nbytes + 1, np.uint8)
    odd = raw[1:].view(a.dtype).reshape(a.shape) if a.size else a
    odd[...] = a
    yield odd


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_memory_layout_does_not_matter(case):
    arrays = case.arrays()
    plain = [y.array for y in flat(case.call(fd, *[fd.tensor(a) for a in arrays]))]
    for others in zip(*[list(layouts(a)) if a.ndim else [a] * 4 for a in arrays]):
        for y, expected in zip(flat(case.call(fd, *[fd.from_numpy(a) for a in others])), plain):
            np.testing.assert_allclose(y.array, expected, rtol=1e-12, atol=1e-12)


def test_elementwise_results_keep_the_layout():
    x = fd.from_numpy(np.zeros((2, 4, 5, 3), np.float32).transpose(0, 3, 1, 2))  # channels last
    for y in (x + 1, x * x, x.relu(), x.exp(), x.tanh(), -x, x.clamp(0, 1), x.clone(), x.sigmoid(), fd.zeros_like(x)):
        assert y.shape == (2, 3, 4, 5) and y.array.strides == x.array.strides


def test_views_share_memory_and_copies_do_not():
    x = fd.arange(24.0).reshape(2, 3, 4)
    views = (x[1], x[:, 1:], x[..., None], x[0, 0, 0], x.view(6, 4), x.T, x.permute(2, 0, 1), x.squeeze(), x.narrow(1, 0, 2),
             x.unbind(0)[1], x.chunk(2)[0], x.expand(5, 2, 3, 4), x.diagonal(), x.unfold(2, 2, 1), x.detach(),
             x.flatten())  # fmt: skip
    for v in views:
        assert np.shares_memory(v.array, x.array)
    copies = (x[[0]], x[x > 3], x.clone(), x.flip(0), x.repeat(1, 1, 1), x.gather(0, fd.zeros_like(x).long()), x + 0,
              x.T.reshape(24), fd.cat([x]), fd.stack([x]))  # fmt: skip
    for c in copies:
        assert not np.shares_memory(c.array, x.array)


# ------------------------------------------------------------------------------------------------------------ values


def test_error_function_is_accurate():
    from math import erf, erfc

    x = np.concatenate([np.linspace(-6, 6, 4001), [0.46875, 4.0, 27.0, -27.0, 0.0, np.inf, -np.inf]])
    np.testing.assert_allclose(fd.from_numpy(x).erf().array, [erf(v) for v in x], rtol=5e-16, atol=0)
    np.testing.assert_allclose(fd.from_numpy(x).erfc().array, [erfc(v) for v in x], rtol=3e-15, atol=1e-320)
    x32 = x.astype(np.float32)
    np.testing.assert_allclose(fd.from_numpy(x32).erf().array, [erf(v) for v in x32], rtol=4e-7)
    t = fd.from_numpy(x32[:4000].reshape(10, 20, 20).transpose(2, 0, 1))
    np.testing.assert_array_equal(t.erf().array, fd.from_numpy(t.array.copy()).erf().array)
    assert t.erf().array.strides == t.array.strides
    assert np.isnan(fd.tensor([float("nan")]).erf().item()) and np.isnan(fd.tensor([float("nan")]).erfc().item())
    p = np.concatenate([np.linspace(-0.999999, 0.999999, 2001), [1 - 1e-12, 1e-300]])
    back = fd.from_numpy(p).erfinv().erf().array
    np.testing.assert_allclose(back, p, rtol=3e-15)
    assert fd.tensor([1.0, -1.0]).erfinv().tolist() == [float("inf"), float("-inf")]


def test_special_values_pass_without_warnings(recwarn):
    inf, nan = float("inf"), float("nan")
    x = fd.tensor([0.0, -1.0, inf, -inf, nan, 1e38])
    np.testing.assert_array_equal(x.log().array[:5], [-inf, nan, inf, nan, nan])
    assert (
        (1 / fd.tensor([0.0])).item() == inf and (x.exp().array[[2, 3]] == [inf, 0]).all() and x.sigmoid().array[3] == 0
    )
    assert fd.logaddexp(fd.tensor([-inf]), fd.tensor([-inf])).item() == -inf
    assert fd.tensor([-inf, -inf]).logsumexp(0).item() == -inf
    assert fd.ops.activation.softplus(fd.tensor([1000.0, -1000.0])).tolist() == [1000, 0]
    assert fd.ops.activation.logsigmoid(fd.tensor([-1000.0])).item() == -1000
    assert fd.tensor([0.0]).sqrt().item() == 0 and np.isnan(fd.zeros(0).mean().item())
    assert not recwarn.list


def test_gradients_at_kinks_and_poles():
    def slope(f, value):
        x = fd.tensor([value], requires_grad=True)
        return grad(f(x).sum(), x)[0].item()

    assert slope(lambda x: x.abs(), 0.0) == 0 and slope(lambda x: x.relu(), 0.0) == 0
    assert slope(lambda x: x.norm(), 0.0) == 0 and slope(lambda x: x**0, 0.0) == 0 and slope(lambda x: x**2, 0.0) == 0
    assert slope(lambda x: fd.maximum(x, fd.zeros(1)), 0.0) == 0.5 and slope(lambda x: x.clamp(0, 1), 0.0) == 1
    assert slope(lambda x: fd.tensor([2.0]) ** x, 0.0) == pytest.approx(np.log(2))
    assert slope(lambda x: fd.tensor([0.0]) ** x, 2.0) == 0


def test_ties():
    x = fd.tensor([2.0, 2.0, 1.0], requires_grad=True)
    assert grad(x.max(), x)[0].tolist() == [0.5, 0.5, 0] and grad(x.amax(), x)[0].tolist() == [0.5, 0.5, 0]
    assert grad(x.max(0).values, x)[0].tolist() == [1, 0, 0] and x.argmax().item() == 0
    assert fd.tensor([1, 0, 1, 0]).argsort().tolist() == [1, 3, 0, 2]
    assert fd.tensor([1, 0, 1, 0]).argsort(descending=True).tolist() == [0, 2, 1, 3]


def test_large_repeated_indices_add_up():
    rng = np.random.default_rng(0)
    i = rng.integers(0, 7, (40, 30))
    w = fd.tensor(rng.standard_normal((7, 5)), requires_grad=True)
    dy = rng.standard_normal((40, 30, 5))
    (g,) = grad(w[fd.tensor(i)], w, fd.tensor(dy))
    expected = np.zeros((7, 5))
    np.add.at(expected, i, dy)
    np.testing.assert_allclose(g.array, expected, rtol=1e-12)
    (g,) = grad(w[fd.tensor(i - 7)], w, fd.tensor(dy))  # negative indices are the same places
    np.testing.assert_allclose(g.array, expected, rtol=1e-12)


def test_results_have_torchs_names():
    x = fd.tensor([[1.0, 3.0, 2.0]])
    assert x.max(1).values.tolist() == [3] and x.max(1).indices.tolist() == [1]
    values, indices = x.sort(1, descending=True)
    assert values.tolist() == [[3, 2, 1]] and indices.tolist() == [[1, 2, 0]] and x.topk(1).indices.item() == 1


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
def test_empty_tensors(shape):
    x = fd.zeros(shape, requires_grad=True)
    assert x.sum().item() == 0 and x.prod().item() == 1 and (x * 2 + 1).shape == shape and x.exp().shape == shape
    assert x.flatten().shape == (0,) and fd.cat([x, x]).shape == (shape[0] * 2, *shape[1:]) and x.all().item()
    (x * x).sum().backward()
    assert x.grad.shape == shape
    for call in (lambda: x.max(), lambda: x.argmax()):
        with pytest.raises((RuntimeError, IndexError), match="empty"):
            call()
    assert (fd.zeros(0, 3) @ fd.zeros(3, 2)).shape == (0, 2) and (fd.zeros(2, 0) @ fd.zeros(0, 3)).tolist() == [
        [0] * 3
    ] * 2


def test_zero_d_tensors():
    x = fd.tensor(3.0, requires_grad=True)
    y = (x * 2).exp().sum() + x.max() + x.reshape(1)[0] + x.sum(0) + x.clone().view(1, 1).squeeze()
    assert y.shape == () and type(y.array) is np.ndarray
    y.backward()
    assert x.grad.shape == ()


# ----------------------------------------------------------------------------------------------------------- errors


MESSAGES = {
    "add": (lambda: fd.ones(2, 3) + fd.ones(4), r"add: shapes \(2, 3\) and \(4,\).*axis -1 is 3 .* 4 .*hint"),
    "add_same_count": (lambda: fd.ones(2, 3) + fd.ones(3, 2), r"element counts agree.*transpose"),
    "mul": (lambda: fd.ones(2) * fd.ones(3), r"mul: shapes \(2,\) and \(3,\)"),
    "pow": (lambda: fd.ones(2) ** fd.ones(3), r"pow: shapes"),
    "compare": (lambda: fd.ones(2) < fd.ones(3), r"lt: shapes"),
    "where": (lambda: fd.where(fd.ones(2) > 0, fd.ones(2), fd.ones(3)), r"where: shapes \(2,\) and \(3,\)"),
    "where_condition": (lambda: fd.where(fd.ones(2), fd.ones(2), fd.ones(2)), "bool tensor, not float32"),
    "matmul": (lambda: fd.ones(2, 3) @ fd.ones(4, 5), r"matmul: shapes \(2, 3\) and \(4, 5\).*axis -1 .* 3.*axis -2 .* 4"),
    "matmul_transpose": (lambda: fd.ones(2, 3) @ fd.ones(4, 3), r"hint.*y\.T"),
    "matmul_flatten": (lambda: fd.ones(2, 3, 4) @ fd.ones(12, 5), r"hint.*flatten\(1\)"),
    "matmul_vector": (lambda: fd.ones(2, 3) @ fd.ones(4), r"\(4,\).*axis 0 of the second is 4"),
    "matmul_0d": (lambda: fd.ones(2) @ fd.tensor(1.0), "at least one dimension"),
    "matmul_batch": (lambda: fd.ones(2, 3, 4) @ fd.ones(5, 4, 3), r"leading axes.*\(2, 3, 4\) and \(5, 4, 3\)"),
    "mm": (lambda: fd.mm(fd.ones(2, 3, 4), fd.ones(4, 2)), r"mm: expected 2 and 2 dimensions.*matmul"),
    "bmm": (lambda: fd.bmm(fd.ones(2, 3, 4), fd.ones(3, 4, 2)), "batches differ"),
    "einsum_count": (lambda: fd.einsum("ij,jk->ik", fd.ones(2, 2)), "names 2 operands, but 1"),
    "einsum_size": (lambda: fd.einsum("ij,jk->ik", fd.ones(2, 3), fd.ones(4, 5)), "'j' .* is 3 in one operand and 4"),
    "einsum_result": (lambda: fd.einsum("ij->k", fd.ones(2, 3)), "'k' of the result"),
    "einsum_axes": (lambda: fd.einsum("ijk->i", fd.ones(2, 3)), r"'ijk' does not name the 2 axes"),
    "reshape": (lambda: fd.ones(2, 3).reshape(4, 2), r"reshape: shape \(4, 2\) has 8 elements, .*\(2, 3\) has 6"),
    "reshape_infer": (lambda: fd.ones(2, 3).view(4, -1), r"invalid for 6 elements"),
    "reshape_two": (lambda: fd.ones(2, 3).view(-1, -1), "only one size can be -1"),
    "sum_dim": (lambda: fd.ones(2, 3).sum(2), r"sum: dim 2 is out of range for 2 dimensions \(from -2 to 1\)"),
    "sum_twice": (lambda: fd.ones(2, 3).sum((0, -2)), "names an axis twice"),
    "mean_int": (lambda: fd.arange(3).mean(), r"float tensor, not int64; hint: x\.float"),
    "cat": (lambda: fd.cat([fd.ones(2, 3), fd.ones(2, 4)]), r"except in axis 0.*tensor 0 has \(2, 3\) and tensor 1 has \(2, 4\)"),
    "stack": (lambda: fd.stack([fd.ones(2), fd.ones(3)]), r"tensor 1 has \(3,\)"),
    "cat_empty": (lambda: fd.cat([]), "at least one"),
    "expand": (lambda: fd.ones(2, 3).expand(2, 4), r"\(2, 3\) cannot be expanded to \(2, 4\)"),
    "squeeze": (lambda: fd.ones(2).squeeze(1), "out of range"),
    "permute": (lambda: fd.ones(2, 3).permute(0), "1 axes"),
    "split": (lambda: fd.ones(5).split([2, 2]), r"\[2, 2\] do not sum to axis 0"),
    "index_float": (lambda: fd.ones(3)[fd.tensor([0.0])], r"integer or bool type, not float32; hint: x\.long\(\)"),
    "index_range": (lambda: fd.ones(3)[5], r"index 5 .*shape \(3,\)"),
    "index_many": (lambda: fd.ones(3)[0, 0], r"too many indices"),
    "index_text": (lambda: fd.ones(3)["a"], "not str"),
    "index_step": (lambda: fd.ones(3)[::-1], r"negative steps.*flip"),
    "gather_float": (lambda: fd.ones(2, 2).gather(0, fd.ones(2, 2)), r"gather: the index must be of an integer type"),
    "gather_range": (lambda: fd.ones(2, 2).gather(0, fd.full((2, 2), 2)), r"an index of 2 is out of range for axis 0"),
    "gather_ndim": (lambda: fd.ones(2, 2).gather(0, fd.arange(2)), "1 dimensions and the tensor 2"),
    "scatter_type": (lambda: fd.ones(2).scatter(0, fd.arange(2), fd.arange(2)), "float32 and src int64"),
    "mask_type": (lambda: fd.ones(2).masked_fill(fd.ones(2), 0), "mask must be a bool tensor, not float32"),
    "one_hot": (lambda: fd.ops.index.one_hot(fd.tensor([3]), 3), "class number 3 needs more than num_classes=3"),
    "one_hot_float": (lambda: fd.ops.index.one_hot(fd.tensor([1.0])), "integer type, not float32"),
    "topk": (lambda: fd.ones(3).topk(4), "k=4 is out of range"),
    "setitem": (lambda: fd.ones(2, 3).__setitem__(0, fd.ones(2)), r"shape \(2,\) does not fit into the shape \(3,\)"),
    "setitem_type": (lambda: fd.ones(2).__setitem__(0, "a"), "expected a Tensor or a number, not str"),
    "clamp": (lambda: fd.ones(2).clamp(), "at least one of min and max"),
    "int_power": (lambda: fd.arange(3) ** -1, "negative integer powers"),
    "division": (lambda: fd.arange(3) // 0, "division by zero"),
    "bitwise": (lambda: fd.ones(2) & fd.ones(2), r"bool or integer.*\(x > 0\) & \(y > 0\)"),
    "add_text": (lambda: fd.ones(2) + "a", "add: expected a Tensor or a number, not str"),
    "add_none": (lambda: fd.ones(2) * None, "mul: expected a Tensor or a number, not NoneType"),
    "pad_reflect": (lambda: fd.ops.pad.pad(fd.ones(1, 3), (3, 0), "reflect"), "at most 2"),
    "pad_pairs": (lambda: fd.ops.pad.pad(fd.ones(3), (1, 1, 1)), "not pairs"),
    "unfold": (lambda: fd.ones(3).unfold(0, 4, 1), "do not fit axis 0"),
    "zeros_float": (lambda: fd.zeros(2.5), "float"),
    "copy": (lambda: fd.ones(2).copy_(fd.ones(3)), r"\(3,\) does not fit into shape \(2,\)"),
    "prelu": (lambda: fd.ops.activation.prelu(fd.ones(2, 3), fd.ones(2)), r"prelu: .*\(2,\).*\(2, 3\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_errors_say_what_is_wrong(name):
    call, pattern = MESSAGES[name]
    with pytest.raises((RuntimeError, IndexError, TypeError, ValueError, ZeroDivisionError), match=pattern):
        call()


def test_comparison_with_other_things():
    x = fd.ones(2)
    assert (x == None) is False and (x != "a") is True and x not in [None, "b"]  # noqa: E711


def test_the_public_names_are_torchs():
    torch = pytest.importorskip("torch")
    names = [n for n, thing in vars(fd).items() if (getattr(thing, "__module__", None) or "").startswith("fastdl.ops")]
    assert len(names) > 200
    assert [n for n in names if not hasattr(torch, n)] == []
    methods = [n for n in dir(fd.Tensor) if not n.startswith("_")]
    assert [n for n in methods if not hasattr(torch.Tensor, n)] == ["array"]


def test_everything_has_a_docstring():
    missing = [n for n in vars(fd) if not n.startswith("_") and callable(getattr(fd, n)) and not getattr(fd, n).__doc__]
    missing += [
        n for n in dir(fd.Tensor) if not n.startswith("_") and not (getattr(fd.Tensor, n).__doc__ or "").strip()
    ]
    assert missing in ([], ["array", "grad", "grad_fn", "output_nr"]) or set(missing) <= {
        "array",
        "grad",
        "grad_fn",
        "output_nr",
    }
